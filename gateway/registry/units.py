"""Units: the officers that an operator can send."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.registry.names import person_name_of
from gateway.store.schema import units
from sigap.problem import USAGE, Problem


def add_unit(conn: sa.Connection, name: str, now_us: int) -> str:
    """Add a unit and return its name; one that was revoked is back in use. Problem for a name in use, a bad one."""
    name = person_name_of(name, "unit")
    found = conn.execute(sa.select(units.c.revoked_at).where(units.c.name == name)).first()
    if found is None:
        conn.execute(units.insert().values(name=name, created_at=now_us))
    elif found.revoked_at is not None:
        conn.execute(units.update().where(units.c.name == name).values(revoked_at=None))
    else:
        raise Problem(f"the unit {name} is there", "`sigap unit list` shows all", USAGE)
    return name


def list_units(conn: sa.Connection) -> list[str]:
    """The names of the units in use, in alphabetical order."""
    return list(
        conn.execute(sa.select(units.c.name).where(units.c.revoked_at.is_(None)).order_by(units.c.name)).scalars()
    )


def revoke_unit(conn: sa.Connection, name: str, now_us: int) -> str:
    """Take a unit off the list. Problem for a name that is not in use."""
    name = person_name_of(name, "unit")
    if name not in list_units(conn):
        raise Problem(f"there is no unit {name} in use", "`sigap unit list` shows all", USAGE)
    conn.execute(units.update().where(units.c.name == name).values(revoked_at=now_us))
    return name
