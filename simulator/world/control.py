"""What a control peer may ask of the world; each request has one answer with the same id."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from sigap.problem import Problem
from simulator import image
from simulator.world import gps, presses, protocol
from simulator.world.board import Board
from simulator.world.protocol import Message, ProtocolError
from simulator.world.settings import WIFI

log = logging.getLogger("sigap.world")
REQUESTS_LIMIT = 64  # running at once for one peer


def _integer(request: Message, key: str, default: int | None = None) -> int:
    value = request.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int):
        raise ProtocolError("bad-request", f"{key} must be a whole number")
    return value


def _boolean(request: Message, key: str) -> bool:
    value = request.get(key)
    if not isinstance(value, bool):
        raise ProtocolError("bad-request", f"{key} must be true or false")
    return value


class Asked(Protocol):
    """What its control peers reach of a world."""

    boards: dict[str, Board]
    stopping: asyncio.Event

    def watch(self) -> asyncio.Queue[Message | None]: ...
    def unwatch(self, queue: asyncio.Queue[Message | None]) -> None: ...


class Control:
    """One control peer. Requests run side by side: a press of ten seconds delays no other answer."""

    def __init__(self, world: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._world, self._reader, self._writer = world, reader, writer
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching = False
        self._actions: dict[str, Callable[[Message], Awaitable[Message]]] = {
            "list": self._list,
            "press": self._press,
            "pin": self._pin,
            "power": self._power,
            "reset": self._reset,
            "pins": self._pins,
            "console": self._console,
            "wifi": self._wifi,
            "battery": self._battery,
            "gps": self._gps,
            "uart": self._uart,
            "flash": self._flash,
            "serial": self._serial,
            "memory": self._memory,
            "watch": self._watch,
            "stop": self._stop,
        }

    async def serve(self) -> None:
        try:
            while True:
                try:
                    request = await protocol.read_message(self._reader)
                except ProtocolError as error:
                    await self._answer(protocol.refusal(error))
                    if error.fatal:
                        return
                    continue
                if request is None:
                    return
                if len(self._tasks) >= REQUESTS_LIMIT:
                    busy = ProtocolError("too-many", f"{REQUESTS_LIMIT} requests are running")
                    await self._answer(protocol.refusal(busy, request))
                    continue
                self._start(self._handle(request))
        finally:
            for task in list(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, message: Message) -> None:
        self._writer.write(protocol.encode(message))
        await self._writer.drain()

    async def _handle(self, request: Message) -> None:
        action = self._actions.get(str(request.get("do")))
        try:
            if action is None:
                raise ProtocolError("unknown-request", f"do is one of {', '.join(self._actions)}")
            answer: Message = {"ok": True, **await action(request)}
        except ProtocolError as error:
            answer = protocol.refusal(error)
        except Problem as problem:
            answer = protocol.refusal(ProtocolError("bad-request", problem.what))
        except (TypeError, ValueError) as error:
            answer = protocol.refusal(ProtocolError("bad-request", f"a field has the wrong type ({error})"))
        if "id" in request:
            answer["id"] = request["id"]
        try:
            await self._answer(answer)
        except ConnectionError:
            log.debug("a control peer went away before its answer")

    def _board(self, request: Message) -> Board:
        name = request.get("board")
        if not isinstance(name, str) or name not in self._world.boards:
            raise ProtocolError(
                "unknown-board", f"no board is named {name!r}; there are {', '.join(self._world.boards)}"
            )
        return self._world.boards[name]

    async def _list(self, _: Message) -> Message:
        return {"boards": [board.summary() for board in self._world.boards.values()]}

    async def _press(self, request: Message) -> Message:
        board = self._board(request)
        if "script" in request:
            script = presses.checked(request["script"])
        else:
            keys = ("down_ms", "gap_ms", "bounce_ms", "seed")
            given = {key: _integer(request, key) for key in keys if key in request}
            script = presses.checked(presses.presses(_integer(request, "presses", 3), **given))
        return await board.press(script, _integer(request, "pin") if "pin" in request else None)

    async def _pin(self, request: Message) -> Message:
        if request.get("value") not in (0, 1, None):
            raise ProtocolError("bad-request", "value is 0, 1 or null")
        return self._board(request).set_pin(_integer(request, "pin"), request.get("value"))

    async def _power(self, request: Message) -> Message:
        board = self._board(request)
        if _boolean(request, "on"):
            board.supply.on()
        else:
            await board.supply.off()
        return {"state": board.supply.state}

    async def _reset(self, request: Message) -> Message:
        board = self._board(request)
        if board.supply.pid is None:
            raise ProtocolError("board-off", f"{board.name} is {board.supply.state}")
        board.supply.reset("hard")
        return {}

    async def _pins(self, request: Message) -> Message:
        board, limit = self._board(request), _integer(request, "limit", 400)
        entries = board.pins.since(_integer(request, "since", 0))
        page = entries[: max(1, min(limit, 400))]
        more = len(entries) > len(page)
        return {"pins": page, "more": more, "dropped": board.pins.dropped}

    async def _console(self, request: Message) -> Message:
        lines: list[str] = []
        size = 0
        for line in reversed(self._board(request).console):
            size += len(line) * 6 + 8
            if size > protocol.LINE_LIMIT_BYTES - 1000:
                break
            lines.append(line)
        return {"lines": lines[::-1]}

    async def _battery(self, request: Message) -> Message:
        board = self._board(request)
        changes: dict[str, Any] = {}
        if "battery_mv" in request:
            changes["battery_mv"] = _integer(request, "battery_mv")
            if not 0 <= changes["battery_mv"] <= 4500:
                raise ProtocolError("bad-request", "battery_mv is 0 (none) to 4500")
        if "usb" in request:
            changes["usb"] = _boolean(request, "usb")
        board.set_battery(**changes)
        return {"battery_mv": board.electrics.battery_mv}

    async def _wifi(self, request: Message) -> Message:
        board = self._board(request)
        board.set_wifi({key: request[key] for key in WIFI if key in request})
        return {"wifi": board.wifi}

    async def _gps(self, request: Message) -> Message:
        board = self._board(request)
        settings = request.get("gps")
        if isinstance(settings, dict) and set(settings) == {"sky"} and board.gps:
            board.gps.sky = bool(settings["sky"])
        else:
            board.gps = None if settings is None else gps.receiver(settings)
        return {}

    async def _uart(self, request: Message) -> Message:
        sent = self._board(request).send({"uart": _integer(request, "uart"), "data": str(request.get("data", ""))})
        return {"sent": sent}

    async def _flash(self, request: Message) -> Message:
        board, blocks = self._board(request), image.BLOCKS
        if "worn" in request:
            worn = request["worn"]
            if worn is not None:
                first, last = worn
                if type(first) is not int or type(last) is not int or not 0 <= first <= last < blocks:
                    raise ProtocolError(
                        "bad-request", f"worn is [first, last] of the blocks 0 to {blocks - 1}, or null"
                    )
                worn = first, last
            board.worn = worn
        if "tear" in request:
            tear = request["tear"]
            if tear is not None and (type(tear) is not int or not 0 <= tear < 1 << 30):
                raise ProtocolError("bad-request", "tear is a whole number of bytes, or null")
            board.tear = tear
        return {"worn": board.worn, "tear": board.tear}

    async def _serial(self, request: Message) -> Message:
        return {"device": self._board(request).serial}

    async def _memory(self, request: Message) -> Message:
        return await self._board(request).memory()

    async def _watch(self, request: Message) -> Message:
        if self._watching:
            raise ProtocolError("bad-request", "this connection watches already")
        self._watching = True
        only = request.get("board")
        if only is not None:
            self._board(request)
        self._start(self._stream(self._world.watch(), only))
        return {}

    async def _stream(self, queue: asyncio.Queue[Message | None], only: str | None) -> None:
        try:
            while (event := await queue.get()) is not None:
                if only is None or event.get("board") == only:
                    await self._answer(event)
            await self._answer({"event": "too-slow"})
        except ConnectionError:
            log.debug("a watcher went away")
        finally:
            self._world.unwatch(queue)

    async def _stop(self, _: Message) -> Message:
        self._world.stopping.set()
        return {}
