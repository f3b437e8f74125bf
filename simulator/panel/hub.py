"""Keeps the panel as new as the world: follows its events, comes back when it has gone, tells every open page."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from typing import Any

from sigap.problem import Problem
from simulator.panel.alarms import Alarms
from simulator.panel.board import Board
from simulator.panel.pages import Pages
from simulator.panel.ports import Gateway
from simulator.panel.runs import Runs
from simulator.world.client import AsyncWorldClient, WorldError

log = logging.getLogger("sigap.panel")

TICK_S = 0.1
LIST_EVERY_S = 1.0  # what no event tells: where a receiver is
LOOK_EVERY_S = 0.25  # into the gateway's records
RETRY_S = 0.5
CONNECT_LIMIT_S = REQUEST_LIMIT_S = 10.0
REPLAYED_AT_ONCE = 50  # entries of an old pin log between two looks at what the light said
QUIET = {"pin", "pwm", "console", "press"}  # events after which the list of boards is as before
ENDS = {"power", "reset", "died"}
FAST = ("led", "tone_hz", "is_down")  # told at once, by an event of their own
DOWN, UP = [[0, 0]], [[0, 1]]


class Hub:
    """find: (port, token) of the world, or Problem while there is none. gateway: None when there is none."""

    def __init__(self, find: Callable[[], tuple[int, str]], gateway: Gateway | None, runs: Runs) -> None:
        self._find, self._gateway, self._runs = find, gateway, runs
        self.pages, self.alarms = Pages(), Alarms()
        self.boards: dict[str, Board] = {}
        self._client: AsyncWorldClient | None = None
        self._known: dict[str, dict[str, Any]] = {}
        self._holders: dict[str, set[str]] = {}
        self._changed = asyncio.Event()
        self._said: dict[str, Any] = {}
        self._trouble: str | None = None

    # What the page asks

    def hello(self, page: str) -> dict[str, Any]:
        """Everything that a page shows, as of now."""
        return {
            "page": page,
            "consoles": {name: list(board.console) for name, board in self.boards.items()},
            **self._state(),
        }

    async def ask(self, do: str, **fields: Any) -> dict[str, Any]:
        """One request to the world. Problem when it refuses, is late or not there."""
        if self._client is None:
            raise Problem("the world is gone", "Start it again: `sigap run`")
        try:
            async with asyncio.timeout(REQUEST_LIMIT_S):
                answer = await self._client.request(do, **fields)
        except TimeoutError:
            raise Problem("the world does not answer") from None
        self._changed.set()
        return answer

    async def contact(self, page: str, board: str, is_down: bool) -> None:
        """A page holds the button of a board, or lets it go. The contact is closed while anybody holds it."""
        holders = self._holders.setdefault(board, set())
        before = bool(holders)
        (holders.add if is_down else holders.discard)(page)
        if bool(holders) != before:
            await self.ask("press", board=board, script=DOWN if holders else UP)

    async def leave(self, page: str) -> None:
        """A page has gone; what it held is let go."""
        self.pages.leave(page)
        for board, holders in self._holders.items():
            if page in holders:
                with contextlib.suppress(Problem, OSError):
                    await self.contact(page, board, False)

    # The world

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tick())
            tasks.create_task(self._look())
            tasks.create_task(self._stay())

    async def _stay(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CONNECT_LIMIT_S):
                    client = await AsyncWorldClient.connect(*self._find())
            except (Problem, OSError, TimeoutError, ValueError):
                await asyncio.sleep(RETRY_S)
                continue
            try:
                await self._follow(client)
            except* (Problem, OSError) as gone:
                log.warning("the world is gone: %s", gone.exceptions[0])
            finally:
                self._client = None
                self._holders.clear()
                await client.close()
            await asyncio.sleep(RETRY_S)

    async def _follow(self, client: AsyncWorldClient) -> None:
        await client.request("watch", board=None)
        listed = (await client.request("list"))["boards"]
        boards = {summary["name"]: Board(summary) for summary in listed}
        for name, board in boards.items():
            for line in (await client.request("console", board=name))["lines"]:
                board.print(line)
            since, more = 0, True
            while more:
                answer = await client.request("pins", board=name, since=since)
                for number, entry in enumerate(answer["pins"]):
                    found, since = board.take(entry), entry["seq"]
                    if found or number % REPLAYED_AT_ONCE == 0:
                        self._read_light(board, entry["at"])
                    for at in found:
                        self.alarms.pressed(name, at, False)
                more = answer["more"]
        self.boards, self._client = boards, client
        self.pages.publish("hello", {**self.hello(""), "page": None})
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._hear(client))
            tasks.create_task(self._list(client))
            await client.ended.wait()
            raise WorldError({})

    async def _hear(self, client: AsyncWorldClient) -> None:
        while True:
            event = await client.events.get()
            kind, board = event["event"], self.boards.get(event.get("board", ""))
            if kind == "too-slow":
                raise WorldError({"message": "the panel was too slow for the world"})
            if board is None:
                continue
            if kind == "console":
                self.pages.publish("console", {"board": board.name, "text": board.print(event["text"])})
            elif kind in ("pin", "pwm"):
                self._pin(board, event)
            if kind in ENDS:
                board.restarted()
            if kind not in QUIET:
                self._changed.set()

    def _pin(self, board: Board, entry: dict[str, Any]) -> None:
        before = (board.led, board.tone_hz, board.is_down)
        self._pressed(board, board.take(entry))
        if (board.led, board.tone_hz, board.is_down) != before:
            now = {"led": board.led, "tone_hz": board.tone_hz, "is_down": board.is_down}
            self.pages.publish("pin", {"board": board.name, **now})

    async def _list(self, client: AsyncWorldClient) -> None:
        while True:
            for summary in (await client.request("list"))["boards"]:
                self.boards[summary["name"]].summary = summary
            self._publish_changes()
            self._changed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LIST_EVERY_S):
                    await self._changed.wait()

    # What follows from it

    def _pressed(self, board: Board, found: list[float]) -> None:
        for at in found:
            self.alarms.pressed(board.name, at, board.is_running)

    def _read_light(self, board: Board, now: float) -> None:
        """What the light has said since the newest press."""
        if at := self.alarms.newest_press(board.name):
            self.alarms.lit(board.name, board.lit_since(at, now))

    async def _tick(self) -> None:
        while True:
            now = time.time() * 1000
            for board in self.boards.values() if self._client else ():
                self._pressed(board, board.settle(now))
                self._read_light(board, now)
            self._publish_changes()
            await asyncio.sleep(TICK_S)

    async def _look(self) -> None:
        """Into the records of the gateway, and how the scenarios do."""
        while True:
            self._trouble = None
            try:
                if self._gateway is not None:
                    self._known = await asyncio.to_thread(self._gateway.boards)
                    self.alarms.recorded(await asyncio.to_thread(self._gateway.timeline))
                await asyncio.to_thread(self._runs.look, bool(len(self.pages)))
            except Problem as problem:
                self._trouble = str(problem)
            await asyncio.sleep(LOOK_EVERY_S)

    def _state(self) -> dict[str, Any]:
        now = time.time() * 1000
        return {
            "world": self._client is not None,
            "trouble": self._trouble,
            "boards": [board.show(now, self._known.get(name, {})) for name, board in self.boards.items()],
            "alarms": self.alarms.documents(),
            "runs": self._runs.shown(),
        }

    def _publish_changes(self) -> None:
        state = self._state()
        for name, value in state.items():
            slow = [_without(each, FAST) for each in value] if name == "boards" else value
            if name not in self._said or self._said[name] != slow:
                self._said[name] = slow
                self.pages.publish(name, value)


def _without(board: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: value for key, value in board.items() if key not in keys}
