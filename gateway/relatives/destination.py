"""The relatives as a destination of the outbox: "relative:<id>"."""

from __future__ import annotations

import asyncio
import threading
from zoneinfo import ZoneInfo

from sqlalchemy import Connection

from gateway.clock import Clock, now_us
from gateway.incidents import stages
from gateway.incidents.events import record
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.registry.people import Relative, get_relative
from gateway.relatives.message import compose
from gateway.relatives.notify import load, send
from gateway.store.engine import Store

PREFIX = "relative:"
AT_ONCE = 16


class RelativesDestination(Destination):
    """Sends in threads of its own, so that a mail server which stalls holds up nothing else, nor our end.

    The channel is read at each attempt: an address that is put right reaches what still waits.
    """

    prefix = PREFIX
    # A day later "help is on the way" is no news any more, and a wrong address is a matter for a person.
    policy = RetryPolicy(first_s=2.0, first_tries=5, most_s=60.0, deadline_s=120.0, lasts_s=86_400.0)
    concurrency = AT_ONCE
    limit_s = 40.0

    def __init__(self, store: Store, zone: ZoneInfo, clock: Clock = now_us) -> None:
        self._store, self._zone, self._clock = store, zone, clock
        threading.Thread(target=load, name="relatives", daemon=True).start()

    async def deliver(self, delivery: Delivery) -> Outcome:
        relative = await asyncio.to_thread(self._find, int(delivery.destination.removeprefix(PREFIX)))
        if relative is None or relative.revoked:
            return Outcome(done=True)  # no longer on the owner's list
        change = delivery.payload["change"]
        title, body = compose(change, delivery.payload["data"], self._zone)
        error = await _in_thread_of_its_own(relative.channel, title, body)
        if error is not None:
            return Outcome(done=False, error=error)
        return Outcome(done=True, effect=lambda conn: self._told(conn, delivery, relative, change))

    def _find(self, relative_id: int) -> Relative | None:
        with self._store.read() as conn:
            return get_relative(conn, relative_id)

    def _told(self, conn: Connection, delivery: Delivery, relative: Relative, change: str) -> None:
        data = {"relative": relative.name, "change": change}
        record(conn, delivery.incident_id, self._clock(), stages.RELATIVES, delivery.destination, data)


async def _in_thread_of_its_own(channel: str, title: str, body: str) -> str | None:
    """`send`, in a thread that the end of this process does not wait for; it ends by its own time limits."""
    loop = asyncio.get_running_loop()
    ended: asyncio.Future[str | None] = loop.create_future()

    def settle(error: str | None) -> None:
        if not ended.done():
            ended.set_result(error)

    def work() -> None:
        try:
            error = send(channel, title, body)
        except Exception as failure:  # noqa: BLE001 (a plugin of Apprise may do anything; this attempt failed)
            error = f"the channel failed: {type(failure).__name__}"
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, error)

    threading.Thread(target=work, name="relatives", daemon=True).start()
    return await ended
