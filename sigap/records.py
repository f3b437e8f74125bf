"""What the gateway's store says of buttons and alarms, as the panel takes it (simulator.panel.ports.Gateway)."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.store.engine import Store
from gateway.store.schema import alarms, devices, events, incidents, owners
from panic_wire.frames import alarm_id
from panic_wire.topics import device_name
from sigap.problem import Problem
from sigap.timeline import stage_of

MOST = 50  # alarms, the newest


class Records:
    """Reads the store; raises Problem when that fails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def boards(self) -> dict[str, dict[str, Any]]:
        """{button: {"owner", "silent", "site", "battery_mv"}}."""
        query = sa.select(devices, owners.c.name.label("owner")).join(owners, isouter=True)
        return {row.name: _board(row) for row in self._rows(query.where(devices.c.revoked_at.is_(None)))}

    def timeline(self) -> list[dict[str, Any]]:
        """The newest alarms, oldest first, with every stage as it was recorded; Unix ms."""
        newest = (
            sa.select(alarms, devices.c.name, incidents.c.test)
            .join(devices, devices.c.id == alarms.c.device_id)
            .join(incidents, incidents.c.id == alarms.c.incident_id)
            .order_by(alarms.c.received_at.desc())
            .limit(MOST)
        )
        found = self._rows(newest)[::-1]
        of = {row.incident_id for row in found}
        stages: dict[str, dict[str, float]] = {each: {} for each in of}
        for event in self._rows(sa.select(events).where(events.c.incident_id.in_(of)).order_by(events.c.id)):
            stage = stage_of(event.kind)
            if stage is not None:
                stages[event.incident_id].setdefault(stage, event.at / 1000)
        return [_alarm(row, stages[row.incident_id]) for row in found]

    def _rows(self, query: sa.Select[Any]) -> list[Any]:
        try:
            with self._store.read() as conn:
                return list(conn.execute(query).all())
        except SQLAlchemyError as error:
            raise Problem(f"the gateway's records cannot be read ({error})", "See the gateway's log") from error


def _board(row: Any) -> dict[str, Any]:
    lat, lon = row.site_lat_e7, row.site_lon_e7
    heard = json.loads(row.heartbeat) if row.heartbeat else {}
    return {
        "owner": row.owner,
        "silent": bool(row.silent),
        "site": None if lat is None or lon is None else [lat / 1e7, lon / 1e7],
        "battery_mv": heard.get("battery_mv"),
    }


def _alarm(row: Any, stages: dict[str, float]) -> dict[str, Any]:
    return {
        "board": row.name,
        "device": device_name(row.device_id),
        "alarm": alarm_id(row.device_id, row.activation),
        "test": bool(row.test),
        "pressed_at": row.pressed_at / 1000,
        "is_exact": not row.age_is_minimum,
        "stages": {**stages, "received": row.received_at / 1000},
    }
