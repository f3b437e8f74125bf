"""Where incidents are on the desk's map: spots with their accuracy, and the way a person went. Degrees and metres."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.incidents.facts import best_fix
from gateway.incidents.stages import ALARM_JOINED, OPENED, POSITION, Event
from gateway.store.schema import alarms, devices, incidents

TRAIL = 500  # positions drawn, the newest


def spot(rows: Any, site: tuple[int | None, int | None]) -> dict[str, Any] | None:
    """Where the device is believed to be: the newest fix of these alarms, else its surveyed site, else None."""
    best = best_fix(rows)
    if best is not None:
        return {"lat": best["lat_e7"] / 1e7, "lon": best["lon_e7"] / 1e7, "accuracy_m": best["accuracy_m"]}
    lat, lon = site
    if lat is None or lon is None:
        return None
    return {"lat": lat / 1e7, "lon": lon / 1e7, "accuracy_m": None}


def spots(conn: sa.Connection, shown: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The spot of each of these incidents (look.queue) that has one, with its page and its state."""
    columns = (alarms.c.incident_id, alarms.c.lat_e7, alarms.c.lon_e7, alarms.c.accuracy_m)
    query = (
        sa.select(*columns, alarms.c.fix_at, alarms.c.received_at, devices.c.site_lat_e7, devices.c.site_lon_e7)
        .join(incidents, incidents.c.id == alarms.c.incident_id)
        .join(devices, devices.c.id == incidents.c.device_id)
        .where(alarms.c.incident_id.in_([each["id"] for each in shown]))
    )
    rows: dict[str, list[Any]] = {}
    for row in conn.execute(query).mappings():
        rows.setdefault(row["incident_id"], []).append(row)
    found = []
    for each in shown:
        of = rows.get(each["id"], [])
        where = spot(of, (of[0]["site_lat_e7"], of[0]["site_lon_e7"])) if of else None
        if where is not None:
            name = each["owner"] or each["device"]
            found.append({**where, "state": each["state"], "name": name, "page": f"/incidents/{each['id']}"})
    return found


def trail(history: list[Event]) -> list[tuple[float, float]]:
    """The fixes that came in, oldest first."""
    way = [
        (event.data["lat_e7"] / 1e7, event.data["lon_e7"] / 1e7)
        for event in history
        if event.kind in (OPENED, ALARM_JOINED, POSITION) and event.data.get("lat_e7") is not None
    ]
    return way[-TRAIL:]
