"""The operating-system side of a board in virtual time: one MicroPython process, two pipes, a console file."""

from __future__ import annotations

import json
import os
import resource
import select
import subprocess
from pathlib import Path
from typing import Any

from sigap.problem import Problem
from sigap.processes import LIBC, die_with_parent
from simulator.world.process import launcher_folder, micropython

# What launcher, shims and asyncio's queue in Python take on top of the board's own heap; see world/process.py.
LOCKSTEP_KB = 130
HANG_LIMIT_S = 20.0  # of real time, in which a board must come to its next wait
DESCRIPTORS = 4  # two pipes, the console, one while it starts
ADDR_NO_RANDOMIZE = 0x0040000  # personality(2)


class BoardHung(RuntimeError):
    """The firmware runs without ever waiting: what a watchdog is for."""


class BoardDied(RuntimeError):
    """The process ended by itself."""


def let_in(boards: int) -> None:
    """Let this process have the descriptors that so many boards need. Problem where it may not."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = boards * DESCRIPTORS + 200
    if soft >= wanted:
        return
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise Problem(f"{boards} boards need {wanted} open files, and {hard} are allowed", "Raise `ulimit -Hn`")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def _prepare() -> None:
    die_with_parent()
    if LIBC is not None:
        LIBC.personality(ADDR_NO_RANDOMIZE)  # the same addresses, so the same order wherever it depends on one


class Process:
    """send() and receive() of length-prefixed JSON. setup is the first thing sent."""

    def __init__(self, image: Path, heap_kb: int, console: Path, setup: dict[str, Any]) -> None:
        down_read, down_write = os.pipe()
        up_read, up_write = os.pipe()
        environment = {
            "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
            "MICROPYPATH": f"{launcher_folder()}:.frozen",
            "SIGAP_PIPES": f"{down_read},{up_write}",
            "SIGAP_IMAGE": str(image.resolve()),
        }
        command = [str(micropython()), "-X", f"heapsize={heap_kb + LOCKSTEP_KB}k"]
        with console.open("wb") as output:
            self._process = subprocess.Popen(
                [*command, "-c", "import virtual_board.lockstep.launcher"],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=environment,
                pass_fds=(down_read, up_write),
                preexec_fn=_prepare,
                start_new_session=True,
            )
        os.close(down_read)
        os.close(up_write)
        self._write, self._read = down_write, up_read
        self._console = console.open("rb")
        self._poll = select.poll()  # select() ends at descriptor 1024
        self._poll.register(up_read, select.POLLIN)
        self.send(setup)

    @property
    def pid(self) -> int:
        return self._process.pid

    def send(self, message: dict[str, Any]) -> None:
        text = json.dumps(message, separators=(",", ":")).encode()
        data = memoryview(b"%08d" % len(text) + text)
        try:
            while data:
                data = data[os.write(self._write, data) :]
        except BrokenPipeError as error:
            raise BoardDied(f"the process ended with {self._process.wait()}") from error

    def receive(self) -> dict[str, Any]:
        return json.loads(self._exactly(int(self._exactly(8))))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            if not self._poll.poll(HANG_LIMIT_S * 1000):
                raise BoardHung(f"no word in {HANG_LIMIT_S:g} s")
            part = os.read(self._read, size - len(data))
            if not part:
                raise BoardDied(f"the process ended with {self._process.wait()}")
            data += part
        return data

    def console(self) -> list[str]:
        """Whole lines printed since the last call."""
        data = self._console.read()
        if not data:
            return []
        if not data.endswith(b"\n"):
            whole, _, rest = data.rpartition(b"\n")
            self._console.seek(-len(rest), os.SEEK_CUR)
            data = whole
        return data.decode(errors="replace").splitlines()

    def kill(self) -> None:
        """End it at once; safe to call twice."""
        if self._process.returncode is None:
            self._process.kill()
            self._process.wait()
            os.close(self._write)
            os.close(self._read)
            self._console.close()
