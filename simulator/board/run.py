"""Runs boot.py and main.py of the flash, as the ESP32 port does."""

import io
import json
import os
import sys

import __main__


def _run(link, name, scope):
    """Run a file of the flash as pyexec does: its exception is printed and told to the world.

    False when it failed.
    """
    try:
        os.stat("/" + name)
    except OSError:
        link.send(json.dumps({"main": "absent", "file": name}))
        return True
    try:
        execfile("/" + name, scope)  # noqa: F821 (of MicroPython)
    except SystemExit:
        from .shims import machine

        machine.soft_reset()
    except BaseException as error:
        sys.print_exception(error)
        text = io.StringIO()
        sys.print_exception(error, text)
        how = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        link.send(json.dumps({"main": how, "file": name, "error": text.getvalue()[-2000:]}))
        return False
    link.send(json.dumps({"main": "ended", "file": name}))
    return True


_scope = __main__.__dict__  # it stays: at a chip's prompt the names of main.py are there


def run_files(link, with_main=True):
    """Both, in one scope; as the ESP32 port, main.py is not run after a boot.py that failed."""
    if _run(link, "boot.py", _scope) and with_main:
        _run(link, "main.py", _scope)
