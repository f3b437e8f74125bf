"""The rows of incidents and alarms against their events: what differs, and the rows made anew.

Rows are a picture of the events (stages.fold). What events do not say is left as the row has it: of an alarm its newest
counter and battery, and of an incident of an older program whether it is a test. An alarm's row that is gone altogether
comes back with those of its first frame.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.incidents.events import history
from gateway.incidents.stages import CLOSED, AlarmState, Event, IncidentState, device_of, fold
from gateway.store.engine import Store
from gateway.store.schema import alarms, incidents
from panic_wire.frames import alarm_id

AT_ONCE = 200  # incidents in one transaction: an alarm does not wait long for one
_PLAIN = ("state", "accepted", "disposition", "opened_at", "changed_at", "merged_into", "held", "raised", "promised")
_FACTS = (
    "pressed_at",
    "received_at",
    "age_is_minimum",
    "silent",
    "bearer",
    "moved",
    "doubtful",
    "cancelled_at",
    "duress",
)
_FIX = ("lat_e7", "lon_e7", "accuracy_m", "fix_at")


@dataclass(frozen=True)
class Difference:
    """Where a row is not what the events say. what: a column, or an alarm and its column."""

    incident: str
    what: str
    stored: Any
    told: Any


@dataclass(frozen=True)
class Findings:
    """incidents: looked at. archived: closed ones without events. differences: before anything was changed."""

    incidents: int
    archived: int
    differences: list[Difference]


def check(store: Store) -> Findings:
    """Compare every incident with its events. Reads only, a part at a time."""
    looked = archived = 0
    found: list[Difference] = []
    for ids in _parts(store):
        with store.read() as conn:
            for each in ids:
                looked += 1
                if (said := differences(conn, each)) is None:
                    archived += 1
                else:
                    found += said
    return Findings(looked, archived, found)


def rebuild(store: Store) -> Findings:
    """Make every row what its events say, a part at a time; what differed before is returned.

    Nothing is deleted: an alarm that no event tells of stays, and is a difference at the next check too.
    """
    looked = archived = 0
    found: list[Difference] = []
    for ids in _parts(store):
        with store.write() as conn:
            for each in ids:
                looked += 1
                said = differences(conn, each)
                if said is None:
                    archived += 1
                elif said:
                    found += said
                    happened = history(conn, each)
                    if said[0].what != "events":
                        _write(conn, each, fold(happened), happened)
    return Findings(looked, archived, found)


def differences(conn: sa.Connection, incident_id: str) -> list[Difference] | None:
    """Of one incident; None for one whose events were archived."""
    row = conn.execute(sa.select(incidents).where(incidents.c.id == incident_id)).one()
    happened = history(conn, incident_id)
    if not happened and row.state == CLOSED:
        return None
    try:
        told = fold(happened)
    except (ValueError, KeyError) as error:
        return [Difference(incident_id, "events", None, str(error))]
    pairs = {name: (row._mapping[name], getattr(told, name)) for name in _PLAIN}
    pairs["device_id"] = row.device_id, told.device
    if told.test is not None:
        pairs["test"] = row.test, told.test
    kept = {(each.device_id, each.activation): each for each in conn.execute(_alarms_of(incident_id))}
    for key in sorted({*kept, *told.alarms}):
        name = f"alarm {alarm_id(*key)}"
        if key not in kept or key not in told.alarms:
            pairs[name] = key in kept, key in told.alarms
            continue
        said = _columns(told.alarms[key])
        pairs |= {f"{name} {column}": (kept[key]._mapping[column], said[column]) for column in said}
    return [Difference(incident_id, what, *pair) for what, pair in pairs.items() if pair[0] != pair[1]]


def _parts(store: Store) -> Iterator[Sequence[str]]:
    after = ""
    while True:
        query = sa.select(incidents.c.id).where(incidents.c.id > after).order_by(incidents.c.id).limit(AT_ONCE)
        with store.read() as conn:
            ids = conn.execute(query).scalars().all()
        if not ids:
            return
        yield ids
        after = ids[-1]


def _alarms_of(incident_id: str) -> sa.Select[Any]:
    return sa.select(alarms).where(alarms.c.incident_id == incident_id)


def _columns(alarm: AlarmState) -> dict[str, Any]:
    position = dict(zip(_FIX, alarm.position or (None,) * len(_FIX), strict=True))
    return {**{name: getattr(alarm, name) for name in _FACTS}, **position}


def _write(conn: sa.Connection, incident_id: str, told: IncidentState, happened: list[Event]) -> None:
    values = {"device_id": told.device, **{name: getattr(told, name) for name in _PLAIN}}
    if told.test is not None:
        values["test"] = told.test
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**values))
    for (device, activation), alarm in told.alarms.items():
        key = (alarms.c.device_id == device, alarms.c.activation == activation)
        values = {"incident_id": incident_id, **_columns(alarm)}
        if conn.execute(alarms.update().where(*key).values(**values)).rowcount:
            continue
        frame = _first_frame(happened, device, activation)
        names = {"device_id": device, "activation": activation, **frame}
        told_fix = {f"told_{name}": values[name] for name in _FIX[:3]}
        conn.execute(alarms.insert().values(**values, **names, **told_fix))


def _first_frame(happened: list[Event], device: int, activation: int) -> dict[str, Any]:
    """Epoch, counter and battery of an alarm, as far as its events say them."""
    for event in happened:
        for data in event.data.get("alarms", [event.data]):
            if "counter" not in data or data.get("activation") != activation:
                continue
            if device_of(Event(event.kind, event.at, event.actor, data)) == device:
                return {name: data[name] for name in ("epoch", "counter", "battery_mv")}
    return {"epoch": 0, "counter": 0}
