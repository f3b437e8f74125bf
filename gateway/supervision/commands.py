"""Commands to devices: asked for by an administrator, sent until they are answered, one after the other.

A device does no command that is older than one it did. So each waits until the one before it was answered, or was
given up: after MOST_SENDS, or after LIFE_US. A command keeps its counter, so sending it again is sending the same
bytes, which the device answers again and does once.

Counters are taken in the transaction that stores what they are for, and are used after its commit: none is used twice.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import commands, device_events, devices, downlink_counters, downlink_epochs
from panic_wire.frames import COMMAND, COMMAND_NAMES, LOCATION, RESULT_NAMES, SET, Command, FrameError, Header, Report
from sigap.problem import USAGE, Problem

MOST_SENDS = 20
LIFE_US = 7 * 86_400_000_000
MOST_WAITING = 20
TIME_EVERY_US = 3_600_000_000  # how often a device that knows the time is told it all the same
WAITING, SENT, DONE, REFUSED, UNKNOWN, UNANSWERED = "waiting", "sent", "done", "refused", "unknown", "unanswered"
UNDER_WAY = (WAITING, SENT)
LOADED_AT_ONCE = 500
_MOST_U32 = 0xFFFFFFFF


@dataclass(frozen=True, slots=True)
class Next:
    """A command to seal and send once the commit is on disk: its frame's header and its body."""

    header: Header
    body: bytes


def begin_downlink_epoch(conn: sa.Connection, now_us: int) -> int:
    """Begin a new epoch of commands, and return it: for a new store, and for one that was restored from a backup.

    It is the Unix time in seconds, and always greater than the one before.
    """
    before = conn.execute(sa.select(sa.func.max(downlink_epochs.c.epoch))).scalar()
    epoch = max(now_us // 1_000_000, 1 if before is None else before + 1)
    if epoch > _MOST_U32:
        raise Problem("the downlink epoch does not fit 32 bits", "Set this machine's clock right")
    conn.execute(downlink_epochs.insert().values(epoch=epoch))
    return epoch


def take_counter(conn: sa.Connection, device_id: int, now_us: int) -> tuple[int, int]:
    """(epoch, counter) for the device's next command, used by nothing else ever."""
    epoch = conn.execute(_EPOCH).scalar()
    if epoch is None:
        epoch = begin_downlink_epoch(conn, now_us)
    used = conn.execute(_TAKE, {"device": device_id}).scalar_one()
    if used > _MOST_U32:
        raise Problem(f"the commands of device {device_id:08x} are counted out", "Add it anew under another name")
    return epoch, used


@dataclass
class Beats:
    """What a batch of heartbeats needs to know of its devices, read at once: most of them need no more."""

    told_at: dict[int, int]
    asked: set[int]  # devices with a command under way

    @staticmethod
    def load(conn: sa.Connection, device_ids: Iterable[int]) -> Beats:
        found, wanted = Beats({}, set()), sorted(device_ids)
        for start in range(0, len(wanted), LOADED_AT_ONCE):
            some = {"devices": wanted[start : start + LOADED_AT_ONCE]}
            found.told_at |= {row.device_id: row.time_told_at for row in conn.execute(_TOLD, some)}
            found.asked |= set(conn.execute(_ASKED, some).scalars())
        return found

    def time_order(self, conn: sa.Connection, device_id: int, clock_known: bool, now_us: int) -> Header | None:
        """The header of the set_time that answers a heartbeat; None for a device that knows the time and was told it
        within the last hour."""
        told_at = self.told_at.get(device_id)
        if clock_known and told_at is not None and 0 <= now_us - told_at < TIME_EVERY_US:
            return None
        epoch, counter = take_counter(conn, device_id, now_us)
        conn.execute(_TELL, {"device": device_id, "at": now_us})
        self.told_at[device_id] = now_us
        return Header(COMMAND, 0, device_id, epoch, counter)


def ask(conn: sa.Connection, device_id: int, code: int, content: bytes, actor: str, now_us: int) -> int:
    """Store a command that is to be sent, and say so in the device's events; returns its id. Problem for content that
    does not fit, or when too many wait already."""
    try:
        Command(code, content).pack()
    except FrameError as error:
        raise Problem(str(error), "Say it shorter", USAGE) from error
    query = sa.select(sa.func.count()).where(commands.c.device_id == device_id, commands.c.state.in_(UNDER_WAY))
    if conn.execute(query).scalar_one() >= MOST_WAITING:
        todo = "Wait until it is heard again; `sigap device commands` shows them"
        raise Problem(f"{MOST_WAITING} commands wait for this device already", todo)
    epoch, counter = take_counter(conn, device_id, now_us)
    row = {"epoch": epoch, "counter": counter, "code": code, "content": content}
    more = {"device_id": device_id, "asked_at": now_us, "asked_by": actor, "state": WAITING}
    command_id = conn.execute(commands.insert().values(**row, **more)).inserted_primary_key[0]  # type: ignore[index]
    note(conn, device_id, now_us, "command", actor, {"command": command_id, "says": says(code, content)})
    return command_id


def next_to_send(conn: sa.Connection, device_id: int, now_us: int, *, again: bool) -> Next | None:
    """The command whose turn it is, counted as sent; None when there is none. again: also one that was sent before."""
    while True:
        row = conn.execute(_FIRST, {"device": device_id}).first()
        if row is None:
            return None
        if row.sends < MOST_SENDS and now_us - row.asked_at < LIFE_US:
            break
        _give_up(conn, row, now_us)
    if row.state == SENT and not again:
        return None
    sent = {"state": SENT, "sends": row.sends + 1, "sent_at": now_us}
    conn.execute(commands.update().where(commands.c.id == row.id).values(**sent))
    return Next(Header(COMMAND, 0, device_id, row.epoch, row.counter), Command(row.code, row.content).pack())


def devices_to_tell(conn: sa.Connection, limit: int) -> list[int]:
    """Devices at the broker for whom it is the turn of a command that was never sent."""
    sent = sa.alias(commands)
    under_way = sa.exists().where(sent.c.device_id == commands.c.device_id, sent.c.state == SENT)
    query = (
        sa.select(commands.c.device_id)
        .join(devices, devices.c.id == commands.c.device_id)
        .where(commands.c.state == WAITING, devices.c.online.is_(True), devices.c.revoked_at.is_(None), ~under_way)
        .distinct()
        .limit(limit)
    )
    return list(conn.execute(query).scalars())


def give_up_old(conn: sa.Connection, now_us: int) -> None:
    """Give up what nobody answered for LIFE_US: for devices that are not heard at all."""
    old = sa.select(commands).where(commands.c.state.in_(UNDER_WAY), commands.c.asked_at <= now_us - LIFE_US)
    for row in conn.execute(old).all():
        _give_up(conn, row, now_us)


def give_up_all(conn: sa.Connection, now_us: int) -> int:
    """Give up whatever is under way, and return how much: after a restore, devices may have done later ones."""
    under_way = conn.execute(sa.select(commands).where(commands.c.state.in_(UNDER_WAY))).all()
    for row in under_way:
        _give_up(conn, row, now_us)
    return len(under_way)


def take_answer(conn: sa.Connection, device_id: int, report: Report, received_at: int) -> bool:
    """Take what a device says of a command; False when it was answered before, or is not known here."""
    asked = (commands.c.device_id == device_id, commands.c.counter == report.ref)
    row = conn.execute(sa.select(commands).where(*asked).order_by(commands.c.epoch.desc()).limit(1)).first()
    if row is None or row.state in (DONE, REFUSED, UNKNOWN):
        return False
    state = RESULT_NAMES.get(report.code, UNKNOWN)
    answer = _answer(report, received_at)
    values = {"state": state, "answered_at": received_at, "answer": json.dumps(answer, ensure_ascii=False)}
    conn.execute(commands.update().where(commands.c.id == row.id).values(**values))
    actor = f"device:{device_id:08x}"
    note(conn, device_id, received_at, "answered", actor, {"command": row.id, "state": state, **answer})
    return True


def listed(conn: sa.Connection, device_id: int, limit: int) -> list[dict[str, Any]]:
    """The device's commands, the newest first; times in microseconds."""
    query = sa.select(commands).where(commands.c.device_id == device_id).order_by(commands.c.id.desc()).limit(limit)
    return [_shown(row) for row in conn.execute(query)]


def get(conn: sa.Connection, command_id: int) -> dict[str, Any]:
    """One command as listed() has it."""
    return _shown(conn.execute(sa.select(commands).where(commands.c.id == command_id)).one())


def says(code: int, content: bytes) -> str:
    """A command in a few words: its name, and what is to be set."""
    name = COMMAND_NAMES.get(code, str(code))
    return f"{name} {content.decode('utf-8', 'replace')}" if code == SET else name


def note(conn: sa.Connection, device_id: int, at: int, kind: str, actor: str, data: dict[str, Any]) -> None:
    """Append to the device's events."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    conn.execute(device_events.insert().values(device_id=device_id, at=at, kind=kind, actor=actor, data=text))


def _give_up(conn: sa.Connection, row: sa.Row, now_us: int) -> None:
    conn.execute(commands.update().where(commands.c.id == row.id).values(state=UNANSWERED))
    note(conn, row.device_id, now_us, "unanswered", "gateway", {"command": row.id, "sends": row.sends})


def _answer(report: Report, received_at: int) -> dict[str, Any]:
    if report.kind != LOCATION:
        return {"text": report.text()}
    where = report.position() if RESULT_NAMES.get(report.code) == DONE else None
    if where is None:
        return {"lat": None, "lon": None, "accuracy_m": None, "fix_at": None}
    lat, lon, accuracy_m, fix_age_s = where
    fix_at = None if fix_age_s is None else received_at - fix_age_s * 1_000_000
    return {"lat": lat / 1e7, "lon": lon / 1e7, "accuracy_m": accuracy_m, "fix_at": fix_at}


def _shown(row: sa.Row) -> dict[str, Any]:
    kept = {name: row._mapping[name] for name in ("id", "state", "sends", "asked_at", "asked_by", "sent_at")}
    answer = None if row.answer is None else json.loads(row.answer)
    return {**kept, "says": says(row.code, row.content), "answered_at": row.answered_at, "answer": answer}


_EPOCH = sa.select(sa.func.max(downlink_epochs.c.epoch))
_TOLD = sa.select(downlink_counters.c.device_id, downlink_counters.c.time_told_at).where(
    downlink_counters.c.device_id.in_(sa.bindparam("devices", expanding=True)),
    downlink_counters.c.time_told_at.is_not(None),
)
_ASKED = sa.select(commands.c.device_id).where(
    commands.c.device_id.in_(sa.bindparam("devices", expanding=True)), commands.c.state.in_(UNDER_WAY)
)
_TELL = (
    downlink_counters.update()
    .where(downlink_counters.c.device_id == sa.bindparam("device"))
    .values(time_told_at=sa.bindparam("at"))
)
_TAKE_SQL = """
INSERT INTO downlink_counters (device_id, used) VALUES (:device, 1)
ON CONFLICT (device_id) DO UPDATE SET used = downlink_counters.used + 1
RETURNING used
"""
_TAKE = sa.text(_TAKE_SQL)
_FIRST = (
    sa.select(commands)
    .where(commands.c.device_id == sa.bindparam("device"), commands.c.state.in_(UNDER_WAY))
    .order_by(commands.c.epoch, commands.c.counter)
    .limit(1)
)
