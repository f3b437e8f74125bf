"""The world: one listener, its boards, and those who watch."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path

from simulator.radio.air import Air
from simulator.world import process, protocol
from simulator.world.board import Board
from simulator.world.control import Control
from simulator.world.protocol import Message, ProtocolError
from simulator.world.settings import WorldSettings
from simulator.world.wallclock import WallClock

log = logging.getLogger("sigap.world")
HELLO_LIMIT_S = 10.0
PEERS_LIMIT = 200
WATCH_LIMIT = 20_000  # events that may wait for a slow watcher


class World:
    """Use as `async with World(settings) as world:`. Loopback only.

    `token` guards it against other users of the machine.
    """

    def __init__(self, settings: WorldSettings, token: str | None = None) -> None:
        self.token = token or secrets.token_hex(16)
        self.port = 0
        self._settings = settings
        self._folder = Path()
        self._server: asyncio.Server | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._watchers: set[asyncio.Queue[Message | None]] = set()
        self._peers: set[asyncio.Task[None]] = set()
        self.stopping = asyncio.Event()
        clock = WallClock()
        self.air = Air(clock)
        make: Callable[..., Board] = lambda one: Board(  # noqa: E731
            one, self.emit, self._where, settings.restarts, settings.steady_s, self.air, clock.settle
        )
        self.boards = {one.name: make(one) for one in settings.boards}

    def _where(self) -> tuple[int, str, Path]:
        return self.port, self.token, self._folder

    async def __aenter__(self) -> World:
        self._loop = asyncio.get_running_loop()
        process.micropython()
        self._folder = await asyncio.to_thread(process.launcher_folder)
        try:
            for board in self.boards.values():
                await asyncio.to_thread(board.chip.flash, self._settings.firmware)
                board.plug()
            self._server = await asyncio.start_server(self._meet, "127.0.0.1", 0, limit=protocol.LINE_LIMIT_BYTES)
        except BaseException:
            await self.__aexit__()
            raise
        self.port = self._server.sockets[0].getsockname()[1]
        for board in self.boards.values():
            if board.settings.on:
                board.supply.on()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping.set()
        if self._server:
            self._server.close()
        await asyncio.gather(*(board.supply.off() for board in self.boards.values()))
        for board in self.boards.values():
            board.unplug()
            board.chip.release()
        for peer in list(self._peers):
            peer.cancel()
        await asyncio.gather(*self._peers, return_exceptions=True)

    def request_stop(self) -> None:
        """End the world, from any thread."""
        if self._loop and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self.stopping.set)

    # Events

    def emit(self, event: Message) -> None:
        for queue in list(self._watchers):
            try:
                queue.put_nowait(event)
            except asyncio.QueueFull:  # a watcher that does not read loses its stream, and sees that it did
                self._watchers.discard(queue)
                queue.get_nowait()
                queue.put_nowait(None)

    def watch(self) -> asyncio.Queue[Message | None]:
        """Every event from now on; None when the watcher was too slow and nothing more will come."""
        queue: asyncio.Queue[Message | None] = asyncio.Queue(WATCH_LIMIT)
        self._watchers.add(queue)
        return queue

    def unwatch(self, queue: asyncio.Queue[Message | None]) -> None:
        self._watchers.discard(queue)

    # Peers

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._peers.add(task)
        try:
            await self._serve(reader, writer)
        except ConnectionError:
            log.debug("a peer went away")
        except asyncio.CancelledError:
            if not self.stopping.is_set():
                raise
        finally:
            self._peers.discard(task)
            writer.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            async with asyncio.timeout(HELLO_LIMIT_S):
                hello = await protocol.read_message(reader)
            if hello is None:
                return
            board, answer = self._welcome(hello, writer)
        except TimeoutError:
            return
        except ProtocolError as error:
            writer.write(protocol.encode(protocol.refusal(error)))
            await writer.drain()
            return
        writer.write(protocol.encode({"ok": True, **answer}))
        if board is None:
            await Control(self, reader, writer).serve()
        else:
            await self._serve_board(board, reader)

    def _welcome(self, hello: Message, writer: asyncio.StreamWriter) -> tuple[Board | None, Message]:
        if not hmac.compare_digest(str(hello.get("token", "")).encode(), self.token.encode()):
            raise ProtocolError("wrong-token", "the token is not this world's", fatal=True)
        if len(self._peers) > PEERS_LIMIT:
            raise ProtocolError("too-many", f"a world talks to {PEERS_LIMIT} peers at most", fatal=True)
        if hello.get("protocol") != protocol.VERSION:
            said = f"this world speaks protocol {protocol.VERSION}, the peer {hello.get('protocol')!r}"
            raise ProtocolError("wrong-protocol", said, fatal=True)
        if hello.get("hello") == "control":
            return None, {"world": os.getpid(), "boards": list(self.boards)}
        if hello.get("hello") == "board":
            board = self.boards.get(str(hello.get("name")))
            if board is None:
                raise ProtocolError("unknown-board", "no board has this name", fatal=True)
            return board, board.attach(hello.get("run"), writer)
        raise ProtocolError("bad-hello", 'the first line says "hello": "board" or "control"', fatal=True)

    async def _serve_board(self, board: Board, reader: asyncio.StreamReader) -> None:
        run = board.supply.run
        while True:
            try:
                message = await protocol.read_message(reader)
                if message is None:
                    return
                if board.supply.run == run:
                    board.receive(message)
            except ProtocolError as error:
                log.error("%s: %s", board.name, error)
                board.event("protocol-error", error=error.error, message=error.message)
                if error.fatal:
                    board.supply.reset("hard")
                    return
            except (KeyError, TypeError, ValueError) as error:
                log.error("%s: a message that cannot be read (%r)", board.name, error)
                board.event("protocol-error", error="bad-message", message=repr(error))
