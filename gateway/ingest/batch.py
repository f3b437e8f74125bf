"""What one transaction does with the messages it was given; the caller commits it, and only then acts on the
effects."""

from __future__ import annotations

import functools
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.ingest import quarantine
from gateway.ingest.intake import Uplink
from gateway.ingest.judge import Opened, Presence, Rejection, judge
from gateway.ingest.windows import Windows
from gateway.outbox.rows import count
from gateway.registry.devices import Device, get_device
from gateway.store.schema import devices
from panic_wire.frames import RECEIPT, STAGE_NAMES, Alarm, Header, Heartbeat, alarm_id

BEARER = "wifi"
STAGE_NUMBERS = {name: number for number, name in STAGE_NAMES.items()}


@dataclass(frozen=True, slots=True)
class Answer:
    """A status frame to seal and send once the commit is on disk. It answers the frame with this header."""

    device: Device
    header: Header
    stage: int
    activation: int


@dataclass
class Effects:
    """What follows from the commit."""

    answers: list[Answer] = field(default_factory=list)
    wakes: bool = False  # there is something new in the outbox
    said: list[str] = field(default_factory=list)  # for the log


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
        judged = [(m, judge(m.topic, m.payload, self._look_up, m.size_bytes)) for m in messages]
        self._windows.load({v.device.id for _, v in judged if isinstance(v, Opened)})
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
            return
        header, device = verdict.header, verdict.device
        if not self._windows.check_and_set(device.id, header.epoch, header.counter, message.received_at):
            self._take_again(message, verdict)
            return
        heard = self._heard.setdefault(device.id, {})
        heard["last_heard_at"] = message.received_at
        if isinstance(verdict.body, Heartbeat):
            self._counts["ingest.heartbeats"] += 1
            told = {**verdict.body.to_dict(), "at": message.received_at}
            heard["heartbeat"] = json.dumps(told, separators=(",", ":"))
            self._answer(device, header, 0, None)
        else:
            self._take_alarm(message, device, header, verdict.body)

    def _take_alarm(self, message: Uplink, device: Device, header: Header, alarm: Alarm) -> None:
        taken = self._book.take_alarm(
            self._conn,
            device,
            header,
            alarm,
            message.received_at,
            BEARER,
            later=lambda known: self._windows.is_later(device.id, (header.epoch, header.counter), known),
        )
        self._counts["ingest.alarms" if taken.new else "ingest.alarms_repeated"] += 1
        self.effects.wakes = self.effects.wakes or taken.wakes
        if taken.new:
            alarm_name = alarm_id(device.id, alarm.activation)
            self.effects.said.append(f"alarm {alarm_name} of {device.name}, incident {taken.incident_id}")
        self._answer(device, header, alarm.activation, taken.stage_to_tell)

    def _take_again(self, message: Uplink, opened: Opened[Device]) -> None:
        """A frame that was here before: the broker's own repetition, or somebody's replay. No second effect;
        but who has not got the receipt may be the one who asks, and it says nothing new to anyone else."""
        if message.duplicate:
            self._counts["ingest.redelivered"] += 1
        else:
            header = opened.header
            detail = f"counter {header.counter} of epoch {header.epoch:08x} was here before, or is too old"
            self._refused.append((message, Rejection("replayed", detail)))
        if isinstance(opened.body, Heartbeat):
            if message.duplicate:
                self._answer(opened.device, opened.header, 0, None)
            return
        taken = self._book.find_alarm(self._conn, opened.device.id, opened.body.activation)
        if taken is not None:
            self._answer(opened.device, opened.header, opened.body.activation, taken.stage_to_tell)

    def _answer(self, device: Device, header: Header, activation: int, stage: str | None) -> None:
        self.effects.answers.append(Answer(device, header, RECEIPT, activation))
        if stage is not None:
            self.effects.answers.append(Answer(device, header, STAGE_NUMBERS[stage], activation))

    def _look_up(self, device_id: int) -> Device | None:
        # Read once a batch: a revocation counts from the next one.
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
    return devices.update().where(devices.c.id == sa.bindparam("for_id")).values(**changed)
