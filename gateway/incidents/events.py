"""An incident's history: one append-only row for each thing that happened.

Data by kind; times in microseconds UTC; a device is eight hex digits, and that of the actor where none is said:

- opened, alarm_joined: activation, pressed_at, age_is_minimum, silent, bearer, gesture, lat_e7, lon_e7,
  accuracy_m, fix_at, moved, doubtful, epoch, counter, battery_mv; of an alarm that came from a closed incident also
  received_at, cancelled_at. opened also: test, and held where it is so
- position: activation, lat_e7, lon_e7, accuracy_m, fix_at, moved, doubtful. press_time: activation, pressed_at,
  age_is_minimum
- cancelled: activation, cancelled_at, duress. alarm_left: activation, incident (where it goes on)
- accepted, acknowledged, dispatched, on_scene, closed: what the actor said (closed: disposition; of an incident that
  was merged into this one: said_of). seen: a human has seen that it was pressed again
- merged_into: incident. merged_from: incident, state, raised, promised (of that one), alarms (as above, each with its
  device, received_at, cancelled_at, duress)
- split_off: incident, device. split_from: incident, device, test, promised, alarms
- told: activation, stage. refused: stage, state. relatives: relative (name), change (what they were told of)
- taken: what a backend said whose acceptance came after another's, or does not count
- came_too: activation, bearer, late_ms: a frame of it came by another bearer too, so much later
- not_accepted: after_s, how long no backend had accepted it when that was noticed
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from gateway.incidents import queries
from gateway.incidents.stages import ACCEPTED, CAME_TOO, TAKEN, Event
from gateway.store.schema import events

_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps makes one each time
# What an alarm takes along when it goes on in another incident.
GOES_ON = (
    *("activation", "pressed_at", "received_at", "age_is_minimum", "silent", "bearer", "epoch", "counter"),
    *("battery_mv", "lat_e7", "lon_e7", "accuracy_m", "fix_at", "moved", "doubtful", "cancelled_at"),
)


class UnknownIncident(LookupError):
    """There is no incident with this id."""


def record(conn: sa.Connection, incident_id: str, at: int, kind: str, actor: str, data: dict[str, Any]) -> None:
    """Append one event. It changes no row: Book does that beside it."""
    row = {"incident_id": incident_id, "at": at, "kind": kind, "actor": actor, "data": _to_json(data)}
    conn.execute(queries.ADD_EVENT, row)


def taken_too(conn: sa.Connection, incident_id: str, backend: str, data: dict[str, Any], now_us: int) -> None:
    """A backend has accepted what another had accepted before, or whose word does not count: kept once."""
    said = sa.exists().where(
        events.c.incident_id == incident_id, events.c.actor == backend, events.c.kind.in_((ACCEPTED, TAKEN))
    )
    if not conn.execute(sa.select(said)).scalar_one():
        record(conn, incident_id, now_us, TAKEN, backend, data)


def came_too(conn: sa.Connection, alarm: Any, bearer: str, device: str, received_at: int) -> None:
    """A frame of this alarm (its row) came by another bearer than the first one: kept once, with how late it was."""
    query = sa.select(events.c.data).where(
        events.c.incident_id == alarm.incident_id, events.c.actor == device, events.c.kind == CAME_TOO
    )
    said = [json.loads(row.data) for row in conn.execute(query).all()]
    if not any((each["activation"], each["bearer"]) == (alarm.activation, bearer) for each in said):
        late_ms = max(0, received_at - alarm.received_at) // 1000
        data = {"activation": alarm.activation, "bearer": bearer, "late_ms": late_ms}
        record(conn, alarm.incident_id, received_at, CAME_TOO, device, data)


def history(conn: sa.Connection, incident_id: str) -> list[Event]:
    """An incident's events, oldest first: what stages.fold takes."""
    query = sa.select(events).where(events.c.incident_id == incident_id).order_by(events.c.id)
    return [Event(row.kind, row.at, row.actor, json.loads(row.data)) for row in conn.execute(query).all()]
