"""What `show` says of one device, owner, relative, unit or operator beyond its own row."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from gateway.commands.troubles import shown
from gateway.incidents.cloudevents import rfc3339
from gateway.registry.people import masked
from gateway.store.schema import alarms, deliveries, devices, incidents, operators, owners, relatives, sessions

NEWEST = 5


def of_device(conn: sa.Connection, device_id: int) -> dict[str, Any]:
    """When it was registered and heard, its troubles, its newest incidents."""
    row = conn.execute(sa.select(devices).where(devices.c.id == device_id)).one()
    beat = json.loads(row.heartbeat) if row.heartbeat else {}
    newest = (
        sa.select(incidents.c.id, incidents.c.state, incidents.c.test, sa.func.max(alarms.c.received_at).label("at"))
        .join(alarms, alarms.c.incident_id == incidents.c.id)
        .where(alarms.c.device_id == device_id)
        .group_by(incidents.c.id)
        .order_by(sa.desc("at"))
        .limit(NEWEST)
    )
    return {
        "registered_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at),
        "online": row.online,
        "last_heard_at": rfc3339(row.last_heard_at),
        "battery_mv": beat.get("battery_mv") or None,
        "firmware": ".".join(str(part) for part in beat["firmware"]) if beat.get("firmware") else None,
        "troubles": [each["trouble"] for each in shown(conn, lasting=True, device_id=device_id)],
        "incidents": [
            {"incident": each.id, "state": each.state, "test": bool(each.test), "last_alarm_at": rfc3339(each.at)}
            for each in conn.execute(newest)
        ],
    }


def of_owner(conn: sa.Connection, owner_id: int) -> dict[str, Any]:
    """When registered, the devices and the relatives (channels masked)."""
    row = conn.execute(sa.select(owners.c.created_at, owners.c.revoked_at).where(owners.c.id == owner_id)).one()
    of = sa.select(devices.c.name, devices.c.revoked_at).where(devices.c.owner_id == owner_id).order_by(devices.c.name)
    listed = sa.select(relatives).where(relatives.c.owner_id == owner_id, relatives.c.revoked_at.is_(None))
    return {
        "registered_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at),
        "devices": [{"name": each.name, "revoked": each.revoked_at is not None} for each in conn.execute(of)],
        "relatives": [
            {"name": each.name, "channel": masked(each.channel), "tests": bool(each.wants_tests)}
            for each in conn.execute(listed.order_by(relatives.c.id))
        ],
    }


def of_relative(conn: sa.Connection, relative_id: int) -> dict[str, Any]:
    """When registered, and how telling this person goes."""
    row = conn.execute(sa.select(relatives).where(relatives.c.id == relative_id)).one()
    mine = deliveries.c.destination == f"relative:{relative_id}"
    told = conn.execute(sa.select(sa.func.max(deliveries.c.done_at)).where(mine)).scalar()
    waiting = conn.execute(
        sa.select(sa.func.count(), sa.func.max(deliveries.c.last_error)).where(mine, deliveries.c.state == "pending")
    ).one()
    return {
        "registered_at": rfc3339(row.created_at),
        "last_told_at": rfc3339(told),
        "waiting": waiting[0],
        "last_error": waiting[1],
    }


def of_operator(conn: sa.Connection, operator_id: int, now_us: int) -> dict[str, Any]:
    """When registered or revoked, and the open sessions."""
    row = conn.execute(sa.select(operators).where(operators.c.id == operator_id)).one()
    count = sa.select(sa.func.count()).where(
        sessions.c.operator_id == operator_id, sessions.c.kind == "session", sessions.c.expires_at > now_us
    )
    return {
        "registered_at": rfc3339(row.created_at),
        "revoked_at": rfc3339(row.revoked_at),
        "sessions": conn.execute(count).scalar_one(),
    }


def flat(facts: dict[str, Any]) -> dict[str, Any]:
    """The same for people: what is in lists as one line each."""
    return {
        name: [_line(each) for each in value] if isinstance(value, list) else value for name, value in facts.items()
    }


def _line(each: Any) -> str:
    if not isinstance(each, dict):
        return str(each)
    words = [name if value is True else str(value) for name, value in each.items() if value not in (False, None)]
    return " · ".join(words)
