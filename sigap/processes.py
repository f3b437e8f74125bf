"""Starts the processes that make up one Sigap, watches them, and leaves none behind."""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType

from sigap.problem import Problem

PR_SET_PDEATHSIG = 1  # prctl(2): the signal a child gets when its parent dies
FREE_PORTS = range(20_000, 32_000)
FREE_PORT_TRIES = 100
PORT_SHARES = 8
LIBC = ctypes.CDLL(None) if sys.platform == "linux" else None
STOP_LIMIT_S = 5.0
ENDS_WITHIN_S = 60.0  # a child that ends by itself more often than MOST_ENDS in this time is given up
MOST_ENDS = 5
LOG_LIMIT_BYTES = 8 << 20  # at the next start a log longer than this is begun anew, the old one kept as .1


def sigap_command(*arguments: str) -> list[str]:
    """The command line of a `sigap` subcommand, run by this interpreter."""
    return [sys.executable, "-m", "sigap.cli", *arguments]


_given: deque[int] = deque(maxlen=1000)


def free_port() -> int:
    """A TCP port of the loopback interface that nobody listens on now.

    Below the range from which the system takes ports for outgoing connections: there, another connection may have it
    before who asked for it listens. For the same reason none is given twice in this process, and processes that begin
    together choose from different ones.
    """
    mine = FREE_PORTS[os.getpid() % PORT_SHARES :: PORT_SHARES]
    for _ in range(FREE_PORT_TRIES):
        port = secrets.choice(mine)
        if port in _given:
            continue
        _given.append(port)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise Problem("no free TCP port was found", f"End what listens between {FREE_PORTS[0]} and {FREE_PORTS[-1]}")


def require_free(port: int, what: str, todo: str) -> None:
    """Raise a Problem when something already listens on `port`."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            raise Problem(f"port {port} for the {what} is in use", todo) from error


def die_with_parent(how: signal.Signals = signal.SIGKILL) -> None:
    """Let the system end this process when the one that started it ends, however that ends (Linux).

    For preexec_fn too: the library is loaded before the fork.
    """
    if LIBC is not None:
        LIBC.prctl(PR_SET_PDEATHSIG, how)


class Processes:
    """Children by name, each in a session of its own and with a log file; stopped in reverse order of starting."""

    def __init__(self, log_dir: Path) -> None:
        self.log_dir = log_dir
        log_dir.mkdir(parents=True, exist_ok=True)
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._commands: dict[str, tuple[list[str], dict[str, str] | None]] = {}
        self._ends: dict[str, list[float]] = {}

    def log_path(self, name: str) -> Path:
        return self.log_dir / f"{name}.log"

    def pid(self, name: str) -> int:
        return self._running[name].pid

    def is_running(self, name: str) -> bool:
        """Whether the child was started and has not ended."""
        return name in self._running and self._running[name].poll() is None

    def start(self, name: str, command: list[str], env: dict[str, str] | None = None) -> None:
        self._commands[name] = command, env
        path = self.log_path(name)
        if path.exists() and path.stat().st_size > LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".log.1"))
        with path.open("ab") as log:
            self._running[name] = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C reaches us alone; we end the children in order
                preexec_fn=partial(die_with_parent, signal.SIGTERM),
                env={**os.environ, **(env or {})},
            )

    def check(self) -> None:
        """Raise a Problem when a child has ended by itself; says its last line."""
        for name, process in self._running.items():
            if process.poll() is not None:
                raise Problem(
                    f"{name} has ended ({self._how_it_ended(name)}): {self.last_line(name)}",
                    f"Look into {self.log_path(name)}",
                )

    def revive(self) -> list[str]:
        """Start again what has ended by itself; one line to show for each. A Problem for what ends too often."""
        said = []
        for name, process in list(self._running.items()):
            if process.poll() is None:
                continue
            how, last = self._how_it_ended(name), self.last_line(name)
            now = time.monotonic()
            ends = self._ends[name] = [at for at in self._ends.get(name, []) if now - at < ENDS_WITHIN_S] + [now]
            if len(ends) > MOST_ENDS:
                what = f"{name} has ended {len(ends)} times within {ENDS_WITHIN_S:g} s ({how}): {last}"
                raise Problem(what, f"Look into {self.log_path(name)}")
            self.restart(name)
            said.append(f"{name} has ended ({how}); started again")
        return said

    def kill(self, name: str) -> None:
        """End the child at once, as `kill -9` does, and with it whatever it started."""
        process = self._running[name]
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def restart(self, name: str) -> None:
        """Start once more a child that has ended."""
        command, env = self._commands[name]
        self.start(name, command, env)

    def _how_it_ended(self, name: str) -> str:
        code = self._running[name].returncode
        return f"exit code {code}" if code >= 0 else signal.Signals(-code).name

    def last_line(self, name: str) -> str:
        """The child's last words, at most 300 characters."""
        with self.log_path(name).open("rb") as log:
            log.seek(max(0, self.log_path(name).stat().st_size - 4096))
            lines = log.read().decode(errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")[-300:]

    def wait_until(self, ready: Callable[[], bool], what: str, limit_s: float = 15.0) -> None:
        """Poll `ready` until it holds; a child that ends meanwhile, or the limit, is a Problem."""
        deadline = time.monotonic() + limit_s
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise Problem(f"{what} did not happen within {limit_s:g} s", f"Look into the logs in {self.log_dir}")
            time.sleep(0.02)

    def stop_all(self) -> None:
        """SIGTERM, newest first; SIGKILL for what has not ended within the limit."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError):
                    process.terminate()
        deadline = time.monotonic() + STOP_LIMIT_S
        for process in reversed(self._running.values()):
            try:
                process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        self._running.clear()


class Interrupted(BaseException):
    """The person, or the system, asked us to stop."""


@contextlib.contextmanager
def interruptible():
    """Turn SIGINT and SIGTERM into Interrupted inside the block, so that its `finally` always runs."""
    hook = sys.unraisablehook

    def stop(number: int, _frame: FrameType | None) -> None:
        raise Interrupted(signal.Signals(number).name)

    def lost(what: sys.UnraisableHookArgs) -> None:
        # The signal came while Python ran a finalizer (SQLAlchemy's pool has some), out of which no exception gets.
        if isinstance(what.exc_value, Interrupted):
            threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGTERM)).start()
        else:
            hook(what)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    sys.unraisablehook = lost
    try:
        yield
    finally:
        sys.unraisablehook = hook
        for number, handler in before.items():
            signal.signal(number, handler)
