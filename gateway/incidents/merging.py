"""What operators do with incidents: two are one emergency, or one is two. In the caller's transaction.

A button's alarms stay together, so that its next press has one incident to join. No person's light goes back: of two
that become one the further stage is told to both, and what was split off says when it was promised more than it has.
"""

from __future__ import annotations

from typing import Any, Protocol

import sqlalchemy as sa

from gateway.incidents import queries, stages
from gateway.incidents.events import GOES_ON, UnknownIncident, record
from gateway.incidents.joining import stay
from gateway.incidents.telling import tell_devices, tell_relatives
from gateway.outbox import rows
from gateway.registry.devices import Device, get_device
from gateway.store.schema import alarms, incidents
from panic_wire.topics import device_name

MOST_ALARMS = 1000  # moved at once: each is written out in the event


class CannotBeMoved(ValueError):
    """These incidents are not to be merged or split; str() says why, in English."""


class Tell(Protocol):
    """Book's, to backends."""

    def __call__(
        self,
        conn: sa.Connection,
        incident_id: str,
        device: Device,
        change: str,
        now_us: int,
        *,
        other: str | None = None,
    ) -> None: ...


def merge(conn: sa.Connection, incident_id: str, other: str, actor: str, now_us: int, tell: Tell) -> str:
    """Let `other` go on in `incident_id`; returns the id of the one that goes on.

    It is the other way round where backends know only `other`. UnknownIncident, or CannotBeMoved.
    """
    _lock(conn, incident_id, other)
    kept, gone = _open(conn, incident_id), _open(conn, other)
    if kept.id == gone.id:
        raise CannotBeMoved("an incident is not merged with itself")
    if kept.test != gone.test:
        raise CannotBeMoved("a test and an emergency stay apart")
    if kept.held and not gone.held:
        kept, gone = gone, kept
    both = {each.id: conn.execute(queries.ALARMS, {"incident": each.id}).all() for each in (kept, gone)}
    after = stages.merged(kept, gone.state, gone.raised, bool(gone.promised))
    data = {
        "incident": gone.id,
        "state": gone.state,
        "raised": gone.raised,
        "promised": bool(gone.promised),
        "alarms": _facts(both[gone.id]),
    }
    conn.execute(alarms.update().where(alarms.c.incident_id == gone.id).values(incident_id=kept.id))
    ended = {"state": stages.CLOSED, "merged_into": kept.id, "raised": 0, "promised": False, "changed_at": now_us}
    _change(conn, gone.id, ended)
    _change(conn, kept.id, {**after, "changed_at": now_us})
    record(conn, gone.id, now_us, stages.MERGED_INTO, actor, {"incident": kept.id})
    record(conn, kept.id, now_us, stages.MERGED_FROM, actor, data)
    for each in (kept, gone):
        only = {row.device_id for row in both[each.id]}
        if stages.STATES.index(after["state"]) > stages.STATES.index(each.state):
            tell_devices(conn, kept.id, after["state"], now_us, only)
        if stages.is_help_sent(after["state"]) and not stages.is_help_sent(each.state):
            tell_relatives(conn, kept.id, stages.DISPATCHED, now_us, only)
    tell(conn, gone.id, _device(conn, gone.device_id), stages.MERGED_INTO, now_us, other=kept.id)
    tell(conn, kept.id, _device(conn, kept.device_id), stages.MERGED_FROM, now_us, other=gone.id)
    return kept.id


def split(conn: sa.Connection, incident_id: str, device_id: int, actor: str, now_us: int, tell: Tell) -> str:
    """Let a button's alarms go on in an incident of their own, which is new: open, and seen by nobody; returns its id.

    UnknownIncident, or CannotBeMoved.
    """
    _lock(conn, incident_id)
    found = _open(conn, incident_id)
    held = conn.execute(queries.ALARMS, {"incident": incident_id}).all()
    moved = [row for row in held if row.device_id == device_id]
    if not moved or len(moved) == len(held):
        raise CannotBeMoved("there is nothing to split: choose one of several buttons")
    device = _device(conn, device_id)
    new_id = rows.new_id(now_us)
    # What its light says cannot be taken back.
    promised = stages.is_help_sent(found.state) or bool(found.promised)
    values = {"id": new_id, "device_id": device_id, "state": stages.OPEN, "test": found.test, "accepted": False}
    flags = {"held": found.held, "promised": promised}
    conn.execute(incidents.insert().values(**values, **flags, opened_at=now_us, changed_at=now_us))
    key = (alarms.c.incident_id == incident_id, alarms.c.device_id == device_id)
    conn.execute(alarms.update().where(*key).values(incident_id=new_id))
    stay(conn, incident_id, now_us)
    name = device_name(device_id)
    record(conn, incident_id, now_us, stages.SPLIT_OFF, actor, {"incident": new_id, "device": name})
    data = {"incident": incident_id, "device": name, "test": bool(found.test), "alarms": _facts(moved)}
    record(conn, new_id, now_us, stages.SPLIT_FROM, actor, {**data, "held": bool(found.held), "promised": promised})
    tell(conn, new_id, device, stages.SPLIT_FROM, now_us, other=incident_id)
    tell(conn, incident_id, _device(conn, found.device_id), stages.SPLIT_OFF, now_us, other=new_id)
    return new_id


def _lock(conn: sa.Connection, *incident_ids: str) -> None:
    """On PostgreSQL: no alarm of these buttons comes in between."""
    if conn.dialect.name == "sqlite":
        return
    query = sa.select(alarms.c.device_id).where(alarms.c.incident_id.in_(incident_ids)).distinct()
    for device_id in sorted(conn.execute(query).scalars()):
        conn.execute(queries.LOCK_DEVICE, {"device": device_id})


def _open(conn: sa.Connection, incident_id: str) -> Any:
    found = conn.execute(queries.INCIDENT_TO_CHANGE, {"incident": incident_id}).first()
    if found is None:
        raise UnknownIncident(incident_id)
    if found.state == stages.CLOSED:
        raise CannotBeMoved("it is closed, and stays as it is")
    return found


def _facts(moved: Any) -> list[dict[str, Any]]:
    if len(moved) > MOST_ALARMS:
        raise CannotBeMoved(f"it has {len(moved)} alarms; at most {MOST_ALARMS} can be moved")
    return [
        {"device": device_name(row.device_id), **{name: row._mapping[name] for name in (*GOES_ON, "duress")}}
        for row in moved
    ]


def _change(conn: sa.Connection, incident_id: str, values: dict[str, Any]) -> None:
    conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**values))


def _device(conn: sa.Connection, device_id: int) -> Device:
    found = get_device(conn, device_id)
    assert found is not None  # a foreign key says so
    return found
