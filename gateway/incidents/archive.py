"""Moves the events of incidents that were closed long ago into files, one for each month in which they were opened.

An incident's events go together, some hundred at a time: written to the file and synced, read back and compared, and
only then deleted here, in a transaction of some milliseconds, so that alarms never wait. Killed at any moment, it
leaves each event in one place or in both, and the next run goes on. What is said of an incident later stays here until
the next run. The newest event of all stays, or SQLite would give its number to another.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.incidents.stages import CLOSED
from gateway.store.engine import Store
from gateway.store.schema import events, incidents
from sigap.problem import Problem

AT_ONCE = 500  # events; a transaction that deletes so many takes some milliseconds
REST_S = 0.02  # between two transactions, for those who wait for the store
COLUMNS = ("id", "incident_id", "at", "kind", "actor", "data")

TABLE = """
CREATE TABLE IF NOT EXISTS events (id INTEGER PRIMARY KEY, incident_id TEXT NOT NULL, at INTEGER NOT NULL,
                                   kind TEXT NOT NULL, actor TEXT NOT NULL, data TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS ix_events_incident_id ON events (incident_id);
"""
ADD = f"INSERT INTO events ({', '.join(COLUMNS)}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING"
KEPT = f"SELECT {', '.join(COLUMNS)} FROM events WHERE id = ?"
OF_INCIDENT = f"SELECT {', '.join(COLUMNS)} FROM events WHERE incident_id = ? ORDER BY id"

_newest = sa.select(sa.func.max(events.c.id)).scalar_subquery()
_MOVABLE = (
    sa.select(*(events.c[name] for name in COLUMNS), incidents.c.opened_at)
    .join(incidents, incidents.c.id == events.c.incident_id)
    .where(incidents.c.state == CLOSED, incidents.c.changed_at < sa.bindparam("before"))
    .where(events.c.id > sa.bindparam("after"), events.c.id < _newest)
    .order_by(events.c.id)
    .limit(AT_ONCE)
)
_DELETE = events.delete().where(events.c.id.in_(sa.bindparam("ids", expanding=True)))


def archive(store: Store, folder: Path, before_us: int, rest: Callable[[float], None] = time.sleep) -> dict[str, int]:
    """Move what is of incidents that were closed, and last changed, before this time; how many of each month."""
    moved: dict[str, int] = {}
    after = 0
    while True:
        with store.read() as conn:
            found = conn.execute(_MOVABLE, {"before": before_us, "after": after}).all()
        if not found:
            return moved
        after = found[-1].id
        by_month: dict[str, list[tuple[Any, ...]]] = {}
        for *row, opened_at in found:
            by_month.setdefault(month_of(opened_at), []).append(tuple(row))
        for month, rows in by_month.items():
            _copy(folder / file_name(month), rows)
            with store.write() as conn:
                conn.execute(_DELETE, {"ids": [row[0] for row in rows]})
            moved[month] = moved.get(month, 0) + len(rows)
            rest(REST_S)


def archived(folder: Path, incident_id: str) -> list[dict[str, Any]]:
    """The events of an incident that were moved, oldest first, `data` as text."""
    found: list[dict[str, Any]] = []
    for path in sorted(folder.glob("events-*.db")):
        with _open(path) as connection:
            rows = connection.execute(OF_INCIDENT, (incident_id,))
            found.extend(dict(zip(COLUMNS, row, strict=True)) for row in rows)
    return sorted(found, key=lambda row: row["id"])


def month_of(at_us: int) -> str:
    """Microseconds UTC as "2026-11"."""
    return datetime.fromtimestamp(at_us / 1e6, UTC).strftime("%Y-%m")


def file_name(month: str) -> str:
    return f"events-{month}.db"


def _copy(path: Path, rows: Sequence[tuple[Any, ...]]) -> None:
    with _open(path) as connection:
        with connection:
            connection.executemany(ADD, rows)
        for row in rows:
            if connection.execute(KEPT, (row[0],)).fetchone() != row:
                raise Problem(
                    f"event {row[0]} is another in {path} than in the store",
                    "Move that file away: it belongs to another store, or one that was restored",
                )


@contextlib.contextmanager
def _open(path: Path) -> Iterator[sqlite3.Connection]:
    """The month's file, mode 0600. SQLite's own defaults sync each commit to the disk."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA synchronous=FULL")
            connection.executescript(TABLE)
            yield connection
    except sqlite3.Error as error:
        raise Problem(f"the archive {path} cannot be used ({error})", "Free some space, or move it away") from error
