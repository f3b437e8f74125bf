"""The links of a realtime story through the fault proxy, in a thread of this process: so that frames can be watched."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sigap.problem import Problem
from simulator.faults.control import load
from simulator.virtual import mqtt

START_LIMIT_S = 10.0
CHANGE_LIMIT_S = 10.0

Frame = Callable[[str, str, bytes], None]  # (link, "up" or "down", payload)


class Lines:
    """Use as a context manager. frame: told of each MQTT message on a link, in the thread, before any fault."""

    def __init__(self, links: Path, seed: int, frame: Frame) -> None:
        self._proxies = {one.name: one for one in load(links, seed)}
        self._frame = frame
        self._loop = asyncio.new_event_loop()
        self._ready, self._ends = threading.Event(), asyncio.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._serve, name="lines", daemon=True)

    def __enter__(self) -> Lines:
        self._thread.start()
        self._ready.wait(START_LIMIT_S)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._ends.set)
        self._thread.join(START_LIMIT_S)

    def set(self, link: str, **faults: Any) -> None:
        """As simulator.faults.model.Faults.changed takes them."""
        asyncio.run_coroutine_threadsafe(self._proxies[link].set(faults), self._loop).result(CHANGE_LIMIT_S)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._live())
        except (Problem, OSError) as error:
            self._error = error
        finally:
            self._ready.set()
            self._loop.close()

    async def _live(self) -> None:
        async with contextlib.AsyncExitStack() as stack:
            for name, proxy in self._proxies.items():
                if name.startswith("board:"):
                    proxy.tap = Reading(name, self._frame).piece
                await stack.enter_async_context(proxy)
            self._ready.set()
            await self._ends.wait()


class Reading:
    """Takes the pieces of every connection of one link apart into MQTT packets; tells the messages in them."""

    MOST_KEPT = 64 * 1024  # of a packet that is not whole yet

    def __init__(self, link: str, frame: Frame) -> None:
        self._link, self._frame = link, frame
        self._connection = 0
        self._rest: dict[str, bytearray] = {}

    def piece(self, connection: int, way: str, data: bytes) -> None:
        if connection > self._connection:  # a board has one connection; what comes of an older one is of no use to it
            self._connection, self._rest = connection, {"up": bytearray(), "down": bytearray()}
        if connection < self._connection:
            return
        rest = self._rest[way]
        rest += data
        try:
            while packet := mqtt.split(rest):
                if packet.kind == mqtt.PUBLISH:
                    self._message(way, mqtt.read_publish(packet))
        except mqtt.Malformed:
            rest.clear()  # garbage on the line; Mosquitto ends the connection
        if len(rest) > self.MOST_KEPT:
            rest.clear()

    def _message(self, way: str, message: mqtt.Publish) -> None:
        if message.topic.endswith("/up" if way == "up" else "/down"):
            self._frame(self._link, way, message.payload)
