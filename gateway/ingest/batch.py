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
from gateway.ingest.hearing import Hearing
from gateway.ingest.hearings import Hearings
from gateway.ingest.intake import Uplink
from gateway.ingest.judge import Opened, Presence, Rejection, judge
from gateway.ingest.windows import Windows
from gateway.outbox.rows import count
from gateway.registry.devices import PHONE, Device, get_device, get_devices
from gateway.store.prepared import prepared
from gateway.store.schema import alarms, devices
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

WIFI, LORA = "wifi", "lora"  # and a phone's, "phone": its kind
SATURATED_MS = 0xFFFFFFFF
STAGE_NUMBERS = {name: number for number, name in STAGE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status frame to seal and send once the commit is on disk. It answers the frame with this header."""

    device: Device
    header: Header
    stage: int
    activation: int
    base: int | None = None  # the base station that is to send it, in place of the broker


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
        self._bases = Hearings(conn)
        self._refused: list[tuple[Uplink, Rejection]] = []
        self._counts: Counter[str] = Counter()
        self._heard: dict[int, dict[str, object]] = {}
        self.effects = Effects()

    def take_all(self, messages: Sequence[Uplink]) -> Effects:
        """The whole batch, in the order of arrival."""
        self._load_devices(messages)
        # A compact frame is made whole by the window of its device, which a frame of this batch may move far.
        judged = [(m, judge(m.topic, m.payload, self._look_up, m.size_bytes, self)) for m in messages]
        self._windows.load({v.device.id for _, v in judged if isinstance(v, Opened)})
        beating = {v.device.id for _, v in judged if isinstance(v, Opened) and isinstance(v.body, Heartbeat)}
        self._beats = commands.Beats.load(self._conn, beating)
        for message, verdict in judged:
            self._take(message, verdict)
        self._flush()
        return self.effects

    def seen(self, device_id: int) -> list[tuple[int, int]]:
        """See gateway.ingest.judge.Memory."""
        return self._windows.seen(device_id)

    def newest_activation(self, device_id: int, epoch: int) -> int:
        """See gateway.ingest.judge.Memory."""
        newest = self._conn.execute(_NEWEST_ACTIVATION, {"device": device_id, "of_epoch": epoch}).scalar()
        return (epoch & 0xFFFF) << 16 if newest is None else newest

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
        hearing = verdict.hearing
        if hearing is not None:
            self._counts["ingest.lora"] += 1
            _add_held(verdict.body, hearing)
        if not self._windows.check_and_set(device.id, header.epoch, header.counter, message.received_at):
            self._take_again(message, verdict)
            return
        heard = self._heard.setdefault(device.id, {})
        heard["last_heard_at"] = message.received_at
        if hearing is not None:
            self._bases.heard(device.id, header, hearing, message.received_at)
        match verdict.body:
            case Heartbeat() as beat:
                self._take_heartbeat(message, device, header, beat, hearing)
            case Cancel() as cancel:
                self._take_cancel(message, device, header, cancel, hearing)
            case Trouble() as trouble:
                self._take_trouble(message, device, header, trouble, hearing)
            case Report() as report:
                self._take_report(message, device, header, report)
            case alarm:
                self._take_alarm(message, device, header, alarm, hearing)

    def _take_alarm(
        self, message: Uplink, device: Device, header: Header, alarm: Alarm, hearing: Hearing | None
    ) -> None:
        taken = self._book.take_alarm(
            self._conn,
            device,
            header,
            alarm,
            message.received_at,
            LORA if hearing is not None else PHONE if device.kind == PHONE else WIFI,
            later=self._later(device, header),
        )
        self._counts["ingest.alarms" if taken.new else "ingest.alarms_repeated"] += 1
        self.effects.wakes = self.effects.wakes or taken.wakes
        if taken.new:
            alarm_name = alarm_id(device.id, alarm.activation)
            text = f"alarm {alarm_name} of {device.name}, incident {taken.incident_id}"
            self.effects.say(text, device, alarm=alarm_name, incident=taken.incident_id)
        self._answer(device, header, alarm.activation, taken.stage_to_tell, hearing, again=alarm.repeated)

    def _take_cancel(
        self, message: Uplink, device: Device, header: Header, cancel: Cancel, hearing: Hearing | None
    ) -> None:
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
        self._answer(device, header, cancel.activation, None, hearing, again=cancel.repeated)

    def _take_heartbeat(
        self, message: Uplink, device: Device, header: Header, beat: Heartbeat, hearing: Hearing | None
    ) -> None:
        self._counts["ingest.heartbeats"] += 1
        told = {**beat.to_dict(), "at": message.received_at}
        self._heard[device.id]["heartbeat"] = json.dumps(told, separators=(",", ":"))
        self._answer(device, header, 0, None, hearing)
        if hearing is not None or device.kind == PHONE:
            return  # a phone takes none, and no command fits into what LoRa's dwell time leaves
        order = self._beats.time_order(self._conn, device.id, beat.clock_known, message.received_at)
        if order is not None:
            self.effects.orders.append(Order(device, order, None, answers=header))
        if device.id in self._beats.asked:
            self._send_next(device, message.received_at, again=True)

    def _take_trouble(
        self, message: Uplink, device: Device, header: Header, trouble: Trouble, hearing: Hearing | None
    ) -> None:
        self._counts["ingest.troubles"] += 1
        happened = troubles.take(
            self._conn, device.id, header, trouble, message.received_at, self._later(device, header)
        )
        if happened is not None:
            self._counts[troubles.CHANGES] += 1
            kind = troubles.kind_name(trouble.kind)
            self.effects.say(f"trouble of {device.name} {happened}: {kind} ({trouble.value})", device)
        self._answer(device, header, 0, None, hearing)

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
        hearing = opened.hearing
        if hearing is not None and self._bases.is_echo(opened.device.id, opened.header, hearing, message.received_at):
            # Its receipt is on its way, by the base that was first.
            self._counts["ingest.heard_again"] += 1
            self._bases.heard(opened.device.id, opened.header, hearing, message.received_at)
            return
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
                self._answer(device, opened.header, body.activation, None, opened.hearing)
        elif (taken := self._book.find_alarm(self._conn, device.id, body.activation)) is not None:
            self._answer(device, opened.header, body.activation, taken.stage_to_tell, opened.hearing)

    def _answer(
        self,
        device: Device,
        header: Header,
        activation: int,
        stage: str | None,
        hearing: Hearing | None = None,
        *,
        again: bool = False,
    ) -> None:
        """hearing: it goes back by a base station. again: the device had no answer, perhaps by that base's fault."""
        base = None if hearing is None else self._bases.best(device.id, hearing, turn=header.counter if again else 0)
        answer = functools.partial(Answer, device, header, activation=activation, base=base)
        if base is None or stage is None:
            self.effects.answers.append(answer(RECEIPT))
        if stage is not None:  # a later stage says what the receipt says; airtime is dear
            self.effects.answers.append(answer(STAGE_NUMBERS[stage]))

    def _load_devices(self, messages: Sequence[Uplink]) -> None:
        """Those in whose topics the messages came, at once. A revocation counts from the next batch."""
        parsed = (topics.parse(message.topic) for message in messages)
        named = {topics.device_id(each[1]) for each in parsed if each is not None and each[0] in ("d", "p")}
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


def _add_held(body: Alarm | Cancel | Heartbeat | Trouble | Report, hearing: Hearing) -> None:
    """The base had it for a while: all that it says is older by that. Of a power cut in between nobody knows more."""
    if isinstance(body, Trouble):
        body.age_s += hearing.held_ms // 1000
    elif isinstance(body, Alarm | Cancel):
        if body.age_ms != SATURATED_MS:
            body.age_ms = min(body.age_ms + hearing.held_ms, SATURATED_MS)
        if isinstance(body, Alarm):
            body.age_is_minimum = body.age_is_minimum or hearing.held_at_least
            if body.fix_age_s is not None:
                body.fix_age_s += hearing.held_ms // 1000


_NEWEST_ACTIVATION = prepared(
    sa.select(sa.func.max(alarms.c.activation)).where(
        alarms.c.device_id == sa.bindparam("device"), alarms.c.epoch == sa.bindparam("of_epoch")
    )
)


@functools.lru_cache(maxsize=8)
def _heard(columns: tuple[str, ...]) -> sa.Update:
    changed = {column: sa.bindparam(column) for column in columns}
    return prepared(devices.update().where(devices.c.id == sa.bindparam("for_id")).values(**changed))
