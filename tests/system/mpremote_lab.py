"""For tests: the real `mpremote` at a serial port, and a plain terminal."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import termios
import time
import tty
from collections.abc import Iterator
from pathlib import Path

MPREMOTE = Path(sys.executable).with_name("mpremote")
LIMIT_S = 30.0


class Mpremote:
    """`mpremote connect DEVICE ...`; each call is a process of its own."""

    def __init__(self, device: str, folder: Path | None = None) -> None:
        self.device, self._folder = device, folder

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        command = [str(MPREMOTE), "connect", self.device, *map(str, arguments)]
        return subprocess.run(command, cwd=self._folder, capture_output=True, text=True, timeout=LIMIT_S)

    def __call__(self, *arguments: str | Path) -> str:
        """What it prints; AssertionError with all of that when it fails."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"mpremote {arguments}: {done.stdout}{done.stderr}"
        return done.stdout


class Terminal:
    """The device, opened as a terminal program does."""

    def __init__(self, device: str) -> None:
        self._descriptor = os.open(device, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self._descriptor)
        termios.tcflush(self._descriptor, termios.TCIFLUSH)
        self.heard = b""

    def write(self, data: bytes) -> None:
        """All of it; waits for room."""
        while data:
            assert select.select([], [self._descriptor], [], LIMIT_S)[1], "the port takes nothing"
            data = data[os.write(self._descriptor, data) :]

    def until(self, end: bytes, limit_s: float = 10.0) -> bytes:
        """What comes, up to and with `end`. AssertionError at the limit."""
        deadline = time.monotonic() + limit_s
        while end not in self.heard:
            left = deadline - time.monotonic()
            assert left > 0, f"{end!r} did not come; there was {self.heard!r}"
            if select.select([self._descriptor], [], [], left)[0]:
                self.heard += os.read(self._descriptor, 4096)
        found, _, self.heard = self.heard.partition(end)
        return found + end

    def drain(self) -> None:
        """Forget what has come."""
        self.heard = b""
        while select.select([self._descriptor], [], [], 0)[0]:
            os.read(self._descriptor, 4096)

    def silent_for(self, seconds: float) -> bool:
        """Nothing comes within so many seconds."""
        return not self.heard and not select.select([self._descriptor], [], [], seconds)[0]

    def close(self) -> None:
        os.close(self._descriptor)


@contextlib.contextmanager
def terminal(device: str) -> Iterator[Terminal]:
    one = Terminal(device)
    try:
        yield one
    finally:
        one.close()
