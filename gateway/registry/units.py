"""Units: the officers that an operator can send, and where their post is."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from gateway.registry.names import BadValue, person_name_of, position_of
from gateway.store.schema import units
from sigap.problem import USAGE, Problem

AREA_LIMIT = 100


@dataclass(frozen=True, slots=True)
class Unit:
    """area: where it patrols, in words. lat_e7, lon_e7: of its post, degrees times 1e7."""

    id: int
    name: str
    area: str | None = None
    lat_e7: int | None = None
    lon_e7: int | None = None
    created_at: int = 0
    revoked: bool = False


def add_unit(
    conn: sa.Connection,
    name: str,
    now_us: int,
    *,
    area: str | None = None,
    lat: float | None = None,
    lon: float | None = None,
) -> str:
    """Add a unit and return its name; one that was revoked is back in use, with what is given now. lat, lon: degrees,
    both or none. Problem for a name in use, a bad value."""
    name = person_name_of(name, "unit")
    if area is not None and not 0 < len(area) <= AREA_LIMIT:
        raise BadValue("area", f"the area has {len(area)} characters", f"Use 1 to {AREA_LIMIT}")
    lat_e7, lon_e7 = position_of(lat, lon, "unit's")
    values = {"area": area, "lat_e7": lat_e7, "lon_e7": lon_e7}
    found = conn.execute(sa.select(units.c.revoked_at).where(units.c.name == name)).first()
    if found is None:
        conn.execute(units.insert().values(name=name, created_at=now_us, **values))
    elif found.revoked_at is not None:
        conn.execute(units.update().where(units.c.name == name).values(revoked_at=None, **values))
    else:
        raise BadValue("name", f"the unit {name} is there", "Choose another name; `sigap unit list` shows all")
    return name


def every_unit(conn: sa.Connection, *, revoked: bool = True) -> list[Unit]:
    """Every unit by name; without the revoked ones when `revoked` is False."""
    query = sa.select(units).order_by(units.c.name)
    if not revoked:
        query = query.where(units.c.revoked_at.is_(None))
    return [_unit(row) for row in conn.execute(query)]


def find_unit(conn: sa.Connection, name: str) -> Unit:
    """The unit with this name, revoked or not; a Problem when there is none."""
    row = conn.execute(sa.select(units).where(units.c.name == person_name_of(name, "unit"))).first()
    if row is None:
        raise Problem(f"there is no unit {name}", "`sigap unit list` shows all", USAGE)
    return _unit(row)


def list_units(conn: sa.Connection) -> list[str]:
    """The names of the units in use, in alphabetical order."""
    return [each.name for each in every_unit(conn, revoked=False)]


def revoke_unit(conn: sa.Connection, name: str, now_us: int) -> str:
    """Take a unit off the list. Problem for a name that is not in use."""
    name = person_name_of(name, "unit")
    if name not in list_units(conn):
        raise Problem(f"there is no unit {name} in use", "`sigap unit list` shows all", USAGE)
    conn.execute(units.update().where(units.c.name == name).values(revoked_at=now_us))
    return name


def _unit(row: sa.Row) -> Unit:
    return Unit(row.id, row.name, row.area, row.lat_e7, row.lon_e7, row.created_at, row.revoked_at is not None)
