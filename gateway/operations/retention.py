"""What is erased by itself: personal data of incidents closed long ago, refused messages, crash texts, used ids.

Small transactions with pauses between, so that an alarm never waits for one; a run ends when nothing is left to do. An
incident keeps what figures and the audit need: its device, its times, who did what, how it ended. It loses where the
person was, what was written about it, and what destinations were told (owner, telephone, message). Events and rows lose
the same, so the one still follows from the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock, now_us
from gateway.incidents.stages import CLOSED
from gateway.settings import RetentionSettings
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.store.schema import (
    alarms,
    commands,
    crashes,
    deliveries,
    device_events,
    events,
    inbox,
    incidents,
    quarantine,
)

log = logging.getLogger("sigap.retention")

LOOK_EVERY_S = 3600.0
PAUSE_S = 0.05
INCIDENTS_AT_ONCE, ROWS_AT_ONCE = 20, 500
DAY_US = 86_400_000_000
MONTH_US = 30 * DAY_US + DAY_US // 2  # 30.5 days: never earlier than the calendar's by more than days
INBOX_DAYS = 30  # a callback older than minutes is refused by its signature's time
PERSONAL = frozenset(("lat_e7", "lon_e7", "accuracy_m", "fix_at", "note", "relative"))  # in events' data
_PLACE = frozenset(("lat", "lon", "accuracy_m", "fix_at"))  # in a command's answer

Step = Callable[[sa.Connection], int]


class Retention:
    """run() it until it is cancelled."""

    def __init__(self, store: Store, settings: RetentionSettings, clock: Clock = now_us) -> None:
        self._store, self._settings, self._clock = store, settings, clock

    async def run(self) -> None:
        while True:
            try:
                for name, step in self.steps():
                    erased = await self._exhaust(step)
                    if erased:
                        log.info("%d %s were erased", erased, name)
            except (SQLAlchemyError, StoreProblem) as error:
                log.error("nothing can be erased now: %s", error)
            await asyncio.sleep(LOOK_EVERY_S)

    def steps(self) -> list[tuple[str, Step]]:
        """What to do: each step erases a little of its kind and says how much; 0 when nothing is left."""
        now, settings = self._clock(), self._settings
        days: dict[str, tuple[sa.Table, int]] = {
            "refused messages": (quarantine, settings.quarantine_days),
            "crash texts": (crashes, settings.crash_days),
        }
        found = [(name, _older(table, now - number * DAY_US)) for name, (table, number) in days.items()]
        found.append(("used message ids", lambda conn: _forget_ids(conn, now - INBOX_DAYS * DAY_US)))
        if settings.incident_months:
            before = now - settings.incident_months * MONTH_US
            found.append(("incidents' personal data", lambda conn: _erase_incidents(conn, before, now)))
            found.append(("places of devices", lambda conn: _erase_places(conn, before)))
        return found

    async def _exhaust(self, step: Step) -> int:
        total = 0
        while erased := await asyncio.to_thread(self._once, step):
            total += erased
            await asyncio.sleep(PAUSE_S)
        return total

    def _once(self, step: Step) -> int:
        with self._store.write() as conn:
            if self._store.is_sqlite:
                conn.exec_driver_sql("PRAGMA secure_delete=ON")  # erased is not only out of sight
            return step(conn)


def _older(table: sa.Table, before: int) -> Step:
    some = sa.select(table.c.id).where(table.c.at < before).order_by(table.c.id).limit(ROWS_AT_ONCE)
    return lambda conn: conn.execute(table.delete().where(table.c.id.in_(some))).rowcount


def _forget_ids(conn: sa.Connection, before: int) -> int:
    old = sa.select(inbox.c.source, inbox.c.message_id).where(inbox.c.at < before).limit(ROWS_AT_ONCE)
    found = conn.execute(old).all()
    for row in found:
        conn.execute(inbox.delete().where(inbox.c.source == row.source, inbox.c.message_id == row.message_id))
    return len(found)


def _erase_incidents(conn: sa.Connection, before: int, now: int) -> int:
    waits = sa.exists().where(deliveries.c.incident_id == incidents.c.id, deliveries.c.state == "pending")
    old = (incidents.c.state == CLOSED, incidents.c.erased_at.is_(None), incidents.c.changed_at < before, ~waits)
    ids = conn.execute(sa.select(incidents.c.id).where(*old).limit(INCIDENTS_AT_ONCE)).scalars().all()
    if not ids:
        return 0
    nowhere = {name: None for name in (column.name for column in alarms.c) if name.removeprefix("told_") in PERSONAL}
    conn.execute(alarms.update().where(alarms.c.incident_id.in_(ids)).values(**nowhere))
    told = deliveries.update().where(deliveries.c.incident_id.in_(ids)).values(payload="{}", last_error=None)
    conn.execute(told)
    for row in conn.execute(sa.select(events.c.id, events.c.data).where(events.c.incident_id.in_(ids))).all():
        _strip(conn, events, row, PERSONAL)
    conn.execute(incidents.update().where(incidents.c.id.in_(ids)).values(erased_at=now))
    return len(ids)


def _erase_places(conn: sa.Connection, before: int) -> int:
    """What devices answered when a technician asked where they are."""
    said = commands.c.answer.like('%"lat":%')
    where = (commands.c.asked_at < before, said)
    rows = conn.execute(sa.select(commands.c.id, commands.c.answer).where(*where).limit(ROWS_AT_ONCE)).all()
    for row in rows:
        kept = {key: value for key, value in json.loads(row.answer).items() if key not in _PLACE}
        conn.execute(commands.update().where(commands.c.id == row.id).values(answer=json.dumps({"text": "", **kept})))
    old = (device_events.c.at < before, device_events.c.data.like('%"lat":%'))
    noted = conn.execute(sa.select(device_events.c.id, device_events.c.data).where(*old).limit(ROWS_AT_ONCE)).all()
    for row in noted:
        _strip(conn, device_events, row, _PLACE)
    return len(rows) + len(noted)


def _strip(conn: sa.Connection, table: sa.Table, row: sa.Row, names: frozenset[str]) -> None:
    data = json.loads(row.data)
    if names & data.keys():
        kept = {key: value for key, value in data.items() if key not in names}
        text = json.dumps(kept, ensure_ascii=False, separators=(",", ":"))
        conn.execute(table.update().where(table.c.id == row.id).values(data=text))
