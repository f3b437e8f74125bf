"""The live line to open desks: one look at the store for all of them, each event made and encoded once (SSE)."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from sqlalchemy.exc import SQLAlchemyError

from gateway.desk.look import newest_event, unseen
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem

log = logging.getLogger("sigap.desk")

LOOK_EVERY_S = 0.1  # for what others commit; changed() says it at once
REST_S = 0.2  # after a change: an alarm is followed by its acceptance and more within that, which then go out as one
BEAT_S = 1.0  # a page that hears nothing for two of these says that the line is gone
RETRY_MS = 500
LIFE_S = 60.0  # then the browser asks again, and whether it still may is looked up again
MOST_DESKS = 100
BEAT = b"event: beat\ndata:\n\n"


class Live:
    """stream() says what is new, and beats in between. It looks only while somebody does.

    render: the queue's part of the page, as HTML in a language; called in a thread.
    """

    def __init__(self, store: Store, render: Callable[[str], str]) -> None:
        self._store, self._render = store, render
        self._changed = asyncio.Condition()
        self._newest, self._unseen = 0, 0
        self._made: dict[str, asyncio.Task[bytes]] = {}
        self._desks = 0
        self._looking: asyncio.Task[None] | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._now = asyncio.Event()

    @property
    def is_full(self) -> bool:
        return self._desks >= MOST_DESKS

    def changed(self) -> None:
        """Something was committed: look now. From any thread."""
        if self._desks and self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._now.set)

    async def stream(self, seen: int, language: str) -> AsyncIterator[bytes]:
        """Server-sent events (https://html.spec.whatwg.org/#server-sent-events) for a page that has seen `seen`.

        language: the queue's HTML comes along in it; "" for a page that loads itself anew.
        """
        self._desks += 1
        ends_at = time.monotonic() + LIFE_S
        try:
            if self._looking is None or self._looking.done():
                self._loop = asyncio.get_running_loop()
                self._looking = asyncio.create_task(self._look(), name="desk looks")
            yield b"retry: %d\n\n" % RETRY_MS
            while time.monotonic() < ends_at:
                if self._newest > seen:
                    seen = self._newest
                    yield await self._event(language)
                    continue
                try:
                    async with asyncio.timeout(BEAT_S), self._changed:
                        while self._newest <= seen:
                            await self._changed.wait()
                except TimeoutError:
                    yield BEAT
        finally:
            self._desks -= 1

    async def _event(self, language: str) -> bytes:
        """The newest event for this language, made by the first who asks."""
        made = self._made.get(language)
        if made is None:
            made = self._made[language] = asyncio.create_task(self._make(language), name="desk renders")
        return await asyncio.shield(made)

    async def _make(self, language: str) -> bytes:
        data: dict[str, Any]
        newest, data = self._newest, {"unseen": self._unseen}
        if language:
            try:
                data["queue"] = await asyncio.to_thread(self._render, language)
            except (SQLAlchemyError, StoreProblem) as error:
                log.error("the desk cannot read the queue: %s", error)  # the page loads itself, or says that it cannot
                self._made.pop(language, None)
        return b"id: %d\nevent: change\ndata: %s\n\n" % (newest, json.dumps(data, ensure_ascii=False).encode())

    async def _look(self) -> None:
        while self._desks:
            self._now.clear()
            try:
                newest, unseen_now = await asyncio.to_thread(self._read)
            except (SQLAlchemyError, StoreProblem) as error:
                log.error("the desk cannot look into the store: %s", error)
                newest, unseen_now = self._newest, self._unseen
            if newest != self._newest:
                async with self._changed:
                    self._newest, self._unseen = newest, unseen_now
                    self._made = {}
                    self._changed.notify_all()
                await asyncio.sleep(REST_S)
            try:
                async with asyncio.timeout(LOOK_EVERY_S):
                    await self._now.wait()
            except TimeoutError:
                continue

    def _read(self) -> tuple[int, int]:
        with self._store.read() as conn:
            return newest_event(conn), unseen(conn)
