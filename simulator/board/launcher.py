"""Starts a virtual ESP32 under the unix port of MicroPython: what the chip's ROM, bootloader and main.c do.

Environment: SIGAP_WORLD_PORT, SIGAP_WORLD_TOKEN, SIGAP_BOARD (name), SIGAP_RUN (number of this start),
SIGAP_IMAGE (flash), SIGAP_FLASH (what is wrong with it, see bad_flash.py; absent: nothing), SIGAP_WAKE
("<read fd>,<write fd>" of a pipe). Runs /boot.py, then /main.py, then waits
as the REPL would; with a serial port it ends, and the interpreter shows its prompt.
"""

import gc
import os
import sys

from .link import die
from .run import run_files


def main():
    read_fd, write_fd = os.getenv("SIGAP_WAKE").split(",")
    wake_read, wake_write = open(int(read_fd), "rb"), open(int(write_fd), "wb")

    from .link import Link

    link = Link(int(os.getenv("SIGAP_WORLD_PORT")), wake_write)
    setup = link.hello(
        {
            "hello": "board",
            "protocol": 1,
            "name": os.getenv("SIGAP_BOARD"),
            "token": os.getenv("SIGAP_WORLD_TOKEN"),
            "run": int(os.getenv("SIGAP_RUN")),
        }
    )

    from . import clock, flash, polling
    from .shims import esp32, machine, network, sockets

    polling.install(sys.modules, wake_read)
    clock.start(setup["ticks_ms"], clock_s=setup.get("clock_s", 0))
    clock.install(sys.modules)
    machine.install(sys.modules, link, setup)
    network.install(sys.modules, link, setup, clock.sleep_us)
    esp32.install(sys.modules)
    sockets.install(sys.modules, network)
    serial = setup.get("serial")
    if serial:
        from . import prompt
    path, faults = os.getenv("SIGAP_IMAGE"), os.getenv("SIGAP_FLASH")
    if faults:
        from .bad_flash import BadFlash

        flash.mount(BadFlash(path, faults, link))
    else:
        flash.mount(flash.Flash(path))
    for key in ("SIGAP_WORLD_TOKEN", "SIGAP_WORLD_PORT", "SIGAP_IMAGE", "SIGAP_FLASH"):
        os.unsetenv(key)
    sys.path[:] = ["", ".frozen", "/lib"]
    sys.argv[:] = []
    del setup

    def memory(message):
        gc.collect()
        link.send(
            '{"memory": {"used": %d, "free": %d, "ask": %d}}' % (gc.mem_alloc(), gc.mem_free(), message["memory"])
        )

    link.on("memory", memory)
    gc.collect()
    link.send(
        '{"boot": {"cause": %d, "used": %d, "free": %d, "ticks_ms": %d}}'
        % (machine.reset_cause(), gc.mem_alloc(), gc.mem_free(), clock.ticks_ms())
    )
    link.start()
    if serial:
        prompt.run(link, serial == "raw")
        return
    run_files(link)
    waiting = polling.Poll()
    while True:
        waiting.poll(-1)


try:
    main()
except Exception as error:  # no prompt of a board that has never started
    sys.print_exception(error)
    die()
