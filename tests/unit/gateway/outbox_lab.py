"""A store with incidents in it, and a real HTTP server, for the tests of outbox, webhook and callbacks."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
import uvicorn

from gateway.outbox import rows
from gateway.outbox.engine import Outbox
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.registry.devices import add_device
from gateway.store.engine import Store
from gateway.store.schema import counts, deliveries, incidents
from tests.unit.gateway.store_lab import new_store

NOW = 1_700_000_000_000_000  # in the past, so that the real clock finds it due
DEVICE = 0xA1B2


@contextlib.contextmanager
def lab_store(folder: Path, *incident_ids: str) -> Iterator[Store]:
    """A real SQLite store with one device and these incidents."""
    with new_store(folder / "sigap.db") as store:
        with store.write() as conn:
            add_device(conn, name="shop-1", now_us=NOW, device_id=DEVICE, root_key=bytes(16))
            for incident_id in incident_ids:
                add_incident(conn, incident_id)
        yield store


def add_incident(conn: sa.Connection, incident_id: str) -> None:
    values = {"id": incident_id, "device_id": DEVICE, "state": "open", "opened_at": NOW, "changed_at": NOW}
    conn.execute(incidents.insert().values(**values))


def enqueue(store: Store, destination: str, incident_id: str = "i1", *, now_us: int = NOW, **payload: Any) -> str:
    with store.write() as conn:
        return rows.enqueue(
            conn,
            destination=destination,
            incident_id=incident_id,
            kind="id.sigap.incident.opened.v1",
            payload={"data": {"incident": incident_id}, **payload},
            now_us=now_us,
        )


def row_of(store: Store, delivery_id: str) -> Any:
    with store.read() as conn:
        return conn.execute(sa.select(deliveries).where(deliveries.c.id == delivery_id)).one()


def counted(store: Store) -> dict[str, int]:
    with store.read() as conn:
        return {row.name: row.value for row in conn.execute(sa.select(counts))}


@contextlib.contextmanager
def served(app: Any) -> Iterator[str]:
    """Serve an ASGI app with a real uvicorn on a free port, in a thread; gives its base URL."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen()
    started = threading.Event()

    class Server(uvicorn.Server):
        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            started.set()

    server = Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=1))
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        assert started.wait(10)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


QUICK = RetryPolicy(first_s=0.02, first_tries=50, most_s=0.05, shout_from=3)
DONE = Outcome(done=True)
LIMIT_S = 20.0


class Told(Destination):
    """Calls `behave` for each attempt and keeps them all; `attempted` is notified of each."""

    def __init__(
        self, prefix: str, behave: Callable[[Delivery], Awaitable[Outcome]], policy: RetryPolicy = QUICK
    ) -> None:
        self.prefix, self.policy, self._behave = prefix, policy, behave
        self.attempts: list[Delivery] = []
        self.done: list[str] = []
        self.attempted = asyncio.Condition()
        self.closed = False

    async def deliver(self, delivery: Delivery) -> Outcome:
        async with self.attempted:
            self.attempts.append(delivery)
            self.attempted.notify_all()
        outcome = await self._behave(delivery)
        if outcome.done:
            self.done.append(delivery.id)
        return outcome

    async def close(self) -> None:
        self.closed = True

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S), self.attempted:
            await self.attempted.wait_for(holds)


async def at_once(_: Delivery) -> Outcome:
    return DONE


async def never(_: Delivery) -> Outcome:
    await asyncio.Event().wait()
    return DONE


@contextlib.asynccontextmanager
async def running(store: Store, *destinations: Destination, sole: bool | None = None) -> AsyncIterator[Outbox]:
    outbox = Outbox(store, destinations, sole=sole)
    task = asyncio.create_task(outbox.run())
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def settled(store: Store, *ids: str) -> None:
    """Wait until the store says that these are done."""

    def left() -> int:
        query = sa.select(sa.func.count()).where(deliveries.c.id.in_(ids), deliveries.c.state != "done")
        with store.read() as conn:
            return conn.execute(query).scalar_one()

    async with asyncio.timeout(LIMIT_S):
        while await asyncio.to_thread(left):
            await asyncio.sleep(0.01)
