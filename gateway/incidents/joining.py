"""Which open incident an alarm belongs to: that of its button, or that of another button at the same site.

A join that is wrong hides an emergency behind another; one that is missing costs a second line at the desk. So the
gateway joins by itself only what belongs together for certain, and operators do the rest (merging.py).
"""

from __future__ import annotations

import math

import sqlalchemy as sa

from gateway.incidents import queries
from gateway.incidents.events import record
from gateway.incidents.facts import METRES_PER_DEGREE, distance_m
from gateway.incidents.stages import ALARM_LEFT, CLOSED, goes_by
from gateway.registry.devices import Device
from gateway.store.schema import alarms, devices, incidents

SITE_RADIUS_M = 50  # two buttons of one owner that are mounted within this are at the same site,
SITE_WITHIN_US = 600_000_000  # and pressed within this they tell of the same emergency

_lat, _lon = devices.c.site_lat_e7, devices.c.site_lon_e7
_AT_SITE = (
    sa.select(alarms.c.incident_id, _lat, _lon)
    .join(devices, devices.c.id == alarms.c.device_id)
    .join(incidents, incidents.c.id == alarms.c.incident_id)
    .where(
        devices.c.owner_id == sa.bindparam("owner"),
        devices.c.id != sa.bindparam("device"),
        devices.c.revoked_at.is_(None),
        _lat.between(sa.bindparam("south"), sa.bindparam("north")),
        _lon.between(sa.bindparam("west"), sa.bindparam("east")),
        alarms.c.pressed_at.between(sa.bindparam("earliest"), sa.bindparam("latest")),
        alarms.c.moved.is_(False),
        incidents.c.state != CLOSED,
        incidents.c.test.is_(False),
        incidents.c.held.is_(False),
    )
    .order_by(alarms.c.pressed_at.desc())
    .limit(50)
)


def open_incident(
    conn: sa.Connection, device: Device, *, is_test: bool, pressed_at: int | None = None, moved: bool = False
) -> str | None:
    """The open incident that an alarm of this device joins, or None.

    Its own; without one, and with pressed_at given, that of another button of the same owner at the same site.
    Neither a button that was moved from its site nor a revoked one is known to be anywhere.
    """
    own = conn.execute(queries.OPEN_INCIDENT, {"device": device.id, "is_test": is_test}).scalar()
    if own is not None or pressed_at is None or is_test or moved or device.revoked:
        return own
    return _at_site(conn, device, pressed_at)


def left(conn: sa.Connection, alarm: sa.Row, goes_on_in: str, actor: str, at: int) -> None:
    """The alarm of this row, which says where it was, is no longer in that incident."""
    record(conn, alarm.incident_id, at, ALARM_LEFT, actor, {"activation": alarm.activation, "incident": goes_on_in})
    stay(conn, alarm.incident_id, at)


def stay(conn: sa.Connection, incident_id: str, at: int) -> None:
    """Write down the device that an incident goes by when some of its alarms have left."""
    kept = {(row.device_id, row.activation): row for row in conn.execute(queries.ALARMS, {"incident": incident_id})}
    incident = conn.execute(queries.INCIDENT, {"incident": incident_id}).one()
    values = {"changed_at": at, "device_id": goes_by(incident.device_id, kept)}
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**values))


def _at_site(conn: sa.Connection, device: Device, pressed_at: int) -> str | None:
    lat, lon = device.site_lat_e7, device.site_lon_e7
    if device.owner_id is None or lat is None or lon is None:
        return None
    half = round(SITE_RADIUS_M / METRES_PER_DEGREE * 1e7) + 1
    wide = round(half / max(0.01, math.cos(math.radians(lat / 1e7)))) + 1
    box = {"south": lat - half, "north": lat + half, "west": lon - wide, "east": lon + wide}
    times = {"earliest": pressed_at - SITE_WITHIN_US, "latest": pressed_at + SITE_WITHIN_US}
    for found in conn.execute(_AT_SITE, {"owner": device.owner_id, "device": device.id, **box, **times}):
        if distance_m((lat, lon), (found.site_lat_e7, found.site_lon_e7)) > SITE_RADIUS_M:
            continue
        if conn.dialect.name != "sqlite":  # there the whole transaction holds the lock
            locked = conn.execute(queries.INCIDENT_TO_CHANGE, {"incident": found.incident_id}).one()
            if locked.state == CLOSED:
                continue
        return found.incident_id
    return None
