"""What the desk's pages show, read from the store. Times are aware datetimes in the district's zone."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.desk import together, told
from gateway.desk.spots import trail
from gateway.desk.times import local
from gateway.incidents import deadline, queries, stages
from gateway.incidents.events import history
from gateway.incidents.facts import cancel_says
from gateway.registry.devices import get_device
from gateway.registry.people import get_owner
from gateway.store.schema import alarms, counts, deliveries, devices, events, incidents, owners
from gateway.supervision import bases, crashes, troubles
from panic_wire.topics import device_name

SHOWN = 100  # incidents on the queue's page: all that are open come first
NEXT = {
    stages.OPEN: (stages.ACKNOWLEDGED, stages.DISPATCHED, stages.ON_SCENE, stages.CLOSED),
    stages.ACKNOWLEDGED: (stages.DISPATCHED, stages.ON_SCENE, stages.CLOSED),
    stages.DISPATCHED: (stages.ON_SCENE, stages.CLOSED),
    stages.ON_SCENE: (stages.CLOSED,),
    stages.CLOSED: (),
}
SHOWN_ENDED = 50  # troubles that are over
CRASH_TEXTS = 3  # of each device
_CHANGES = sa.select(counts.c.value).where(counts.c.name == troubles.CHANGES).scalar_subquery()
# Both only ever grow, so their sum does whenever one of them does.
_NEWEST = sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0) + sa.func.coalesce(_CHANGES, 0))
_SAID = sa.select(
    *(alarms.c[name] for name in ("incident_id", "device_id", "activation", "pressed_at", "cancelled_at", "duress")),
    alarms.c.moved,
)
# Nobody has seen it, or that it was pressed again.
_IS_WAITING = sa.or_(incidents.c.state == stages.OPEN, incidents.c.raised > 0)
_WAITING = sa.select(sa.func.count()).where(
    incidents.c.state.in_(stages.STATES[:-1]), _IS_WAITING, incidents.c.test.is_(False)
)
_HANDLED = sa.select(events.c.incident_id, events.c.kind, events.c.actor, events.c.data)


def newest_event(conn: sa.Connection) -> int:
    """How new what is shown is: a number that grows with each event, and with what changes of troubles."""
    return conn.execute(_NEWEST).scalar_one()


def unseen(conn: sa.Connection) -> int:
    """How many emergencies no operator has seen yet: while there are any, desks sound."""
    return conn.execute(_WAITING).scalar_one()


def queue(conn: sa.Connection, zone: ZoneInfo, tests: bool = False) -> list[dict[str, Any]]:
    """Emergencies (or tests), the most urgent first: under duress; pressed again, and nobody has seen it; those that
    wait longest for a human. The closed ones last, newest first."""
    pressed = sa.select(sa.func.min(alarms.c.pressed_at)).where(alarms.c.incident_id == incidents.c.id)
    count = sa.select(sa.func.count()).where(alarms.c.incident_id == incidents.c.id)
    silent = sa.select(sa.func.max(sa.cast(alarms.c.silent, sa.Integer))).where(alarms.c.incident_id == incidents.c.id)
    bearer = sa.select(sa.func.min(alarms.c.bearer)).where(alarms.c.incident_id == incidents.c.id)
    forced = sa.exists().where(alarms.c.incident_id == incidents.c.id, alarms.c.duress.is_(True))
    is_open = incidents.c.state != stages.CLOSED
    urgent = sa.case((sa.and_(forced, is_open), 0), (sa.and_(incidents.c.raised > 0, is_open), 1), else_=2)
    closed = sa.case((incidents.c.state == stages.CLOSED, 1), else_=0)
    rank = sa.case({name: number for number, name in enumerate(stages.STATES)}, value=incidents.c.state)
    query = (
        sa.select(
            incidents,
            devices.c.name.label("device"),
            devices.c.site_name.label("site"),
            devices.c.revoked_at.is_not(None).label("revoked"),
            owners.c.name.label("owner"),
            pressed.scalar_subquery().label("pressed_at"),
            count.scalar_subquery().label("alarms"),
            silent.scalar_subquery().label("silent"),
            bearer.scalar_subquery().label("bearer"),
        )
        .join(devices, devices.c.id == incidents.c.device_id)
        .join(owners, owners.c.id == devices.c.owner_id, isouter=True)
        .where(incidents.c.test.is_(tests))
        .order_by(urgent, closed, rank, sa.case((closed == 1, -incidents.c.opened_at), else_=incidents.c.opened_at))
        .limit(SHOWN)
    )
    found = []
    for row in conn.execute(query).mappings():
        # An alarm that turned out to be real left its test without any.
        times = {"pressed_at": local(row["pressed_at"] or row["opened_at"], zone)}
        more = {"by": None, "cancel": None, "moved": False, "buttons": 1, "late": False}
        found.append({**row, **times, "opened_at": local(row["opened_at"], zone), **more})
    by_id = {each["id"]: each for each in found}
    of: dict[str, list[Any]] = {}
    for one in conn.execute(_SAID.where(alarms.c.incident_id.in_(by_id))).mappings():
        of.setdefault(one["incident_id"], []).append(one)
    for incident_id, listed in of.items():
        buttons = len({one["device_id"] for one in listed})
        said = {"cancel": cancel_says(listed), "moved": any(one["moved"] for one in listed)}
        by_id[incident_id] |= {**said, "buttons": buttons}
    kinds = (stages.ACKNOWLEDGED, stages.DISPATCHED, stages.NOT_ACCEPTED)
    for row in conn.execute(_HANDLED.where(events.c.incident_id.in_(by_id), events.c.kind.in_(kinds))):
        if row.kind == stages.NOT_ACCEPTED:
            by_id[row.incident_id]["late"] = not by_id[row.incident_id]["accepted"]
        else:
            by_id[row.incident_id]["by"] = row.actor
    return found


def incident(conn: sa.Connection, incident_id: str, zone: ZoneInfo) -> dict[str, Any] | None:
    """One incident with everything that happened, or None."""
    row = conn.execute(queries.INCIDENT, {"incident": incident_id}).mappings().first()
    if row is None:
        return None
    device = get_device(conn, row["device_id"])
    assert device is not None  # a foreign key says so
    listed = conn.execute(queries.ALARMS, {"incident": incident_id}).mappings().all()
    happened = history(conn, incident_id)
    steps = NEXT[row["state"]]
    if row["raised"] and not row["test"] and stages.ACKNOWLEDGED not in steps:
        steps = (stages.ACKNOWLEDGED, *steps)
    return {
        **row,
        "device": device,
        "device_id": device_name(device.id),
        "owner": None if device.owner_id is None else get_owner(conn, device.owner_id),
        "silent": device.silent or any(one["silent"] for one in listed),
        "alarms": [{**one, "pressed_at": local(one["pressed_at"], zone)} for one in listed],
        **together.shown(conn, device, listed, zone),
        "trail": trail(happened, device.id),
        "others": [] if row["state"] == stages.CLOSED else together.to_merge(conn, row, device, listed, zone),
        "cancel": cancel_says(listed),
        "moved": any(one["moved"] for one in listed),
        "doubtful": any(one["doubtful"] for one in listed),
        "has_fix": any(one["lat_e7"] is not None for one in listed),
        "events": _timeline(happened, zone),
        "waiting": _waiting(conn, incident_id),
        "backends": told.backends(conn, incident_id, happened, zone),
        "next": [step for step in steps if step not in (stages.DISPATCHED, stages.ON_SCENE)] if row["test"] else steps,
    }


def troubles_page(conn: sa.Connection, zone: ZoneInfo, untold: list[dict[str, Any]]) -> dict[str, Any]:
    """{"lasting", "ended": lists of troubles, "crashes": [{"device", "at", "text"}]}, of the devices listed;
    "untold": destinations with something late or dead, as given, "unaccepted": emergencies and tests."""
    lasting = bases.troubles(conn) + troubles.listed(conn, lasting=True, limit=SHOWN)
    ended = troubles.listed(conn, lasting=False, limit=SHOWN_ENDED)
    for each in lasting + ended:
        for name in ("began_at", "ended_at"):
            each[name] = None if each[name] is None else local(each[name], zone)
    crashed = {each["device_id"]: each["device"] for each in lasting + ended if each["name"] == "crashed"}
    texts = [
        {"device": name, "at": local(one["at"], zone), "text": one["text"]}
        for device_id, name in crashed.items()
        for one in crashes.listed(conn, device_id)[:CRASH_TEXTS]
    ]
    for each in untold:
        each["since"] = None if each["since"] is None else local(each["since"], zone)
    unaccepted = [
        {"id": row.id, "opened_at": local(row.opened_at, zone), "device": row.name, "test": row.test}
        for row in conn.execute(deadline.LATE.limit(SHOWN))
    ]
    return {"lasting": lasting, "ended": ended, "crashes": texts, "untold": untold, "unaccepted": unaccepted}


def open_tests(conn: sa.Connection) -> list[str]:
    """The incidents that are tests and not closed, oldest first."""
    query = sa.select(incidents.c.id).where(incidents.c.test.is_(True), incidents.c.state != stages.CLOSED)
    return list(conn.execute(query.order_by(incidents.c.id)).scalars())


def who_did(conn: sa.Connection, incident_id: str, stage: str) -> str | None:
    """The actor of a stage, to tell whoever comes second."""
    query = sa.select(events.c.actor).where(events.c.incident_id == incident_id, events.c.kind == stage)
    return conn.execute(query.order_by(events.c.id).limit(1)).scalar()


def _timeline(happened: list[stages.Event], zone: ZoneInfo) -> list[dict[str, Any]]:
    """What happened, oldest first. Of positions that follow each other, the last stands for all: there is one each
    ten seconds, and the map draws them."""
    found: list[dict[str, Any]] = []
    for one in happened:
        row = {"kind": one.kind, "at": local(one.at, zone), "actor": one.actor, "data": one.data}
        if found and one.kind == found[-1]["kind"] == stages.POSITION:
            row["data"] = {**one.data, "times": found.pop()["data"].get("times", 1) + 1}
        found.append(row)
    return found


def _waiting(conn: sa.Connection, incident_id: str) -> list[dict[str, Any]]:
    """What could not be told yet, and why."""
    query = sa.select(deliveries.c.destination, deliveries.c.attempts, deliveries.c.last_error).where(
        deliveries.c.incident_id == incident_id, deliveries.c.state == "pending", deliveries.c.last_error.is_not(None)
    )  # backends have rows of their own
    query = query.where(sa.not_(deliveries.c.destination.like(f"{told.BACKEND}%")))
    return [dict(row) for row in conn.execute(query).mappings()]
