"""Open pages: each has a bounded queue of server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

MOST_PAGES = 20
QUEUE_LIMIT = 2000  # events that wait for a slow page; then its line ends, and it asks for everything anew
BEAT_S = 1.0  # a page that hears nothing for two of these says that the line is gone
RETRY_MS = 500


def encode(event: str, data: Any) -> bytes:
    """One server-sent event (https://html.spec.whatwg.org/#server-sent-events)."""
    return b"event: %s\ndata: %s\n\n" % (event.encode(), json.dumps(data, separators=(",", ":")).encode())


class Pages:
    """publish() reaches every page; each event is encoded once."""

    def __init__(self) -> None:
        self._queues: dict[str, asyncio.Queue[bytes | None]] = {}
        self._numbers = count(1)
        self._is_closed = False

    @property
    def is_full(self) -> bool:
        return self._is_closed or len(self._queues) >= MOST_PAGES

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def __len__(self) -> int:
        return len(self._queues)

    def __contains__(self, page: object) -> bool:
        return page in self._queues

    def publish(self, event: str, data: Any) -> None:
        if not self._queues:
            return
        encoded = encode(event, data)
        for queue in self._queues.values():
            try:
                queue.put_nowait(encoded)
            except asyncio.QueueFull:
                _end(queue)

    def open(self) -> str:
        """A new page: its events wait from now on. Returns its id."""
        page = f"page-{next(self._numbers)}"
        self._queues[page] = asyncio.Queue(QUEUE_LIMIT)
        return page

    def leave(self, page: str) -> None:
        self._queues.pop(page, None)

    async def stream(self, page: str, hello: dict[str, Any]) -> AsyncIterator[bytes]:
        """hello first, then what is published, and beats in between."""
        queue = self._queues[page]
        yield b"retry: %d\n\n" % RETRY_MS
        yield encode("hello", hello)
        while True:
            try:
                async with asyncio.timeout(BEAT_S):
                    said = await queue.get()
            except TimeoutError:
                said = encode("beat", "")
            if said is None:
                return
            yield said

    def close(self) -> None:
        """End every line."""
        self._is_closed = True
        for queue in self._queues.values():
            _end(queue)


def _end(queue: asyncio.Queue[bytes | None]) -> None:
    while not queue.empty():
        queue.get_nowait()
    queue.put_nowait(None)
