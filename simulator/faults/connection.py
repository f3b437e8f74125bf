"""One connection through the proxy: two pipes, each with a queue of its own, and a say in how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from random import Random
from typing import Protocol

from simulator.faults.model import BLACK_HOLE, HALF_OPEN, REFUSED, Faults, Way

HELD_LIMIT_BYTES = 256 << 10  # of one direction; then its reading stops
PIECE_BYTES = 1460  # what a segment carries on Ethernet
CONNECT_LIMIT_S = 5.0
_LINGER_0 = struct.pack("ii", 1, 0)


class Link(Protocol):
    """What a connection knows of its link."""

    faults: Faults
    passed: dict[str, int]
    tap: Callable[[int, str, bytes], None] | None

    async def pause(self, seconds: float | None = None) -> None:
        """Until the time is over, or the faults have changed."""
        ...


class Reset(ConnectionError):
    """Both sides are to get a RST."""


class Pipe:
    """One direction. What was read waits here until it is due, then until it may go."""

    def __init__(self, of: Connection, way: str, source: socket.socket, target: socket.socket, draw: Random) -> None:
        self._of, self._name, self._source, self._target, self._draw = of, way, source, target, draw
        self._queue: deque[tuple[float, bytes | None]] = deque()  # (when due, piece); b"": the end, None: a RST
        self._news, self._room = asyncio.Event(), asyncio.Event()
        self._last_due = 0.0
        self._tokens, self._filled_at = 0.0, 0.0  # of the bandwidth's bucket, in bytes; it holds one piece
        self._passed = 0
        self.held = 0
        self.ended = asyncio.Event()  # nothing more comes from the source

    @property
    def _way(self) -> Way:
        return self._of.link.faults.up if self._name == "up" else self._of.link.faults.down

    async def read(self) -> None:
        """Until the source ends, in whatever way."""
        loop = asyncio.get_running_loop()
        piece: bytes | None = b"?"
        while piece:
            while self.held >= HELD_LIMIT_BYTES:
                self._room.clear()
                await self._room.wait()
            try:
                piece = await loop.sock_recv(self._source, min(PIECE_BYTES, HELD_LIMIT_BYTES - self.held))
            except OSError:
                piece = None
            if piece and self._of.link.tap:
                self._of.link.tap(self._of.number, self._name, piece)
            self._last_due = max(self._last_due, loop.time() + self._way.late_s(self._draw))
            self._queue.append((self._last_due, piece))
            self.held += len(piece or b"")
            self._news.set()
        self.ended.set()

    async def write(self) -> None:
        """Until the end has been passed on. Raises ConnectionError when both sides are to get a RST."""
        loop = asyncio.get_running_loop()
        while True:
            while not self._queue:
                self._news.clear()
                await self._news.wait()
            due, piece = self._queue[0]
            if (wait_s := due - loop.time()) > 0:
                await asyncio.sleep(wait_s)
            await self._pace(len(piece or b""))
            await self._of.until_open()
            if piece is None:
                raise Reset
            if not piece:
                with contextlib.suppress(OSError):  # it has gone itself
                    self._target.shutdown(socket.SHUT_WR)
                return
            way = self._way
            piece = way.noise(piece, self._draw)
            ends_at = min(way.reset_after or len(piece) + self._passed, way.truncate_after or len(piece) + self._passed)
            await loop.sock_sendall(self._target, piece[: max(0, ends_at - self._passed)])
            self._queue.popleft()
            self.held -= len(piece)
            self._room.set()
            self._passed += len(piece)
            self._of.link.passed[self._name] += len(piece)
            if way.reset_after and self._passed >= way.reset_after:
                raise Reset
            if way.truncate_after and self._passed >= way.truncate_after:
                self._of.finish()

    async def _pace(self, size: int) -> None:
        loop = asyncio.get_running_loop()
        while bps := self._way.bandwidth_bps:
            now = loop.time()
            # Idle time counts for one piece at most.
            self._tokens = min(PIECE_BYTES, self._tokens + (now - self._filled_at) * bps / 8) if self._filled_at else 0
            self._filled_at = now
            if self._tokens >= size:
                self._tokens -= size
                return
            await self._of.link.pause((size - self._tokens) * 8 / bps)


class Connection:
    """From the accepted socket to its end; `run` returns when both sockets are closed.

    dead: silent for good (see Faults.cut, half-open).
    """

    def __init__(self, link: Link, client: socket.socket, number: int, seed: str) -> None:
        self.link, self._client, self.number, self._seed = link, client, number, seed
        self.dead = link.faults.cut == HALF_OPEN
        self._sockets = [client]
        self._pipes: list[Pipe] = []
        self._end: asyncio.Future[bool] = asyncio.get_running_loop().create_future()  # True: with a RST

    @property
    def held(self) -> int:
        """Bytes that wait here."""
        return sum(pipe.held for pipe in self._pipes)

    def reset(self) -> None:
        """A RST to both sides, now."""
        if not self._end.done():
            self._end.set_result(True)

    def finish(self) -> None:
        """An orderly end of both sides, now."""
        if not self._end.done():
            self._end.set_result(False)

    async def until_open(self) -> None:
        """Return while pieces may pass; on a dead connection that is when both sides have ended."""
        while self.dead or self.link.faults.cut in (BLACK_HOLE, REFUSED):
            if not self.dead:
                await self.link.pause()
                continue
            for pipe in self._pipes:
                await pipe.ended.wait()
            self.finish()
            await asyncio.Event().wait()

    async def run(self, upstream: tuple[str, int]) -> None:
        """Carry; ends by itself, by `reset` and `finish`, or cancelled."""
        carrying = asyncio.ensure_future(self._carry(upstream))
        with_rst = True
        try:
            await asyncio.wait({carrying, self._end}, return_when=asyncio.FIRST_COMPLETED)
            if self._end.done():
                with_rst = self._end.result()
            elif isinstance(error := carrying.exception(), OSError):
                with_rst = True
            elif error:
                raise error
            else:
                with_rst = False
        finally:
            carrying.cancel()
            await asyncio.gather(carrying, return_exceptions=True)
            for one in self._sockets:
                if with_rst:
                    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_0)
                one.close()

    async def _carry(self, upstream: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        while not self.dead and self.link.faults.cut:
            await self.link.pause()
        if self.dead:
            await _drain(self._client)
            return
        server = socket.socket()
        self._sockets.append(server)
        for one in self._sockets:
            one.setblocking(False)
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        async with asyncio.timeout(CONNECT_LIMIT_S):
            await loop.sock_connect(server, upstream)
        self._pipes = [
            Pipe(self, way, source, target, Random(f"{self._seed}:{way}"))
            for way, source, target in (("up", self._client, server), ("down", server, self._client))
        ]
        await _first_error([pipe.read for pipe in self._pipes] + [pipe.write for pipe in self._pipes])


async def _drain(source: socket.socket) -> None:
    """Until it ends; what it says goes nowhere."""
    with contextlib.suppress(OSError):
        while await asyncio.get_running_loop().sock_recv(source, PIECE_BYTES):
            pass


async def _first_error(jobs: Sequence[Callable[[], Awaitable[None]]]) -> None:
    """Run all until they end, or one fails; then the others are cancelled, as they use the same sockets."""
    tasks = [asyncio.ensure_future(job()) for job in jobs]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
