"""A registry in memory in which an import is tried first, with the same functions and the same rules.

Trying twenty thousand rows takes seconds. In the store itself that would hold its one write lock, and alarms would wait
for it; so there only what has proved good is written, all at once.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from gateway.store.engine import Store
from gateway.store.keys import attach, keyring_of
from gateway.store.schema import devices, metadata, operators, owners, relatives, units
from sigap.problem import Problem

TABLES = (owners, devices, relatives, units, operators)
SECRET = {"root_key": b"", "password_hash": "", "channel": "x://"}  # stays where it is
AT_ONCE = 1000


class Rehearsal:
    """conn: of the copy. perform() writes what was added to it into the store."""

    def __init__(self, conn: sa.Connection, known: dict[sa.Table, dict[int, object]]) -> None:
        self.conn, self._known = conn, known

    def perform(self, store: Store) -> None:
        """Write every new row, and the units that are back in use, in one short transaction. Problem when somebody
        else has taken a name meanwhile: nothing is written then."""
        changed = Problem("the registry was changed meanwhile, and nothing was added", "Import the file again")
        try:
            with store.write() as conn:
                gone = conn.execute(sa.select(owners.c.id).where(owners.c.revoked_at.is_not(None))).scalars()
                if any(self._known[owners].get(each, 0) is None for each in gone):
                    raise changed
                for table in TABLES:
                    self._write(conn, table)
        except IntegrityError as error:
            raise changed from error

    def _write(self, conn: sa.Connection, table: sa.Table) -> None:
        known = self._known[table]
        rows = [dict(row) for row in self.conn.execute(sa.select(table)).mappings()]
        fresh = [row for row in rows if row["id"] not in known]
        if table is not devices:  # their ids are the store's to give
            fresh = [{name: value for name, value in row.items() if name != "id"} for row in fresh]
        for start in range(0, len(fresh), AT_ONCE):
            conn.execute(table.insert(), fresh[start : start + AT_ONCE])
        if table is units:
            for row in rows:
                if known.get(row["id"]) is not None and row["revoked_at"] is None:
                    conn.execute(table.update().where(table.c.id == row["id"]).values(**row))


@contextlib.contextmanager
def rehearsal(store: Store) -> Iterator[Rehearsal]:
    """A copy of the registry as it is now, without its secrets."""
    engine = sa.create_engine("sqlite://", poolclass=sa.StaticPool)
    attach(engine, keyring_of(store.engine.dialect))  # what is new goes to the store wrapped under the same key
    known: dict[sa.Table, dict[int, object]] = {}
    try:
        with engine.begin() as copy:
            metadata.create_all(copy, TABLES)
            with store.read() as conn:
                for table in TABLES:
                    known[table] = _copy(conn, copy, table)
            yield Rehearsal(copy, known)
    finally:
        engine.dispose()


def _copy(conn: sa.Connection, copy: sa.Connection, table: sa.Table) -> dict[int, object]:
    """Copies a table; its ids with when each was revoked."""
    columns = [column for column in table.c if column.name not in SECRET]
    hidden = {column.name: SECRET[column.name] for column in table.c if column.name in SECRET}
    known: dict[int, object] = {}
    for part in conn.execute(sa.select(*columns)).mappings().partitions(AT_ONCE):
        rows = [{**row, **hidden} for row in part]
        copy.execute(table.insert(), rows)
        known |= {row["id"]: row["revoked_at"] for row in rows}
    return known
