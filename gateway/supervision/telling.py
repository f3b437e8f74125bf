"""Which troubles of devices somebody outside has to be told of: those that last and were not told, and the ends of
those that were. A trouble that is over as soon as it is said (a crash, a jumped position) is the desk's alone."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from gateway.store.schema import devices, told_troubles
from gateway.supervision import troubles

MOST = 500  # that last, at once: told of the others when these have ended


@dataclass(frozen=True)
class Change:
    """A trouble of a device that began or ended. name: as troubles.kind_name, or "silent". at: when it began."""

    device_id: int
    device_name: str
    name: str
    began: bool
    at: int | None


def untold(conn: sa.Connection, destination: str) -> list[Change]:
    """What this destination has to be told, ends first: of devices in use, and of those it still thinks troubled."""
    lasting = {(each["device_id"], each["name"]): each for each in troubles.listed(conn, lasting=True, limit=MOST)}
    query = (
        sa.select(told_troubles, devices.c.name.label("device"))
        .join(devices, devices.c.id == told_troubles.c.device_id)
        .where(told_troubles.c.destination == destination)
    )
    told = {(row.device_id, row.name): row.device for row in conn.execute(query).all()}
    ended = [Change(key[0], device, key[1], False, None) for key, device in told.items() if key not in lasting]
    begun = [
        Change(key[0], each["device"], key[1], True, each["began_at"])
        for key, each in lasting.items()
        if key not in told
    ]
    return [*ended, *begun]


def was_told(conn: sa.Connection, destination: str, change: Change, now_us: int) -> None:
    """Remember that it was."""
    key = {"destination": destination, "device_id": change.device_id, "name": change.name}
    if change.began:
        conn.execute(told_troubles.insert().values(**key, told_at=now_us))
    else:
        conn.execute(told_troubles.delete().where(*(told_troubles.c[name] == value for name, value in key.items())))
