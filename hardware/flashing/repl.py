"""MicroPython at the other end of a port, through the real mpremote (its SerialTransport, as a library)."""

from __future__ import annotations

import contextlib
import io
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import serial
from mpremote.transport import TransportError, TransportExecError
from mpremote.transport_serial import SerialTransport

from hardware.flashing.port import check, lost
from sigap.problem import Problem

BAUD = 115200
READ_S = 3.0  # for one byte within an answer
ENTER_S = 3  # to the prompt; a board that was just starting may have lost what it was told, and is asked again
ANSWERS_S = 10.0
CHUNK_BYTES = 512
# Where the firmware has started the watchdog, nothing can stop it before the reset at the end; so it is given time
# instead. It also ends what a pulled cable leaves behind: the board starts again by itself.
WATCHDOG_MS = 120_000
_FEED = f"import machine\nmachine.WDT(timeout={WATCHDOG_MS}).feed()\n"

_HASHES = """
import hashlib, json, os
def _hash(path):
    try:
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while True:
                block = file.read(512)
                if not block:
                    return "".join("%02x" % byte for byte in digest.digest())
                digest.update(block)
    except OSError:
        return ""
"""


class Repl:
    """An open raw REPL; main.py does not run. Use `open_repl`."""

    def __init__(self, port: str, transport: SerialTransport) -> None:
        self.port, self._transport = port, transport

    def run(self, code: str, doing: str) -> str:
        """What the code prints on the board. Problem with its last line when it raises, or when the line breaks."""
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # mpremote prints what it did not expect
                return self._transport.exec(_FEED + code).decode(errors="replace")
        except TransportExecError as error:
            line = error.error_output.strip().splitlines()[-1:] or ["no message"]
            raise Problem(
                f"{self.port}: the board failed while {doing}: {line[0]}", "Run `sigap flash` again"
            ) from error
        except (TransportError, serial.SerialException, OSError) as error:
            raise lost(self.port, doing, error) from error

    def ask(self, expression: str, doing: str, before: str = "") -> Any:
        """The value of an expression, through JSON."""
        said = self.run(f"import json\n{before}\nprint(json.dumps({expression}))", doing)
        try:
            return json.loads(said)
        except ValueError as error:
            raise lost(self.port, doing, f"it said {said[-80:]!r}") from error

    def hashes(self, paths: list[str], doing: str) -> dict[str, str]:
        """{path: SHA-256, "" for one that is not there}, computed on the board."""
        found: dict[str, str] = {}
        for first in range(0, len(paths), 8):
            part = paths[first : first + 8]
            found |= zip(part, self.ask(f"[_hash(path) for path in {part!r}]", doing, _HASHES), strict=True)
        return found

    def write(self, path: str, content: bytes, doing: str, progress: Callable[[int], None] = lambda _: None) -> None:
        """A file, with the folders above it. progress: bytes so far. Cut off, it is not there or incomplete."""
        folders = path.strip("/").split("/")[:-1]
        made = ["/" + "/".join(folders[: count + 1]) for count in range(len(folders))]
        self.run(f"import os\nfor path in {made!r}:\n try: os.mkdir(path)\n except OSError: pass\n", doing)
        self.run(f"_file = open({path!r}, 'wb')", doing)
        for begin in range(0, len(content), CHUNK_BYTES):
            self.run(f"_file.write({content[begin : begin + CHUNK_BYTES]!r})", doing)
            progress(min(len(content), begin + CHUNK_BYTES))
        self.run("_file.close()\ndel _file", doing)

    def reset(self) -> None:
        """Start the board anew, firmware and all."""
        with contextlib.suppress(TransportError, serial.SerialException, OSError):  # it is gone before it can answer
            self._transport.exec_raw_no_follow("import machine\nmachine.reset()")
            time.sleep(0.2)

    def close(self) -> None:
        with contextlib.suppress(OSError, serial.SerialException):
            self._transport.close()


@contextlib.contextmanager
def open_repl(port: str, wait_s: float = ANSWERS_S) -> Iterator[Repl]:
    """Interrupt what runs and reset the interpreter. wait_s: how long the board may take until it answers.

    Problem when nobody answers. At the end the port is closed; who changed something calls reset().
    """
    deadline = time.monotonic() + wait_s
    while True:
        name = check(port)
        transport = None
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                transport = SerialTransport(name, BAUD, timeout=READ_S)
                transport.enter_raw_repl(timeout_overall=ENTER_S)
            break
        except (TransportError, serial.SerialException, OSError) as error:
            if transport is not None:
                with contextlib.suppress(OSError, serial.SerialException):
                    transport.close()
            if time.monotonic() >= deadline:
                raise Problem(
                    f"no MicroPython answers at {port} ({error})",
                    "Press RESET on the board and try again; if it has none yet, run `sigap flash` without --keep",
                ) from error
            time.sleep(0.5)
    repl = Repl(port, transport)
    try:
        yield repl
    finally:
        repl.close()
