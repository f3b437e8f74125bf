"""Starts a virtual ESP32 in virtual time; ../launcher.py has the realtime one, and what the two have in common.

Environment: SIGAP_PIPES ("<read fd>,<write fd>"), SIGAP_IMAGE (flash).
"""

import builtins
import gc
import json
import os
import random
import sys

from ..run import run_files
from .steps import BUSY, Steps


class _Seeded:
    """The interpreter's module with its random numbers taken from the board's seed."""

    def __init__(self, base):
        for key in dir(base):
            if not key.startswith("__") and key != "urandom":
                setattr(self, key, getattr(base, key))

    @staticmethod
    def urandom(count):
        return bytes(random.getrandbits(8) for _ in range(count))


def _console(link, host_print):
    """print() that says its lines to the world, at the moment at which they are printed."""
    kept = [""]

    def say(*values, sep=" ", end="\n", file=None):
        if file is not None and file is not sys.stdout:
            return host_print(*values, sep=sep, end=end, file=file)
        text = kept[0] + sep.join(str(value) for value in values) + end
        *lines, kept[0] = text.split("\n")
        for line in lines:
            link.send('{"console":%s}' % json.dumps(line))

    return say


def _out_of_memory(link):
    """The next pin that the firmware moves finds no memory; once."""
    send = link.send

    def fail(line):
        if line.startswith('{"pin"'):
            link.send = send
            raise MemoryError("memory allocation failed, allocating 512 bytes")
        send(line)

    link.send = fail


def main():
    read_fd, write_fd = os.getenv("SIGAP_PIPES").split(",")
    link = Steps(int(read_fd), int(write_fd))
    setup = link.setup
    random.seed(setup["seed"])

    from .. import clock

    clock.start(setup["ticks_ms"], lambda: link.now_us, link.sleep, setup["clock_s"])
    modules = sys.modules
    modules["time"] = modules["utime"] = clock.module()

    from . import select, tasks

    select.install(modules, link)

    class Builtin:
        TaskQueue, Task = tasks.make(clock.ticks_ms, clock.ticks_diff)

    modules["_asyncio"] = Builtin

    from ..shims import esp32, machine, network
    from . import flash, sockets

    machine.install(modules, link, setup)
    link.on("fault", lambda _: _out_of_memory(link))
    network.install(modules, link, setup, lambda us: link.stall(us, BUSY))
    esp32.install(modules)
    sockets.install(modules, link, network, setup)
    if setup.get("stdin"):
        from . import console

        console.install(modules, sys, link)
    flash.mount(os.getenv("SIGAP_IMAGE"), link, setup["flash"])
    modules["os"] = modules["uos"] = _Seeded(os)
    for key in ("SIGAP_PIPES", "SIGAP_IMAGE"):
        os.unsetenv(key)
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    builtins.print = _console(link, print)
    link.setup = None
    del setup
    gc.collect()
    link.send('{"boot":{"cause":%d}}' % machine.reset_cause())
    run_files(link)
    while True:
        link.wait(None)


main()
