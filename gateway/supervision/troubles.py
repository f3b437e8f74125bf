"""Troubles that devices report: each is one row, from its beginning to its end.

A device says each until it has a receipt, every time with a new counter, and frames may come late. So the newest frame
(in the order in which they were sealed) says whether a trouble lasts; any other only makes its times earlier, since
delay only ever makes them later.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import bases as base_rows
from gateway.store.schema import devices, troubles
from gateway.supervision.bases import ONLINE
from panic_wire.frames import CRASHED, EDGES_LOST, FIX_JUMPED, TROUBLE_NAMES, Header, Trouble

MOST_ENDED = 50  # rows kept of each device beside those that last, which are one a kind at most
MOMENTS = (CRASHED, FIX_JUMPED, EDGES_LOST)  # over as soon as they are said, if the device says no end
SAME_US = 10_000_000  # two moments closer than this are one, said twice
CHANGES = "desk.changes"  # in `counts`: how often that changed which open desks show beside incidents
SILENT = "silent"  # not a trouble that a device can report: the broker's word that it is gone

Later = Callable[[tuple[int, int]], bool]

_device, _kind = sa.bindparam("device"), sa.bindparam("of_kind")
_NEWEST = (
    sa.select(troubles)
    .where(troubles.c.device_id == _device, troubles.c.kind == _kind)
    .order_by(troubles.c.id.desc())
    .limit(1)
)
_OLD = (
    sa.select(troubles.c.id)
    .where(troubles.c.device_id == _device, troubles.c.ended_at.is_not(None))
    .order_by(troubles.c.id.desc())
    .offset(MOST_ENDED)
    .limit(1)
)


def take(
    conn: sa.Connection, device_id: int, header: Header, trouble: Trouble, received_at: int, later: Later
) -> str | None:
    """Take an authentic frame that was not seen before: "began", "ended", or None for nothing new.

    later: whether this frame was sealed after the (epoch, counter) given.
    """
    at = received_at - trouble.age_s * 1_000_000
    known = conn.execute(_NEWEST, {"device": device_id, "of_kind": trouble.kind}).first()
    is_later = known is None or later((known.epoch, known.counter))
    if known is None or (is_later and _is_another(known, trouble, at)):
        ends = at if trouble.ended or trouble.kind in MOMENTS else None
        _add(conn, device_id, header, trouble, None if trouble.ended else at, ends)
        return "ended" if trouble.ended else "began"
    values: dict[str, Any] = {}
    happened = None
    if is_later:
        values = {"epoch": header.epoch, "counter": header.counter}
        if not trouble.ended:
            values["value"] = trouble.value
        elif known.ended_at is None:
            values["ended_at"], happened = max(at, known.began_at), "ended"
    if not trouble.ended and (known.began_at is None or at < known.began_at):
        values["began_at"] = at if known.ended_at is None else min(at, known.ended_at)
    if values:
        conn.execute(troubles.update().where(troubles.c.id == known.id).values(**values))
    return happened


def _is_another(known: sa.Row, trouble: Trouble, at: int) -> bool:
    """A later frame that speaks of another trouble of the kind than the newest that is known."""
    if trouble.ended:
        return False
    if trouble.kind in MOMENTS and known.ended_at is not None:
        return known.began_at is None or at - known.began_at > SAME_US
    # One that is said again after its end, as its receipt was lost, has begun before that. In doubt it is shown.
    return known.ended_at is not None and at >= known.ended_at


def _add(
    conn: sa.Connection, device_id: int, header: Header, trouble: Trouble, began: int | None, ended: int | None
) -> None:
    conn.execute(
        troubles.insert().values(
            device_id=device_id,
            kind=trouble.kind,
            value=trouble.value,
            began_at=began,
            ended_at=ended,
            epoch=header.epoch,
            counter=header.counter,
        )
    )
    oldest = conn.execute(_OLD, {"device": device_id}).scalar()
    if oldest is not None:
        over = (troubles.c.device_id == device_id, troubles.c.id <= oldest, troubles.c.ended_at.is_not(None))
        conn.execute(troubles.delete().where(*over))


def listed(conn: sa.Connection, *, lasting: bool, limit: int, device_id: int | None = None) -> list[dict[str, Any]]:
    """Troubles that last, or that have ended; the newest first. Of devices that are in use.

    [{"device_id", "device", "kind": its number, or SILENT, "name", "value", "began_at", "ended_at"}]; times in
    microseconds. Devices that are gone from the broker are among those that last, from when they were heard last.
    """
    last = sa.func.coalesce(troubles.c.ended_at, troubles.c.began_at)
    query = (
        sa.select(troubles, devices.c.name.label("device"))
        .join(devices, devices.c.id == troubles.c.device_id)
        .where(devices.c.revoked_at.is_(None))
        .where(troubles.c.ended_at.is_(None) if lasting else troubles.c.ended_at.is_not(None))
        .order_by(last.desc(), troubles.c.id.desc())
        .limit(limit)
    )
    if device_id is not None:
        query = query.where(troubles.c.device_id == device_id)
    columns = ("device_id", "device", "kind", "value", "began_at", "ended_at")
    found = [
        {**{name: row[name] for name in columns}, "name": kind_name(row["kind"])}
        for row in conn.execute(query).mappings()
    ]
    return _silent(conn, limit, device_id) + found if lasting else found


def lasting_count(conn: sa.Connection) -> int:
    """How many last, silence included, and that of base stations."""
    query = sa.select(sa.func.count()).select_from(troubles).join(devices, devices.c.id == troubles.c.device_id)
    reported = query.where(troubles.c.ended_at.is_(None), devices.c.revoked_at.is_(None))
    silent = sa.select(sa.func.count()).select_from(devices).where(*_GONE)
    bases = sa.select(sa.func.count()).select_from(base_rows).where(base_rows.c.state != ONLINE)
    return sum(conn.execute(each).scalar_one() for each in (reported, silent, bases))


def kind_name(kind: int) -> str:
    """The contract's name of a kind; its number, for one that came later."""
    return TROUBLE_NAMES.get(kind, str(kind))


_GONE = (devices.c.online.is_(False), devices.c.revoked_at.is_(None))


def _silent(conn: sa.Connection, limit: int, device_id: int | None) -> list[dict[str, Any]]:
    query = sa.select(devices.c.id, devices.c.name, devices.c.last_heard_at).where(*_GONE)
    if device_id is not None:
        query = query.where(devices.c.id == device_id)
    rows = conn.execute(query.order_by(devices.c.last_heard_at).limit(limit)).all()
    same = {"kind": SILENT, "name": SILENT, "value": 0, "ended_at": None}
    return [{"device_id": row.id, "device": row.name, "began_at": row.last_heard_at, **same} for row in rows]
