"""What a backend is told: one CloudEvents 1.0 envelope (structured JSON) for each thing that happened to an
incident."""

from __future__ import annotations

import functools
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from gateway.incidents import queries
from gateway.incidents.facts import best_fix, cancel_says
from gateway.registry.devices import Device, get_device
from gateway.registry.people import get_owner
from panic_wire.frames import alarm_id
from panic_wire.topics import device_name

OPENED_TYPE = "id.sigap.incident.opened.v1"
UPDATED_TYPE = "id.sigap.incident.updated.v1"
CANCELLED_TYPE = "id.sigap.incident.cancelled.v1"
MERGED_TYPE = "id.sigap.incident.merged.v1"
SPLIT_TYPE = "id.sigap.incident.split.v1"
# By the change; any other is UPDATED_TYPE. What begins by a split is opened: who knows nothing of splits hears of it.
TYPES = {
    "opened": OPENED_TYPE,
    "split_from": OPENED_TYPE,
    "cancelled": CANCELLED_TYPE,
    "merged_into": MERGED_TYPE,
    "split_off": SPLIT_TYPE,
}

MOST_ALARMS_TOLD = 20


@functools.lru_cache(maxsize=8192)  # an incident is told with all its alarms each time
def rfc3339(at: int | None) -> str | None:
    """Microseconds UTC as RFC 3339 with milliseconds ("2026-11-24T03:40:48.123Z"); None stays None."""
    if at is None:
        return None
    text = datetime.fromtimestamp(at // 1000 / 1000, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def envelope(
    *, event_id: str, source: str, kind: str, incident_id: str, now_us: int, data: dict[str, Any]
) -> dict[str, Any]:
    """The CloudEvent; `event_id` is also the delivery's id. https://github.com/cloudevents/spec v1.0, section
    3."""
    return {
        "specversion": "1.0",
        "id": event_id,
        "source": f"urn:sigap:gateway:{source}",
        "type": kind,
        "subject": incident_id,
        "time": rfc3339(now_us),
        "datacontenttype": "application/json",
        "data": data,
    }


def incident_data(
    conn: sa.Connection, incident_id: str, device: Device, change: str, *, for_owner: bool = False
) -> dict[str, Any]:
    """The whole incident as it stands in this transaction, so that a backend needs no memory of its own.

    device: one of the incident's. change: the kind of the event that is being told. for_owner: only what is of this
    device and its owner's others, for those who may not know of strangers. Positions in degrees, times RFC 3339.
    """
    incident = conn.execute(queries.INCIDENT, {"incident": incident_id}).one()
    rows = conn.execute(queries.ALARMS, {"incident": incident_id}).all()
    if for_owner:
        owned = {each: _device(conn, each).owner_id for each in {row.device_id for row in rows} - {device.id}}
        rows = [row for row in rows if owned.get(row.device_id, device.owner_id) == device.owner_id]
    elif incident.device_id != device.id:
        device = _device(conn, incident.device_id)
    own = [row for row in rows if row.device_id == device.id]
    others = dict.fromkeys(row.device_id for row in rows if row.device_id != device.id)
    return {
        "incident": incident_id,
        "change": change,
        "test": bool(incident.test),
        "held": bool(incident.held),
        "state": incident.state,
        "accepted": bool(incident.accepted),
        "disposition": incident.disposition,
        "opened_at": rfc3339(incident.opened_at),
        "merged_into": incident.merged_into,
        **_who_and_where(conn, device, own),
        "silent": any(row.silent for row in rows) or device.silent,
        "cancel": _cancel(rows),
        **_alarms(rows),
        "other_devices": [
            _who_and_where(conn, _device(conn, each), [row for row in rows if row.device_id == each]) for each in others
        ],
    }


def _device(conn: sa.Connection, device_id: int) -> Device:
    found = get_device(conn, device_id)
    assert found is not None  # a foreign key says so
    return found


def _who_and_where(conn: sa.Connection, device: Device, rows: list[sa.Row]) -> dict[str, Any]:
    """What is known of one button of an incident. rows: of its alarms."""
    owner = get_owner(conn, device.owner_id) if device.owner_id is not None else None
    return {
        "device": device_name(device.id),
        "device_name": device.name,
        "device_revoked": device.revoked,
        "owner": None
        if owner is None
        else {
            "name": owner.name,
            "telephone": owner.telephone,
            "address": owner.address,
            "language": owner.language,
            "registered_message": owner.registered_message,
        },
        "site": device.site_name,
        "position": _position(rows, device),
    }


def _alarms(rows: list[sa.Row] | Any) -> dict[str, Any]:
    """The first alarm and the newest, so that what is told does not grow without end; and how many that leaves out."""
    told = rows if len(rows) <= MOST_ALARMS_TOLD else [rows[0], *rows[1 - MOST_ALARMS_TOLD :]]
    left_out = {"alarms_left_out": len(rows) - len(told)} if len(told) < len(rows) else {}
    return {"alarms": [_alarm(row) for row in told], **left_out}


def _alarm(row: sa.Row) -> dict[str, Any]:
    return {
        "alarm": alarm_id(row.device_id, row.activation),
        "activation": row.activation,
        "pressed_at": rfc3339(row.pressed_at),
        "age_is_minimum": bool(row.age_is_minimum),
        "received_at": rfc3339(row.received_at),
        "silent": bool(row.silent),
        "bearer": row.bearer,
        "battery_mv": row.battery_mv,
        "moved": bool(row.moved),
        "doubtful": bool(row.doubtful),
        "cancelled_at": rfc3339(row.cancelled_at),
        "duress": bool(row.duress),
    }


def _cancel(rows: list[sa.Row] | Any) -> dict[str, Any] | None:
    times = [row.cancelled_at for row in rows if row.cancelled_at is not None]
    if not times:
        return None
    return {"says": cancel_says(row._mapping for row in rows), "at": rfc3339(max(times))}


def _position(rows: list[sa.Row] | Any, device: Device) -> dict[str, Any]:
    """Where the device is believed to be: its newest fix, else the surveyed site, else unknown (source
    null)."""
    best = best_fix(row._mapping for row in rows)
    if best is not None:
        return {
            "lat": best["lat_e7"] / 1e7,
            "lon": best["lon_e7"] / 1e7,
            "accuracy_m": best["accuracy_m"],
            "source": "gps",
            "fix_at": rfc3339(best["fix_at"]),
        }
    if device.site_lat_e7 is not None and device.site_lon_e7 is not None:
        lat, lon = device.site_lat_e7 / 1e7, device.site_lon_e7 / 1e7
        return {"lat": lat, "lon": lon, "accuracy_m": None, "source": "site", "fix_at": None}
    return {"lat": None, "lon": None, "accuracy_m": None, "source": None, "fix_at": None}
