"""Runs boot.py and main.py of the flash, as the ESP32 port does."""

import io
import json
import os
import sys


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
        link.send(json.dumps({"main": "failed", "file": name, "error": text.getvalue()[-2000:]}))
        return False
    link.send(json.dumps({"main": "ended", "file": name}))
    return True


_scope = {"__name__": "__main__"}  # it stays, as the names of main.py stay at a chip's prompt


def run_files(link):
    """Both, in one scope; as the ESP32 port, main.py is not run after a boot.py that failed."""
    if _run(link, "boot.py", _scope):
        _run(link, "main.py", _scope)
