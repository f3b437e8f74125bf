"""The writer's order and its two bad days: a poisoned message, and a store that takes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import event

from gateway.incidents.book import Book
from gateway.ingest import quarantine
from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.writer import Writer
from gateway.registry.devices import Device, add_device
from gateway.store import schema
from gateway.store.engine import Store
from panic_wire import topics
from panic_wire.frames import (
    ALARM,
    COMMAND,
    HEARTBEAT,
    STAGE_NAMES,
    Alarm,
    Command,
    Header,
    Heartbeat,
    unpack_command,
    unpack_status,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from tests.unit.gateway.store_lab import new_store

LIMIT_S = 30.0


class Recorder:
    """Stands where the link does: writes down what it is told, and what the store holds at that moment."""

    def __init__(self, store: Store) -> None:
        self.store, self.said, self.changed = store, list[tuple[Any, ...]](), threading.Condition()
        self.takes = True

    def publish(self, topic: str, payload: bytes) -> bool:
        with self.store.read() as conn:
            alarms = conn.execute(sa.select(sa.func.count()).select_from(schema.alarms)).scalar_one()
        self._note("down", topic, payload, alarms)
        return self.takes

    def acknowledge(self, message: Uplink) -> bool:
        self._note("puback", message.mid)
        return True

    def renew(self) -> None:
        self._note("renew")

    def wake(self) -> None:
        self._note("wake")

    def _note(self, *what: Any) -> None:
        with self.changed:
            self.said.append(what)
            self.changed.notify_all()

    def wait_for(self, holds: Callable[[list[tuple[Any, ...]]], bool]) -> None:
        with self.changed:
            assert self.changed.wait_for(lambda: holds(self.said), LIMIT_S), self.said

    def pubacks(self) -> list[int]:
        return [each[1] for each in self.said if each[0] == "puback"]

    def stages(self, device: Device) -> list[tuple[str, int, int]]:
        found = []
        for each in self.said:
            if each[0] == "down" and each[1] == topics.down(topics.device_name(device.id)):
                header, body = open_frame(downlink_key(device.root_key, device.id), each[2])
                if header.type == COMMAND:
                    continue
                found.append((STAGE_NAMES[header.stage], unpack_status(body).activation, header.counter))
        return found

    def commands(self, device: Device) -> list[tuple[Header, Command]]:
        """What came down that is no status."""
        key, topic = downlink_key(device.root_key, device.id), topics.down(topics.device_name(device.id))
        opened = [open_frame(key, each[2]) for each in self.said if each[0] == "down" and each[1] == topic]
        return [(header, unpack_command(body)) for header, body in opened if header.type == COMMAND]


class Bench:
    def __init__(self, store: Store) -> None:
        self.store, self.intake, self.line = store, Intake(), Recorder(store)
        self.book = Book(["police"], "test")
        self.writer = Writer(store, self.intake, self.line, self.book, self.line.wake)
        with store.write() as conn:
            self.device = add_device(conn, name="shop-1", now_us=1)
            self.other = add_device(conn, name="shop-2", now_us=1)
        self.mid = 0

    def frame(self, counter: int, activation: int = 1, device: Device | None = None, kind: int = ALARM) -> bytes:
        device = device or self.device
        body = Alarm(activation).pack() if kind == ALARM else Heartbeat(uptime_s=counter).pack()
        return seal(uplink_key(device.root_key, device.id), Header(kind, 0, device.id, 3, counter), body)

    def put(self, payload: bytes, device: Device | None = None, **more: Any) -> int:
        self.mid += 1
        name = topics.device_name((device or self.device).id)
        kept = {"qos": 1, "mid": self.mid, "received_at": self.mid, **more}
        assert self.intake.put(Uplink(topics.up(name), payload[:256], len(payload), **kept))
        return self.mid

    def counts(self) -> dict[str, int]:
        with self.store.read() as conn:
            return {row.name: row.value for row in conn.execute(sa.select(schema.counts))}

    def number(self, table: sa.Table) -> int:
        with self.store.read() as conn:
            return conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()

    def settle(self) -> None:
        mid = self.mid
        self.line.wait_for(lambda said: mid in [each[1] for each in said if each[0] == "puback"])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with new_store(tmp_path / "sigap.db") as store:
        made = Bench(store)
        yield made
        if made.writer.alive:
            assert made.writer.stop(LIMIT_S)


def test_commit_then_receipts_then_pubacks_then_outbox(bench: Bench) -> None:
    for counter in range(1, 21):
        bench.put(bench.frame(counter, activation=counter))
    bench.writer.start()  # everything has queued: one transaction
    bench.line.wait_for(lambda said: ("wake",) in said)
    kinds = [each[0] for each in bench.line.said]
    assert kinds == ["down"] * 20 + ["puback"] * 20 + ["wake"]
    assert {each[3] for each in bench.line.said if each[0] == "down"} == {20}  # all of them were committed
    assert bench.line.pubacks() == list(range(1, 21))
    assert bench.line.stages(bench.device) == [("receipt", n, n) for n in range(1, 21)]
    assert bench.number(schema.incidents) == 1
    assert bench.number(schema.deliveries) == 20
    assert bench.counts() == {"ingest.alarms": 20}


def test_qos_0_is_never_acknowledged(bench: Bench) -> None:
    bench.put(bench.frame(1), qos=0)
    bench.put(b"noise", qos=0)
    last = bench.put(bench.frame(2, kind=HEARTBEAT))
    bench.writer.start()
    bench.settle()
    assert bench.line.pubacks() == [last]


def test_repetitions_are_answered_and_have_no_second_effect(bench: Bench) -> None:
    bench.put(bench.frame(1))
    bench.put(bench.frame(1), duplicate=True)  # by the broker
    bench.put(bench.frame(1))  # by somebody
    bench.put(bench.frame(2))  # by the button
    bench.put(bench.frame(3, kind=HEARTBEAT))
    bench.put(bench.frame(3, kind=HEARTBEAT), duplicate=True)
    bench.put(bench.frame(3, kind=HEARTBEAT))
    bench.writer.start()
    bench.settle()
    alarm = [("receipt", 1, 1)] * 3 + [("receipt", 1, 2)]
    assert bench.line.stages(bench.device) == [*alarm, ("receipt", 0, 3), ("receipt", 0, 3)]
    assert bench.number(schema.alarms) == bench.number(schema.deliveries) == 1
    assert bench.counts() == {
        "ingest.alarms": 1,
        "ingest.alarms_repeated": 1,
        "ingest.heartbeats": 1,
        "ingest.redelivered": 2,
        "quarantine.replayed": 2,
    }


def test_poison_takes_nothing_else_with_it(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    with bench.store.write() as conn:
        conn.execute(schema.devices.update().where(schema.devices.c.id == bench.other.id).values(root_key=b"short"))
    for counter in range(1, 6):
        bench.put(bench.frame(counter, activation=counter))
        bench.put(bench.frame(counter, device=bench.other), device=bench.other)
    bench.writer.start()
    bench.settle()
    bench.line.wait_for(lambda said: len(bench.line.pubacks()) == 10)
    assert bench.line.stages(bench.device) == [("receipt", n, n) for n in range(1, 6)]
    assert bench.counts() == {"ingest.alarms": 5, "quarantine.poison": 5}
    assert "ValueError" in caplog.text
    with bench.store.read() as conn:
        rows = quarantine.newest(conn, 10)
    assert rows[0]["payload"] == bench.frame(5, device=bench.other).hex()
    assert "a root key is 16 bytes" in rows[0]["detail"]
    assert bench.writer.health()["ok"]


def shrink(connection: Any, _record: object = None) -> None:
    connection.execute("PRAGMA max_page_count=1")  # SQLite answers as on a full disk: SQLITE_FULL


def fill_the_disk(bench: Bench) -> None:
    bench.store.checkpoint(hard=True)
    event.listen(bench.store.engine, "connect", shrink)
    with bench.store.write() as conn:  # the connection that writes is at hand already
        shrink(conn.connection.driver_connection)


def test_a_full_disk_gives_no_receipt_and_loses_nothing(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    fill_the_disk(bench)
    for counter in range(1, 400):
        bench.put(bench.frame(counter, activation=counter))
    bench.writer.start()
    wait_until(lambda: not bench.writer.health()["ok"])
    assert "is full" in bench.writer.health()["error"]
    assert bench.line.said == []
    event.remove(bench.store.engine, "connect", shrink)  # the next that it tries with has room
    bench.settle()
    assert bench.number(schema.alarms) == 399
    assert bench.writer.health() == {"ok": True, "waiting": 0, "error": None}
    assert caplog.text.count("nothing can be committed") == 1


def test_it_can_be_stopped_while_the_store_fails(bench: Bench) -> None:
    fill_the_disk(bench)
    for counter in range(1, 400):
        bench.put(bench.frame(counter, activation=counter))
    bench.writer.start()
    wait_until(lambda: not bench.writer.health()["ok"])
    assert bench.writer.stop(5)
    assert bench.line.said == []


def wait_until(holds: Callable[[], bool]) -> None:
    waited = threading.Event()
    for _ in range(1000):
        if holds():
            return
        waited.wait(0.01)
    raise AssertionError


def test_what_was_dropped_and_not_sent_is_counted_in_the_store(bench: Bench) -> None:
    small = Intake(most_qos0=1, most_qos1=2)
    bench.intake = small
    bench.writer = Writer(bench.store, small, bench.line, bench.book, bench.line.wake)
    bench.line.takes = False
    bench.put(bench.frame(1))
    bench.put(b"x", qos=0)
    assert not small.put(Uplink("t", b"x", 1, 1))
    bench.put(bench.frame(2))
    assert not small.put(Uplink("t", b"x", 1, 1, qos=1, mid=9))
    bench.writer.start()
    bench.line.wait_for(lambda said: ("renew",) in said)  # so that the broker sends again what was refused
    bench.put(bench.frame(3))
    bench.settle()
    assert bench.counts() | {"quarantine.not-sigap-v1": 1} == {
        "ingest.alarms": 1,
        "ingest.alarms_repeated": 2,
        "ingest.answers_not_sent": 2,
        "ingest.dropped.qos0": 1,
        "ingest.dropped.qos1": 1,
        "quarantine.not-sigap-v1": 1,
    }


def test_the_quarantine_is_bounded_and_its_counts_are_not(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quarantine, "MOST_ROWS", 30)
    for number in range(100):
        bench.put(b"\x2f" * 300 if number % 2 else b"")
    bench.writer.start()
    bench.settle()
    with bench.store.read() as conn:
        rows = quarantine.newest(conn, 1000)
        assert quarantine.summary(conn) == {"empty": 50, "too-long": 50}
    assert [row["id"] for row in rows] == list(range(100, 70, -1))
    assert {(row["size_bytes"], len(row["payload"]) // 2) for row in rows} == {(300, 256), (0, 0)}


def test_what_a_terminal_must_not_see_is_escaped() -> None:
    assert quarantine.printable("a\x1b[2J\0é", 100) == "a\\x1b[2J\\x00é"
    assert len(quarantine.printable("\0" * 100, 50)) == 50
