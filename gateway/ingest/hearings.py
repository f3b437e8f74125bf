"""Which base station heard which device last, and how well: whose turn it is to answer, and what is only an echo."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from gateway.ingest.hearing import Hearing
from gateway.store.prepared import prepared
from gateway.store.schema import hearings as table
from panic_wire.frames import Header

ECHO_US = 60_000_000  # one frame heard by several bases, or said by one twice: within so long it is nobody's replay
FRESH_US = 600_000_000  # a base that heard the device within so long may be asked to answer
MOST_BASES = 16  # of one device
MOST_FRAMES = 8  # of one device by one base, which keeps no more itself while the gateway is away

_COLUMNS = ("at", "rssi_dbm", "snr_db", "frames")
_OF = prepared(sa.select(table).where(table.c.device_id == sa.bindparam("device")))
_ADD = prepared(table.insert())
_SET = prepared(
    table.update()
    .where(table.c.device_id == sa.bindparam("of_device"), table.c.base == sa.bindparam("of_base"))
    .values({name: sa.bindparam(f"new_{name}") for name in _COLUMNS})
)


class Hearings:
    """Those of the devices in one batch; each is written as it comes, in the batch's transaction."""

    def __init__(self, conn: sa.Connection) -> None:
        self._conn = conn
        self._known: dict[int, dict[int, dict[str, Any]]] = {}

    def heard(self, device_id: int, header: Header, hearing: Hearing, received_at: int) -> None:
        """A base passed on an authentic frame of this device."""
        known = self._of(device_id)
        before = json.loads(known[hearing.base]["frames"]) if hearing.base in known else []
        frames = [*before[1 - MOST_FRAMES :], [header.epoch, header.counter, _heard_at(hearing, received_at)]]
        values: dict[str, Any] = {
            "at": received_at,
            "rssi_dbm": hearing.rssi_dbm,
            "snr_db": hearing.snr_db,
            "frames": json.dumps(frames, separators=(",", ":")),
        }
        if hearing.base in known:
            new = {f"new_{name}": value for name, value in values.items()}
            self._conn.execute(_SET, {"of_device": device_id, "of_base": hearing.base, **new})
        elif len(known) < MOST_BASES:
            self._conn.execute(_ADD, {"device_id": device_id, "base": hearing.base, **values})
        known[hearing.base] = values

    def is_echo(self, device_id: int, header: Header, hearing: Hearing, received_at: int) -> bool:
        """This frame was heard at about the same time as a base passed on before: by another, or it is said again."""
        heard_at = _heard_at(hearing, received_at)
        return any(
            [epoch, counter] == [header.epoch, header.counter] and abs(heard_at - at) < ECHO_US
            for row in self._of(device_id).values()
            for epoch, counter, at in json.loads(row["frames"])
        )

    def best(self, device_id: int, hearing: Hearing, turn: int = 0) -> int:
        """The base that is to answer: the one that heard it best. turn: others too, one after another: what a base says
        of how well it hears nobody can check."""
        newest = max((row["at"] for row in self._of(device_id).values()), default=0)
        fresh = [(-row["snr_db"], base) for base, row in self._of(device_id).items() if newest - row["at"] < FRESH_US]
        ranked = [base for _, base in sorted(fresh)]
        return ranked[turn % len(ranked)] if ranked else hearing.base

    def _of(self, device_id: int) -> dict[int, dict[str, Any]]:
        if device_id not in self._known:
            rows = self._conn.execute(_OF, {"device": device_id}).mappings()
            self._known[device_id] = {row["base"]: dict(row) for row in rows}
        return self._known[device_id]


def last_base(conn: sa.Connection, device_id: int) -> int | None:
    """The base by which a device can be told something now; None when none has heard it of late."""
    rows = conn.execute(_OF, {"device": device_id}).all()
    newest = max((row.at for row in rows), default=0)
    return min(((-row.snr_db, row.base) for row in rows if newest - row.at < FRESH_US), default=(0, None))[1]


def _heard_at(hearing: Hearing, received_at: int) -> int:
    return received_at - hearing.held_ms * 1000
