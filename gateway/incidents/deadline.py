"""An incident that no police system has accepted in time becomes a trouble that the desk shows, until one does."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock, now_us
from gateway.incidents import stages
from gateway.incidents.events import record
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.store.schema import devices, events, incidents

log = logging.getLogger("sigap.incidents")

ACCEPTED_WITHIN_S = 20.0  # EN 50136-1, SP6 and D4/M4: 20 s at most
LOOK_EVERY_S = 1.0
MOST_NAMED = 10  # in one line of the log

_SAID = sa.exists().where(events.c.incident_id == incidents.c.id, events.c.kind == stages.NOT_ACCEPTED)
_WAITING = sa.select(incidents.c.id, incidents.c.opened_at).where(
    incidents.c.state != stages.CLOSED, incidents.c.accepted.is_(False)
)
_UNSAID = _WAITING.where(~_SAID)
# Those that are too late already, the oldest first.
LATE = (
    _WAITING.where(_SAID)
    .add_columns(incidents.c.test, devices.c.name)
    .join(devices, devices.c.id == incidents.c.device_id)
    .order_by(incidents.c.opened_at)
)


class Deadline:
    """Looks each second, and records one `not_accepted` event an incident. changed: called after such a commit.

    What opens while it runs is timed by this process's own seconds, so a clock that is set makes nothing late or
    early; only what it finds at its start is timed by the clock.
    """

    def __init__(
        self,
        store: Store,
        changed: Callable[[], None],
        clock: Clock = now_us,
        seconds: Callable[[], float] = time.monotonic,
        limit_s: float = ACCEPTED_WITHIN_S,
    ) -> None:
        self._store, self._changed, self._clock, self._seconds, self._limit_s = store, changed, clock, seconds, limit_s
        self._due: dict[str, float] | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            try:
                await asyncio.to_thread(self.look)
            except (SQLAlchemyError, StoreProblem) as error:
                log.error("the store cannot say what waits for acceptance: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def look(self) -> list[str]:
        """Record what is late now; the incidents' ids. Blocks."""
        with self._store.read() as conn:
            waiting = {row.id: row.opened_at for row in conn.execute(_UNSAID)}
        now, known = self._seconds(), self._due
        self._due = {each: self._due_at(each, opened_at, now, known) for each, opened_at in waiting.items()}
        late = [each for each, due_at in self._due.items() if due_at <= now]
        if not late:
            return []
        with self._store.write() as conn:
            query = _UNSAID.where(incidents.c.id == sa.bindparam("of"))
            late = [each for each in late if conn.execute(query, {"of": each}).first()]  # or accepted meanwhile
            for each in late:
                record(conn, each, self._clock(), stages.NOT_ACCEPTED, "gateway", {"after_s": self._limit_s})
        if late:
            named = ", ".join(late[:MOST_NAMED]) + (", and others" if len(late) > MOST_NAMED else "")
            log.error("%d incidents were not accepted by a police system in time: %s", len(late), named)
            self._changed()
        return late

    def _due_at(self, incident_id: str, opened_at: int, now: float, known: dict[str, float] | None) -> float:
        if known is None:  # the first look: how long it has waited, only the clock can say
            waited_s = (self._clock() - opened_at) / 1e6
            return now + self._limit_s - min(max(waited_s, 0.0), self._limit_s)
        return known.get(incident_id, now + self._limit_s)


def late_count(conn: sa.Connection) -> int:
    """How many incidents are not accepted, too late already."""
    return conn.execute(sa.select(sa.func.count()).select_from(_WAITING.where(_SAID).subquery())).scalar_one()
