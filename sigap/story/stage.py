"""The stage of a story: one Sigap in a folder, of which only those parts run that the story asks for."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sigap.local import BROKER, GATEWAY, MAIL, POLICE, Button, Local, Ports
from sigap.problem import Problem
from sigap.processes import free_port
from sigap.story.waiting import RealClock, wait_until

PARTS = {"broker": BROKER, "gateway": GATEWAY, "police": POLICE, "relatives": MAIL}  # fixture -> process
START_LIMIT_S = 30.0


class Stage:
    """Use as a context manager: at its end every process is gone, whatever happened.

    local: the Sigap, with free ports of its own, and as a rule no buttons yet. faults: as Local has it.
    """

    def __init__(self, folder: Path, buttons: tuple[Button, ...] = (), *, faults: bool = False) -> None:
        ports = Ports(free_port(), free_port(), free_port(), free_port())
        self.local = Local(folder, ports, buttons=buttons, faults=faults)
        self.clock = RealClock(self.check)
        self._needed: set[str] = set()
        self._frozen: set[str] = set()
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> Stage:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.local.alone())
            stack.callback(self.local.stop)
            self.local.prepare()
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def at_end(self, do: Callable[[], None]) -> None:
        """Do this before the processes are ended."""
        self._ending.callback(do)

    def start(self, names: Iterable[str]) -> None:
        """Start these processes side by side; returns at once."""
        for name in names:
            self.local.start(name)
            self._needed.add(name)

    def start_world(self, name: str, command: list[str]) -> None:
        """Start the process of a board's world."""
        self.local.processes.start(name, command)
        self._needed.add(name)

    def kill(self, name: str) -> None:
        """As `kill -9` does; from now on nobody expects it to run."""
        self.require(name)
        self._needed.discard(name)
        self.local.processes.kill(name)

    @contextlib.contextmanager
    def frozen(self, name: str) -> Iterator[None]:
        """SIGSTOP, and SIGCONT at the end of the block, or when this process dies within it."""
        self.require(name)
        pid = self.local.processes.pid(name)
        # Its input ends with us, however that comes; else a dead test would leave what nobody can end in order.
        waker = subprocess.Popen(
            ["sh", "-c", f"cat; kill -CONT {pid} 2>/dev/null"], stdin=subprocess.PIPE, start_new_session=True
        )
        try:
            os.kill(pid, signal.SIGSTOP)
            self._frozen.add(name)
            yield
        finally:
            self._frozen.discard(name)
            waker.communicate()

    def runs(self, name: str) -> bool:
        """Whether the process is meant to run: started, and not killed by the story."""
        return name in self._needed

    def serves(self, name: str) -> bool:
        """Whether it runs and is not frozen."""
        return name in self._needed - self._frozen

    def require(self, name: str) -> None:
        """Raise a Problem when it does not run."""
        if not self.runs(name):
            raise Problem(f"{name} does not run", "start() it first")

    def check(self) -> None:
        """Raise a Problem when something has ended by itself."""
        processes = self.local.processes
        for name in sorted(self._needed):
            if not processes.is_running(name):
                raise Problem(f"{name} has ended by itself: {processes.last_line(name)}", self.logs())

    def wait_ready(self, name: str, holds: Callable[[], bool]) -> None:
        """Wait until a process that was started is ready."""
        last = lambda: f"its last line: {self.local.processes.last_line(name)}"  # noqa: E731
        wait_until(self.clock, holds, f"the start of {name}", START_LIMIT_S, last, self.logs())

    def how(self) -> str:
        """One line on what runs."""
        asked = [name for name in PARTS.values() if self.local.processes.log_path(name).exists()]
        states = [f"{name} {self._state(name)}" for name in asked]
        return f"{', '.join(states) or 'nothing but boards runs'} (logs: {self.local.processes.log_dir})"

    def _state(self, name: str) -> str:
        return "is frozen" if name in self._frozen else "runs" if self.runs(name) else "was killed"

    def logs(self) -> str:
        """What to do when something is wrong."""
        return f"Look into the logs in {self.local.processes.log_dir}"


def listens(port: int) -> bool:
    """Whether somebody takes connections there, on the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex(("127.0.0.1", port)) == 0
