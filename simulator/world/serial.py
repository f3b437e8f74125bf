"""A board's serial port on the host: a PTY whose device any terminal program may open, as a USB bridge's.

The port is there as long as the world is, whether the board has power or not. What the board says while nobody
has the device open is lost, as it is on a wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pty
import select
import sys
import termios
import tty
from collections.abc import Callable
from pathlib import Path

from sigap.problem import Problem

QUEUE_LIMIT_BYTES = 256 << 10
CHUNK_BYTES = 4096
CHUNKS_AT_ONCE = 16  # then the others have a turn


class Outlet:
    """Writes to a descriptor without ever blocking; what does not fit into its queue is lost."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._queue = bytearray()
        self.lost_bytes = 0
        os.set_blocking(descriptor, False)

    def write(self, data: bytes) -> None:
        room = QUEUE_LIMIT_BYTES - len(self._queue)
        self.lost_bytes += max(0, len(data) - room)
        waiting = bool(self._queue)
        self._queue += data[:room]
        if not waiting:
            self._flush()
            if self._queue:
                asyncio.get_running_loop().add_writer(self._descriptor, self._flush)

    def _flush(self) -> None:
        try:
            while self._queue:
                del self._queue[: os.write(self._descriptor, self._queue[:CHUNK_BYTES])]
        except BlockingIOError:
            return
        except OSError:  # the other side is gone
            self._queue.clear()
        self.drop()

    def drop(self) -> None:
        """Forget what waits."""
        self._queue.clear()
        asyncio.get_running_loop().remove_writer(self._descriptor)


class Edges:
    """Calls `happened()` once for each news at a descriptor (edge-triggered), and takes nothing from it."""

    def __init__(self, descriptor: int, happened: Callable[[], None]) -> None:
        self._epoll = select.epoll()
        self._epoll.register(descriptor, select.EPOLLIN | select.EPOLLET)
        self._happened = happened
        asyncio.get_running_loop().add_reader(self._epoll.fileno(), self._look)

    def _look(self) -> None:
        if self._epoll.poll(0):
            self._happened()

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._epoll.fileno())
        self._epoll.close()


class SerialPort:
    """hear(bytes) is told what the host sends. `device`: the path to open. Needs a running event loop.

    Raises Problem where there is no epoll: a PTY's master reports "nobody there" without end, and only an edge of
    it costs nothing.
    """

    def __init__(self, hear: Callable[[bytes], None]) -> None:
        if sys.platform != "linux":
            raise Problem("virtual serial ports need Linux", "Leave `serial` out of the world file")
        self._hear = hear
        self._master, slave = pty.openpty()
        self.device = os.ttyname(slave)
        tty.setraw(slave)
        os.close(slave)
        self._outlet = Outlet(self._master)
        self._presence = select.poll()
        self._presence.register(self._master, 0)
        self._unread = False
        self._edges = Edges(self._master, self._receive)
        self._link: Path | None = None

    def link(self, path: Path) -> None:
        """Give the device a second name that stays the same from run to run."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(path.name + ".part")
        part.unlink(missing_ok=True)
        part.symlink_to(self.device)
        part.replace(path)
        self._link = path

    def is_open(self) -> bool:
        """Somebody has the device open."""
        return not any(flags & select.POLLHUP for _, flags in self._presence.poll(0))

    def write(self, data: bytes) -> None:
        """To whoever has the device open."""
        if self.is_open():
            self._unread = True
            self._outlet.write(data)

    def _receive(self) -> None:
        for _ in range(CHUNKS_AT_ONCE):
            try:
                data = os.read(self._master, CHUNK_BYTES)
            except BlockingIOError:
                return
            except OSError:  # the last one has closed the device
                self._forget()
                return
            self._hear(data)
        asyncio.get_running_loop().call_soon(self._more)

    def _more(self) -> None:
        if self._master >= 0:
            self._receive()

    def _forget(self) -> None:
        """Nobody is there any more: the next one must not read what was meant for this one."""
        self._outlet.drop()
        if not self._unread:
            return
        self._unread = False
        with contextlib.suppress(OSError, termios.error):
            slave = os.open(self.device, os.O_RDWR | os.O_NOCTTY)
            try:
                termios.tcflush(slave, termios.TCIOFLUSH)
            finally:
                os.close(slave)

    def close(self) -> None:
        """Unplug the bridge: whoever has the device open reads its end."""
        if self._master < 0:
            return
        self._edges.close()
        self._outlet.drop()
        os.close(self._master)
        self._master = -1
        if self._link and self._link.is_symlink() and os.readlink(self._link) == self.device:
            self._link.unlink()
