"""What a supervisor and a monitor ask of the running gateway: /health/live, /health/ready, /metrics.

Each is looked into at most once a second, however many ask: strangers may reach this port.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from gateway.ingest.link import Link
from gateway.ingest.writer import Writer
from gateway.outbox.rows import count
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem

FRESH_S = 1.0
PROBE_FRESH_S = 5.0  # a commit for whoever asks, but not more often
STUCK_S = 5.0  # a batch takes milliseconds; a disk that hangs says nothing
NO_STORE = {"cache-control": "no-store"}
PROMETHEUS = "text/plain; version=0.0.4; charset=utf-8"
T = TypeVar("T")


class Shared(Generic[T]):
    """An answer that is as old as `fresh_s` at most; whoever asks while it is made waits for it."""

    def __init__(self, make: Callable[[], T], fresh_s: float) -> None:
        self._make, self._fresh_s = make, fresh_s
        self._lock = threading.Lock()
        self._made: tuple[float, T] | None = None

    def get(self) -> T:
        with self._lock:
            if self._made is None or time.monotonic() - self._made[0] >= self._fresh_s:
                self._made = (time.monotonic(), self._make())
            return self._made[1]


class Readiness:
    """Whether an alarm that comes now would be taken: the broker is there, the store commits, the writer moves."""

    def __init__(self, store: Store, link: Link, writer: Writer) -> None:
        self._store, self._link, self._writer = store, link, writer
        self._commits = Shared(self._commit, PROBE_FRESH_S)

    def report(self) -> dict[str, Any]:
        """{"ready", "problems": slugs}. Call it in a thread."""
        amiss = {
            "broker-not-connected": not self._link.connected,
            "writer-stuck": self._writer.busy_s > STUCK_S or not self._writer.alive,
            "store-fails": not self._writer.health()["ok"] or not self._commits.get(),
        }
        problems = [name for name, is_so in amiss.items() if is_so]
        return {"ready": not problems, "problems": problems}

    def _commit(self) -> bool:
        try:
            with self._store.write() as conn:
                count(conn, "store.probes")
        except (SQLAlchemyError, StoreProblem):
            return False
        return True


def routes(readiness: Readiness, metrics: Callable[[], bytes]) -> list[Route]:
    """live: the process answers. ready: 503 when it cannot take alarms. metrics: Prometheus' text format."""
    ready, text = Shared(readiness.report, FRESH_S), Shared(metrics, FRESH_S)

    async def live(_request: Request) -> Response:
        return JSONResponse({"live": True}, headers=NO_STORE)

    async def is_ready(_request: Request) -> Response:
        report = await asyncio.to_thread(ready.get)
        return JSONResponse(report, 200 if report["ready"] else 503, headers=NO_STORE)

    async def measured(_request: Request) -> Response:
        try:
            return Response(await asyncio.to_thread(text.get), media_type=PROMETHEUS, headers=NO_STORE)
        except (SQLAlchemyError, StoreProblem) as error:
            return PlainTextResponse(f"the store cannot be read: {error}", 503, headers=NO_STORE)

    return [Route("/health/live", live), Route("/health/ready", is_ready), Route("/metrics", measured)]
