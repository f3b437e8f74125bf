"""Where incidents are on the desk's map: spots with their accuracy, and the way a person went. Degrees and metres."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from gateway.incidents.facts import best_fix
from gateway.incidents.stages import ALARM_JOINED, OPENED, POSITION, Event, device_of
from gateway.store.schema import alarms, devices, owners

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
    """The spot of each button of these incidents (look.queue) that has one, with its incident's page and state."""
    columns = (alarms.c.incident_id, alarms.c.device_id, alarms.c.lat_e7, alarms.c.lon_e7, alarms.c.accuracy_m)
    query = (
        sa.select(*columns, alarms.c.fix_at, alarms.c.received_at, devices.c.site_lat_e7, devices.c.site_lon_e7)
        .add_columns(devices.c.name.label("device"), owners.c.name.label("owner"))
        .join(devices, devices.c.id == alarms.c.device_id)
        .join(owners, owners.c.id == devices.c.owner_id, isouter=True)
        .where(alarms.c.incident_id.in_([each["id"] for each in shown]))
    )
    rows: dict[str, dict[int, list[Any]]] = {}
    for row in conn.execute(query).mappings():
        rows.setdefault(row["incident_id"], {}).setdefault(row["device_id"], []).append(row)
    found = []
    for each in shown:
        for of in rows.get(each["id"], {}).values():
            where = spot(of, (of[0]["site_lat_e7"], of[0]["site_lon_e7"]))
            if where is not None:
                name = of[0]["owner"] or of[0]["device"]
                found.append({**where, "state": each["state"], "name": name, "page": f"/incidents/{each['id']}"})
    return found


def trail(history: list[Event], device_id: int) -> list[tuple[float, float]]:
    """The fixes of one button that came in, oldest first."""
    way = [
        (event.data["lat_e7"] / 1e7, event.data["lon_e7"] / 1e7)
        for event in history
        if event.kind in (OPENED, ALARM_JOINED, POSITION)
        and event.data.get("lat_e7") is not None
        and device_of(event) == device_id
    ]
    return way[-TRAIL:]
