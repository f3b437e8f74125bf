"""What one transaction does with the messages it was given; the caller commits it, and only then acts on the
effects."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from gateway.incidents.book import Book, Later
from gateway.ingest import quarantine
from gateway.ingest.intake import Uplink
from gateway.ingest.judge import Opened, Presence, Rejection, judge
from gateway.ingest.windows import Windows
from gateway.outbox.rows import count
from gateway.registry.devices import Device, get_device, get_devices
from gateway.store.prepared import prepared
from gateway.store.schema import devices
from gateway.supervision import commands, crashes, troubles
from panic_wire import topics
from panic_wire.frames import (
    ANSWER,
    CRASH_TEXT,
    LOCATION,
    RECEIPT,
    STAGE_NAMES,
    Alarm,
    Cancel,
    Header,
    Heartbeat,
    Report,
    Trouble,
    alarm_id,
)

BEARER = "wifi"
STAGE_NUMBERS = {name: number for number, name in STAGE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status frame to seal and send once the commit is on disk. It answers the frame with this header."""

    device: Device
    header: Header
    stage: int
    activation: int


@dataclass(frozen=True, slots=True)
class Order:
    """A command to seal and send once the commit is on disk. body: None for the time, which is that of the sealing;
    answers: the header of the heartbeat that it answers then."""

    device: Device
    header: Header
    body: bytes | None
    answers: Header | None = None


@dataclass
class Effects:
    """What follows from the commit."""

    answers: list[Answer] = field(default_factory=list)
    orders: list[Order] = field(default_factory=list)  # after every answer
    wakes: bool = False  # there is something new in the outbox
    said: list[tuple[str, dict[str, str]]] = field(default_factory=list)  # for the log, with whose it is

    def say(self, text: str, device: Device, **identity: str) -> None:
        self.said.append((text, {"device": topics.device_name(device.id), **identity}))


class Batch:
    """One use: take() every message, then flush(). Exceptions are for the caller, who rolls back."""

    def __init__(self, conn: sa.Connection, book: Book) -> None:
        self._conn, self._book = conn, book
        self._devices: dict[int, Device | None] = {}
        self._windows = Windows(conn)
        self._refused: list[tuple[Uplink, Rejection]] = []
        self._counts: Counter[str] = Counter()
        self._heard: dict[int, dict[str, object]] = {}
        self.effects = Effects()

    def take_all(self, messages: Sequence[Uplink]) -> Effects:
        """The whole batch, in the order of arrival."""
        self._load_devices(messages)
        judged = [(m, judge(m.topic, m.payload, self._look_up, m.size_bytes)) for m in messages]
        self._windows.load({v.device.id for _, v in judged if isinstance(v, Opened)})
        beating = {v.device.id for _, v in judged if isinstance(v, Opened) and isinstance(v.body, Heartbeat)}
        self._beats = commands.Beats.load(self._conn, beating)
        for message, verdict in judged:
            self._take(message, verdict)
        self._flush()
        return self.effects

    def add_counts(self, more: Counter[str]) -> None:
        """Lasting counts to be written with this batch."""
        self._counts.update(more)

    def _take(self, message: Uplink, verdict: Opened[Device] | Presence[Device] | Rejection) -> None:
        if isinstance(verdict, Rejection):
            if not (message.retained and verdict.reason in ("unknown-device", "revoked-device")):
                self._refused.append((message, verdict))  # a retained state outlives its device
            return
        if isinstance(verdict, Presence):
            self._heard.setdefault(verdict.device.id, {})["online"] = verdict.online
            self._counts[troubles.CHANGES] += 1
            return
        header, device = verdict.header, verdict.device
        if not self._windows.check_and_set(device.id, header.epoch, header.counter, message.received_at):
            self._take_again(message, verdict)
            return
        heard = self._heard.setdefault(device.id, {})
        heard["last_heard_at"] = message.received_at
        match verdict.body:
            case Heartbeat() as beat:
                self._take_heartbeat(message, device, header, beat)
            case Cancel() as cancel:
                self._take_cancel(message, device, header, cancel)
            case Trouble() as trouble:
                self._take_trouble(message, device, header, trouble)
            case Report() as report:
                self._take_report(message, device, header, report)
            case alarm:
                self._take_alarm(message, device, header, alarm)

    def _take_alarm(self, message: Uplink, device: Device, header: Header, alarm: Alarm) -> None:
        taken = self._book.take_alarm(
            self._conn,
            device,
            header,
            alarm,
            message.received_at,
            BEARER,
            later=self._later(device, header),
        )
        self._counts["ingest.alarms" if taken.new else "ingest.alarms_repeated"] += 1
        self.effects.wakes = self.effects.wakes or taken.wakes
        if taken.new:
            alarm_name = alarm_id(device.id, alarm.activation)
            text = f"alarm {alarm_name} of {device.name}, incident {taken.incident_id}"
            self.effects.say(text, device, alarm=alarm_name, incident=taken.incident_id)
        self._answer(device, header, alarm.activation, taken.stage_to_tell)

    def _take_cancel(self, message: Uplink, device: Device, header: Header, cancel: Cancel) -> None:
        taken = self._book.take_cancel(self._conn, device, cancel, message.received_at)
        if taken is None:
            self._counts["ingest.cancels_early"] += 1  # no receipt: the device says it again, after its alarm
            return
        self._counts["ingest.cancels" if taken.new else "ingest.cancels_repeated"] += 1
        self.effects.wakes = self.effects.wakes or taken.wakes
        if taken.new:
            under = " under duress" if cancel.duress else ""
            alarm_name = alarm_id(device.id, cancel.activation)
            self.effects.say(f"alarm {alarm_name} of {device.name} is cancelled{under}", device, alarm=alarm_name)
        self._answer(device, header, cancel.activation, None)

    def _take_heartbeat(self, message: Uplink, device: Device, header: Header, beat: Heartbeat) -> None:
        self._counts["ingest.heartbeats"] += 1
        told = {**beat.to_dict(), "at": message.received_at}
        self._heard[device.id]["heartbeat"] = json.dumps(told, separators=(",", ":"))
        self._answer(device, header, 0, None)
        order = self._beats.time_order(self._conn, device.id, beat.clock_known, message.received_at)
        if order is not None:
            self.effects.orders.append(Order(device, order, None, answers=header))
        if device.id in self._beats.asked:
            self._send_next(device, message.received_at, again=True)

    def _take_trouble(self, message: Uplink, device: Device, header: Header, trouble: Trouble) -> None:
        self._counts["ingest.troubles"] += 1
        happened = troubles.take(
            self._conn, device.id, header, trouble, message.received_at, self._later(device, header)
        )
        if happened is not None:
            self._counts[troubles.CHANGES] += 1
            kind = troubles.kind_name(trouble.kind)
            self.effects.say(f"trouble of {device.name} {happened}: {kind} ({trouble.value})", device)
        self._answer(device, header, 0, None)

    def _take_report(self, message: Uplink, device: Device, header: Header, report: Report) -> None:
        at = message.received_at
        self._counts["ingest.reports"] += 1
        if report.kind == CRASH_TEXT:
            crashes.take(self._conn, device.id, report.code, report.content, at)
            self._counts[troubles.CHANGES] += 1
        elif report.kind in (ANSWER, LOCATION):
            if commands.take_answer(self._conn, device.id, report, at):
                self._send_next(device, at, again=False)
            else:
                self._counts["ingest.answers_known"] += 1
        else:
            self._counts["ingest.reports_unknown"] += 1  # of a later firmware; nobody could read it
        self._answer(device, header, 0, None)

    def _send_next(self, device: Device, now_us: int, *, again: bool) -> None:
        order = commands.next_to_send(self._conn, device.id, now_us, again=again)
        if order is not None:
            self.effects.orders.append(Order(device, order.header, order.body))

    def _later(self, device: Device, header: Header) -> Later:
        return lambda known: self._windows.is_later(device.id, (header.epoch, header.counter), known)

    def _take_again(self, message: Uplink, opened: Opened[Device]) -> None:
        """A frame that was here before: the broker's own repetition, or somebody's replay. No second effect;
        but who has not got the receipt may be the one who asks, and it says nothing new to anyone else."""
        if message.duplicate:
            self._counts["ingest.redelivered"] += 1
        else:
            header = opened.header
            detail = f"counter {header.counter} of epoch {header.epoch:08x} was here before, or is too old"
            self._refused.append((message, Rejection("replayed", detail)))
        device, body = opened.device, opened.body
        if isinstance(body, Heartbeat | Trouble | Report):
            if message.duplicate:
                self._answer(device, opened.header, 0, None)
        elif isinstance(body, Cancel):
            if self._book.is_cancelled(self._conn, device.id, body):
                self._answer(device, opened.header, body.activation, None)
        elif (taken := self._book.find_alarm(self._conn, device.id, body.activation)) is not None:
            self._answer(device, opened.header, body.activation, taken.stage_to_tell)

    def _answer(self, device: Device, header: Header, activation: int, stage: str | None) -> None:
        self.effects.answers.append(Answer(device, header, RECEIPT, activation))
        if stage is not None:
            self.effects.answers.append(Answer(device, header, STAGE_NUMBERS[stage], activation))

    def _load_devices(self, messages: Sequence[Uplink]) -> None:
        """Those in whose topics the messages came, at once. A revocation counts from the next batch."""
        parsed = (topics.parse(message.topic) for message in messages)
        named = {topics.device_id(each[1]) for each in parsed if each is not None}
        if len(named) > 1:
            self._devices = dict.fromkeys(named) | get_devices(self._conn, named)

    def _look_up(self, device_id: int) -> Device | None:
        if device_id not in self._devices:
            self._devices[device_id] = get_device(self._conn, device_id)
        return self._devices[device_id]

    def _flush(self) -> None:
        self._windows.flush()
        by_columns: dict[tuple[str, ...], list[dict[str, object]]] = {}
        for device_id, values in self._heard.items():
            by_columns.setdefault(tuple(sorted(values)), []).append({"for_id": device_id, **values})
        for columns, rows in by_columns.items():
            self._conn.execute(_heard(columns), rows)
        quarantine.add(self._conn, self._refused)
        for name, number in self._counts.items():
            count(self._conn, name, number)


@functools.lru_cache(maxsize=8)
def _heard(columns: tuple[str, ...]) -> sa.Update:
    changed = {column: sa.bindparam(column) for column in columns}
    return prepared(devices.update().where(devices.c.id == sa.bindparam("for_id")).values(**changed))
