"""A board's own end of its serial port: its standard input, Ctrl-C, and interrupts while it waits at the prompt.

The interpreter's prompt blocks in read() of its standard input, and runs nothing that its threads have scheduled. So
that is a socket with a time limit for reading (of years): such a read is ended with EINTR by a stop and a continue
(signal(7)), and then the interpreter does what is scheduled, and reads on. The byte that the board's reader thread
writes into its wake pipe is the sign for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import struct
import termios
from collections.abc import Callable
from pathlib import Path

from simulator.world.serial import Edges, Outlet, SerialPort

CTRL_A, CTRL_C = b"\x01", b"\x03"
REMOTE = b"\x18"  # mpremote's mount: binary from here on
RAW, FRIENDLY = b"raw REPL; CTRL-B to exit\r\n", b'Type "help()" for more information.\r\n'
READ_LIMIT_S = 1 << 31
INTERRUPT_PAUSE_S = 0.1  # the interpreter ends at a second SIGINT before it has taken the first
NUDGE_S = 0.25  # for the scheduled that came just before the read
WAKES_KEPT = 4096
_BARE_NEWLINE = re.compile(rb"(?<!\r)\n")


class Prompt:
    """has_power(): somebody hears the port; pid(): the board's process, None between two. Needs a running event loop.

    raw: what the board has said last is that it is in the raw REPL. stdin, wake: descriptors for the process.
    """

    def __init__(self, has_power: Callable[[], bool], pid: Callable[[], int | None]) -> None:
        self._has_power, self._pid = has_power, pid
        self.raw = self._wanted = False
        self.port = SerialPort(self.hear)
        self._join()

    def _join(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("ll", READ_LIMIT_S, 0))
        self._input = Outlet(self._ours.fileno())
        self.stdin, self.wake = self._theirs.fileno(), os.pipe()
        self._begin()

    def _part(self) -> None:
        self._input.drop()
        self._ours.close()
        self._theirs.close()
        for descriptor in self.wake:
            os.close(descriptor)

    def _begin(self) -> None:
        self._listening = False  # to Ctrl-C; one that comes too early waits in _wanted
        self._interrupted: asyncio.TimerHandle | None = None
        self._tail = self._last = b""
        self._is_binary = False
        self._edges: Edges | None = None
        self._tick: asyncio.TimerHandle | None = None

    def start(self, cause: str) -> None:
        """A process begins because of `cause` (supply.CAUSES).

        After a soft reset it goes back to the kind of REPL that it has left. What the last process has not read is
        lost: on a chip that is what does not fit into 260 bytes.
        """
        self._part()
        self._join()
        if cause != "soft":
            self.raw = self._wanted = False
            return
        self.port.write(b"MPY: soft reboot\r\n")
        if self.raw:
            self._input.write(CTRL_A)

    def gone(self) -> None:
        """The process has ended."""
        if self._edges:
            self._edges.close()
        for timer in (self._interrupted, self._tick):
            if timer:
                timer.cancel()
        self._begin()

    def close(self) -> None:
        """The world ends."""
        self.gone()
        self.port.close()
        self._part()

    # What the board prints

    def printed(self, data: bytes) -> None:
        """To the port, with line ends as the ESP32 makes them; until binary of a mounted folder begins."""
        text = self._tail + data
        raw, friendly = text.rfind(RAW), text.rfind(FRIENDLY)
        if max(raw, friendly) >= 0:
            self.raw = raw > friendly
        self._tail = text[-len(FRIENDLY) :]
        self._is_binary = self._is_binary or REMOTE in data
        if not self._is_binary:
            last, self._last = self._last, data[-1:].replace(b"\n", b"")
            data = _BARE_NEWLINE.sub(b"\r\n", last + data)[len(last) :]
        self.port.write(data)

    # What the host sends

    def hear(self, data: bytes) -> None:
        """Bytes from the host: Ctrl-C interrupts as the chip's UART does, the rest waits to be read."""
        if not self._has_power():
            return
        if CTRL_C in data and (not self._listening or self._interrupt()):
            self._wanted = self._wanted or not self._listening
            data = data.replace(CTRL_C, b"")
        self._input.write(data)

    def _interrupt(self) -> bool:
        """Ctrl-C to what the process runs. False at its prompt: there it is a key, and SIGINT would end the process."""
        pid = self._pid()
        if pid is None or not _handles_interrupt(pid):
            return False
        if self._interrupted is None:
            self._interrupted = asyncio.get_running_loop().call_later(INTERRUPT_PAUSE_S, self._interrupted_long_ago)
            _kill(pid, signal.SIGINT)
        else:
            self._wanted = True
        return True

    def _interrupted_long_ago(self) -> None:
        self._interrupted = None
        if self._wanted:
            self._wanted = False
            self._interrupt()

    # What the launcher tells

    def told(self, state: str) -> None:
        """From "open" on, Ctrl-C counts. "prompt": the files have run. "again": Ctrl-C has met an interrupt."""
        if state == "open":
            self._listening = True
            if self._wanted:
                self._wanted = False
                self._interrupt()
        elif state == "prompt" and self._edges is None:
            self._edges = Edges(self.wake[0], self._woken)
            self._keep_nudging()
        elif state == "again":
            self._interrupt()

    def _keep_nudging(self) -> None:
        self._nudge()
        self._tick = asyncio.get_running_loop().call_later(NUDGE_S, self._keep_nudging)

    def _woken(self) -> None:
        waiting = struct.unpack("i", fcntl.ioctl(self.wake[0], termios.FIONREAD, bytes(4)))[0]
        if waiting > 2 * WAKES_KEPT:  # nobody reads them at the prompt; the writer must not block
            os.read(self.wake[0], WAKES_KEPT)
        self._nudge()

    def _nudge(self) -> None:
        if (pid := self._pid()) is not None:
            _kill(pid, signal.SIGSTOP)
            _kill(pid, signal.SIGCONT)


def _kill(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def _handles_interrupt(pid: int) -> bool:
    """The process runs code, and has a handler for SIGINT."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return False
    caught = int(re.search(r"^SigCgt:\s*([0-9a-f]+)$", status, re.MULTILINE)[1], 16)  # type: ignore[index]
    return bool(caught & 1 << (signal.SIGINT - 1))
