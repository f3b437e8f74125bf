"""The live line to open desks: one look at the store for all of them, each event encoded once (SSE)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from sqlalchemy.exc import SQLAlchemyError

from gateway.desk.look import newest_event
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem

log = logging.getLogger("sigap.desk")

LOOK_EVERY_S = 0.1
BEAT_S = 1.0  # a page that hears nothing for three of these says that the line is gone
MOST_DESKS = 100


class Live:
    """stream() says the newest event's id when it changes, and beats in between. It looks only while somebody does."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changed = asyncio.Condition()
        self._newest = 0
        self._desks = 0
        self._looking: asyncio.Task[None] | None = None

    @property
    def is_full(self) -> bool:
        return self._desks >= MOST_DESKS

    async def stream(self, seen: int) -> AsyncIterator[bytes]:
        """Server-sent events (https://html.spec.whatwg.org/#server-sent-events) for a page that has seen `seen`."""
        self._desks += 1
        try:
            if self._looking is None or self._looking.done():
                self._looking = asyncio.create_task(self._look(), name="desk looks")
            while True:
                if self._newest > seen:
                    seen = self._newest
                    yield b"event: change\ndata: %d\n\n" % seen
                    continue
                try:
                    async with asyncio.timeout(BEAT_S), self._changed:
                        while self._newest <= seen:
                            await self._changed.wait()
                except TimeoutError:
                    yield b"event: beat\ndata: \n\n"
        finally:
            self._desks -= 1

    async def _look(self) -> None:
        while self._desks:
            try:
                newest = await asyncio.to_thread(self._read)
            except (SQLAlchemyError, StoreProblem) as error:
                log.error("the desk cannot look into the store: %s", error)
                newest = self._newest
            if newest != self._newest:
                async with self._changed:
                    self._newest = newest
                    self._changed.notify_all()
            await asyncio.sleep(LOOK_EVERY_S)

    def _read(self) -> int:
        with self._store.read() as conn:
            return newest_event(conn)
