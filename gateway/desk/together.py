"""The buttons of one incident, the incidents that it could be merged with, and the units for it."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.desk.spots import spot
from gateway.desk.times import local
from gateway.incidents import stages
from gateway.incidents.facts import cancel_says, distance_m
from gateway.registry import units
from gateway.registry.devices import Device, get_device
from gateway.registry.people import get_owner
from gateway.store.schema import alarms, devices, incidents, owners
from panic_wire.topics import device_name

MOST_OFFERED = 50


def shown(conn: sa.Connection, device: Device, listed: Any, zone: ZoneInfo) -> dict[str, Any]:
    """{"position": of the button that the incident goes by, "buttons": every one in it, that one first}.

    listed: the incident's alarms.
    """
    of: dict[int, list[Any]] = {device.id: []}
    for one in listed:
        of.setdefault(one["device_id"], []).append(one)
    buttons = [_button(conn, each, rows, zone) for each, rows in of.items() if rows or len(of) == 1]
    return {"position": buttons[0]["position"], "buttons": buttons}


def _button(conn: sa.Connection, device_id: int, rows: list[Any], zone: ZoneInfo) -> dict[str, Any]:
    device = get_device(conn, device_id)
    assert device is not None  # a foreign key says so
    owner = None if device.owner_id is None else get_owner(conn, device.owner_id)
    return {
        "id": device_name(device_id),
        "device": device,
        "owner": owner,
        "position": spot(rows, (device.site_lat_e7, device.site_lon_e7)),
        "pressed": [local(one["pressed_at"], zone) for one in rows],
        "cancel": cancel_says(rows),
        "silent": device.silent or any(one["silent"] for one in rows),
    }


def to_merge(conn: sa.Connection, row: Any, device: Device, listed: Any, zone: ZoneInfo) -> list[dict[str, Any]]:
    """The other open incidents, the nearest first: [{"id", "name", "site", "pressed_at", "distance_m"}].

    row: of the incident for which they are offered; device, listed: the button it goes by, and its alarms.
    """
    here = spot(listed, (device.site_lat_e7, device.site_lon_e7))
    query = (
        sa.select(incidents.c.id, incidents.c.opened_at, devices.c.name, devices.c.site_name)
        .add_columns(devices.c.site_lat_e7, devices.c.site_lon_e7, owners.c.name.label("owner"))
        .join(devices, devices.c.id == incidents.c.device_id)
        .join(owners, owners.c.id == devices.c.owner_id, isouter=True)
        .where(incidents.c.state.in_(stages.STATES[:-1]), incidents.c.test.is_(bool(row["test"])))
        .where(incidents.c.id != row["id"])
        .order_by(incidents.c.id.desc())
        .limit(MOST_OFFERED)
    )
    rows = conn.execute(query).all()
    fixes: dict[str, list[Any]] = {}
    for one in conn.execute(sa.select(alarms).where(alarms.c.incident_id.in_([each.id for each in rows]))).mappings():
        fixes.setdefault(one["incident_id"], []).append(one)
    found = []
    for each in rows:
        of = fixes.get(each.id, [])
        there = spot(of, (each.site_lat_e7, each.site_lon_e7))
        pressed_at = min((one["pressed_at"] for one in of), default=each.opened_at)
        found.append(
            {
                "id": each.id,
                "name": each.owner or each.name,
                "site": each.site_name,
                "pressed_at": local(pressed_at, zone),
                "distance_m": None if here is None or there is None else round(distance_m(_e7(here), _e7(there))),
            }
        )
    # Stable: those whose place is not known are the newest first, behind the others.
    return sorted(found, key=lambda each: (each["distance_m"] is None, each["distance_m"] or 0))


def units_for(conn: sa.Connection, position: dict[str, Any] | None) -> list[dict[str, Any]]:
    """The units in use, those whose post is nearest first: [{"name", "area", "distance_m"}]."""
    found = []
    for each in units.every_unit(conn, revoked=False):
        metres = None
        if position is not None and each.lat_e7 is not None and each.lon_e7 is not None:
            metres = round(distance_m(_e7(position), (each.lat_e7, each.lon_e7)))
        found.append({"name": each.name, "area": each.area, "distance_m": metres})
    return sorted(found, key=lambda each: (each["distance_m"] is None, each["distance_m"] or 0))


def _e7(where: dict[str, Any]) -> tuple[int, int]:
    return round(where["lat"] * 1e7), round(where["lon"] * 1e7)
