"""Base stations as the store knows them: which there are, and since when each says something, or nothing."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import bases as table
from panic_wire.topics import device_name

ONLINE, SILENT, CUT_OFF = "online", "silent", "cut_off"
# What the desk calls one that is not online: a trouble, as a device's.
TROUBLES = {SILENT: "base_silent", CUT_OFF: "base_cut_off"}


def note(conn: sa.Connection, base: int, state: str, beat: dict[str, Any], port: str, now_us: int) -> bool:
    """What is known of one now. True when its state is another than before."""
    row = conn.execute(sa.select(table).where(table.c.id == base)).first()
    values: dict[str, Any] = {"beat": json.dumps(beat, separators=(",", ":")), "port": port}
    if state == ONLINE:
        values["heard_at"] = now_us
    if row is None:
        conn.execute(table.insert().values(id=base, state=state, since_at=now_us, **{"heard_at": now_us, **values}))
        return True
    if row.state != state:
        values |= {"state": state, "since_at": now_us}
    conn.execute(table.update().where(table.c.id == base).values(**values))
    return row.state != state


def forget(conn: sa.Connection, base: int) -> bool:
    """It was taken down. False when there is none."""
    return conn.execute(table.delete().where(table.c.id == base)).rowcount > 0


def silence_all(conn: sa.Connection, now_us: int) -> None:
    """The gateway starts: it has heard none yet."""
    conn.execute(table.update().where(table.c.state != SILENT).values(state=SILENT, since_at=now_us))


def listed(conn: sa.Connection) -> list[dict[str, Any]]:
    """[{"base": eight hex digits, "state", "since_at", "heard_at", "beat", "port"}]; times in microseconds."""
    rows = conn.execute(sa.select(table).order_by(table.c.id)).all()
    return [
        {
            "base": device_name(row.id),
            "state": row.state,
            "since_at": row.since_at,
            "heard_at": row.heard_at,
            "beat": json.loads(row.beat),
            "port": row.port,
        }
        for row in rows
    ]


def troubles(conn: sa.Connection) -> list[dict[str, Any]]:
    """Those that are not online, in the form of gateway.supervision.troubles.listed."""
    return [
        {
            "device_id": int(each["base"], 16),
            "device": each["base"],
            "kind": each["state"],
            "name": TROUBLES[each["state"]],
            "value": 0,
            "began_at": each["since_at"],
            "ended_at": None,
        }
        for each in listed(conn)
        if each["state"] != ONLINE
    ]
