"""What the desk's pages show, read from the store. Times are aware datetimes in the district's zone."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.incidents import queries, stages
from gateway.incidents.events import history
from gateway.registry.devices import get_device
from gateway.registry.people import get_owner
from gateway.store.schema import alarms, deliveries, devices, events, incidents, owners
from panic_wire.topics import device_name

SHOWN = 100  # incidents on the queue's page: all that are open come first
NEXT = {
    stages.OPEN: (stages.ACKNOWLEDGED, stages.DISPATCHED, stages.ON_SCENE, stages.CLOSED),
    stages.ACKNOWLEDGED: (stages.DISPATCHED, stages.ON_SCENE, stages.CLOSED),
    stages.DISPATCHED: (stages.ON_SCENE, stages.CLOSED),
    stages.ON_SCENE: (stages.CLOSED,),
    stages.CLOSED: (),
}


def newest_event(conn: sa.Connection) -> int:
    """The id of the newest event: what is shown is as new as this."""
    return conn.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0))).scalar_one()


def queue(conn: sa.Connection, zone: ZoneInfo) -> list[dict[str, Any]]:
    """Incidents for the queue: those that wait longest for a human first, the closed ones last, newest first."""
    pressed = sa.select(sa.func.min(alarms.c.pressed_at)).where(alarms.c.incident_id == incidents.c.id)
    count = sa.select(sa.func.count()).where(alarms.c.incident_id == incidents.c.id)
    silent = sa.select(sa.func.max(sa.cast(alarms.c.silent, sa.Integer))).where(alarms.c.incident_id == incidents.c.id)
    bearer = sa.select(sa.func.min(alarms.c.bearer)).where(alarms.c.incident_id == incidents.c.id)
    closed = sa.case((incidents.c.state == stages.CLOSED, 1), else_=0)
    rank = sa.case({name: number for number, name in enumerate(stages.STATES)}, value=incidents.c.state)
    query = (
        sa.select(
            incidents,
            devices.c.name.label("device"),
            devices.c.site_name.label("site"),
            owners.c.name.label("owner"),
            pressed.scalar_subquery().label("pressed_at"),
            count.scalar_subquery().label("alarms"),
            silent.scalar_subquery().label("silent"),
            bearer.scalar_subquery().label("bearer"),
        )
        .join(devices, devices.c.id == incidents.c.device_id)
        .join(owners, owners.c.id == devices.c.owner_id, isouter=True)
        .order_by(closed, rank, sa.case((closed == 1, -incidents.c.opened_at), else_=incidents.c.opened_at))
        .limit(SHOWN)
    )
    found = []
    for row in conn.execute(query).mappings():
        found.append({**row, "pressed_at": local(row["pressed_at"], zone), "opened_at": local(row["opened_at"], zone)})
    return found


def incident(conn: sa.Connection, incident_id: str, zone: ZoneInfo) -> dict[str, Any] | None:
    """One incident with everything that happened, or None."""
    row = conn.execute(queries.INCIDENT, {"incident": incident_id}).mappings().first()
    if row is None:
        return None
    device = get_device(conn, row["device_id"])
    assert device is not None  # a foreign key says so
    listed = conn.execute(queries.ALARMS, {"incident": incident_id}).mappings().all()
    return {
        **row,
        "device": device,
        "device_id": device_name(device.id),
        "owner": None if device.owner_id is None else get_owner(conn, device.owner_id),
        "alarms": [{**one, "pressed_at": local(one["pressed_at"], zone)} for one in listed],
        "position": _position(listed, device),
        "events": [
            {"kind": one.kind, "at": local(one.at, zone), "actor": one.actor, "data": one.data}
            for one in history(conn, incident_id)
        ],
        "waiting": _waiting(conn, incident_id),
        "next": NEXT[row["state"]],
    }


def who_did(conn: sa.Connection, incident_id: str, stage: str) -> str | None:
    """The actor of a stage, to tell whoever comes second."""
    query = sa.select(events.c.actor).where(events.c.incident_id == incident_id, events.c.kind == stage)
    return conn.execute(query.order_by(events.c.id).limit(1)).scalar()


def local(at: int, zone: ZoneInfo) -> datetime:
    """Microseconds UTC as a time of the district."""
    return datetime.fromtimestamp(at / 1e6, UTC).astimezone(zone)


def _position(listed: Any, device: Any) -> dict[str, Any] | None:
    fixes = [one for one in listed if one["lat_e7"] is not None]
    if fixes:
        best = max(fixes, key=lambda one: (one["fix_at"] or one["received_at"], one["received_at"]))
        return {"lat": best["lat_e7"] / 1e7, "lon": best["lon_e7"] / 1e7, "accuracy_m": best["accuracy_m"]}
    if device.fixed_site:
        return {"lat": device.site_lat_e7 / 1e7, "lon": device.site_lon_e7 / 1e7, "accuracy_m": None}
    return None


def _waiting(conn: sa.Connection, incident_id: str) -> list[dict[str, Any]]:
    """What could not be told yet, and why."""
    query = sa.select(deliveries.c.destination, deliveries.c.attempts, deliveries.c.last_error).where(
        deliveries.c.incident_id == incident_id, deliveries.c.state == "pending", deliveries.c.last_error.is_not(None)
    )
    return [dict(row) for row in conn.execute(query).mappings()]


def shown_data(data: dict[str, Any]) -> str:
    """What an actor said, for the timeline: the few fields that a person wants."""
    wanted = {key: data[key] for key in ("unit", "note", "disposition", "relative", "stage", "change") if data.get(key)}
    return json.dumps(wanted, ensure_ascii=False)[1:-1].replace('"', "") if wanted else ""
