"""What the writer does with cancels, troubles and reports, and what it sends down beside receipts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.store import schema
from gateway.supervision import commands
from panic_wire.bodies import unpack_time
from panic_wire.frames import (
    ANSWER,
    BATTERY_LOW,
    CANCEL,
    CRASH_TEXT,
    DONE,
    HEARTBEAT,
    LOCATE,
    REPORT,
    RESTART,
    SET_TIME,
    TROUBLE,
    Cancel,
    Header,
    Heartbeat,
    Report,
    Trouble,
)
from panic_wire.keys import uplink_key
from panic_wire.seal import seal
from tests.unit.gateway.store_lab import new_store
from tests.unit.gateway.test_ingest_writer import LIMIT_S, Bench


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with new_store(tmp_path / "sigap.db") as store:
        made = Bench(store)
        yield made
        if made.writer.alive:
            assert made.writer.stop(LIMIT_S)


def sealed(bench: Bench, kind: int, counter: int, body: bytes, epoch: int = 3) -> bytes:
    header = Header(kind, 0, bench.device.id, epoch, counter)
    return seal(uplink_key(bench.device.root_key, bench.device.id), header, body)


def test_a_cancel_is_receipted_when_its_alarm_is_here(bench: Bench) -> None:
    early = sealed(bench, CANCEL, 1, Cancel(1, age_ms=100).pack(), epoch=2)  # of an epoch that was lost since
    bench.put(early)
    bench.put(bench.frame(1))
    bench.put(early)  # a replay: what it says is not in the store, so there is no receipt
    bench.put(sealed(bench, CANCEL, 2, Cancel(1, repeated=True, age_ms=9000).pack()))
    bench.put(sealed(bench, CANCEL, 3, Cancel(1, repeated=True, age_ms=9500).pack()))
    bench.put(sealed(bench, CANCEL, 3, Cancel(1, repeated=True, age_ms=9500).pack()), duplicate=True)
    bench.put(early)
    bench.writer.start()
    bench.settle()
    # The last: it is there by now, and who asks may have lost the answer.
    counters = [1, 2, 3, 3, 1]
    assert bench.line.stages(bench.device) == [("receipt", 1, counter) for counter in counters]
    assert bench.number(schema.incidents) == 1
    assert bench.number(schema.events) == 2
    assert bench.number(schema.deliveries) == 2
    assert bench.counts() == {
        "ingest.alarms": 1,
        "ingest.cancels": 1,
        "ingest.cancels_early": 1,
        "ingest.cancels_repeated": 1,
        "ingest.redelivered": 1,
        "quarantine.replayed": 2,
    }


def test_troubles_and_reports_are_receipted_and_counted_once(bench: Bench) -> None:
    bench.put(sealed(bench, TROUBLE, 1, Trouble(BATTERY_LOW, value=3200).pack()))
    bench.put(sealed(bench, TROUBLE, 1, Trouble(BATTERY_LOW, value=3200).pack()), duplicate=True)
    bench.put(sealed(bench, TROUBLE, 1, Trouble(BATTERY_LOW, value=3200).pack()))  # a replay
    bench.put(sealed(bench, REPORT, 2, Report(CRASH_TEXT, 0, 0, b"MemoryError").pack()))
    bench.put(sealed(bench, REPORT, 3, Report(ANSWER, DONE, 77).pack()))  # to nobody's question
    bench.put(sealed(bench, REPORT, 4, Report(99, 0, 0, b"?").pack()))
    bench.writer.start()
    bench.settle()
    assert bench.line.stages(bench.device) == [("receipt", 0, counter) for counter in (1, 1, 2, 3, 4)]
    assert (bench.number(schema.troubles), bench.number(schema.crashes)) == (1, 1)
    counts = bench.counts()
    assert (counts["ingest.reports"], counts["ingest.answers_known"], counts["ingest.reports_unknown"]) == (3, 1, 1)


def test_a_heartbeat_is_answered_with_its_receipt_and_the_time(bench: Bench) -> None:
    moment = 1_795_000_000_123_456
    bench.writer._clock = lambda: moment
    known = Heartbeat(clock_known=True).pack()
    bench.put(bench.frame(1, kind=HEARTBEAT))  # does not know the time
    bench.put(bench.frame(2, kind=HEARTBEAT))
    bench.put(sealed(bench, HEARTBEAT, 3, known))  # knows it, and was told just now
    bench.put(bench.frame(2, kind=HEARTBEAT), duplicate=True)
    bench.writer.start()
    bench.settle()
    assert bench.line.stages(bench.device) == [("receipt", 0, counter) for counter in (1, 2, 3, 2)]
    told = bench.line.commands(bench.device)
    assert [command.code for _, command in told] == [SET_TIME, SET_TIME]
    assert [unpack_time(command.content) for _, command in told] == [
        (1_795_000_000_123, 3, 1),
        (1_795_000_000_123, 3, 2),
    ]
    assert [header.counter for header, _ in told] == [1, 2]


def test_a_command_goes_with_each_heartbeat_until_it_is_answered(bench: Bench) -> None:
    with bench.store.write() as conn:
        commands.ask(conn, bench.device.id, LOCATE, b"", "administrator:root", 1_795_000_000_000_000)
        commands.ask(conn, bench.device.id, RESTART, b"", "administrator:root", 1_795_000_000_000_000)
    beat = Heartbeat(clock_known=True).pack()
    at = 1_795_000_001_000_000
    for counter in (1, 2):
        bench.put(sealed(bench, HEARTBEAT, counter, beat), received_at=at + counter)
    bench.put(sealed(bench, REPORT, 3, Report(ANSWER, DONE, 1).pack()), received_at=at + 3)
    bench.put(sealed(bench, REPORT, 4, Report(ANSWER, DONE, 1).pack()), received_at=at + 4)  # its receipt was lost
    bench.put(sealed(bench, HEARTBEAT, 5, beat), received_at=at + 5)
    bench.writer.start()
    bench.settle()
    orders = [(header.counter, command.code) for header, command in bench.line.commands(bench.device)]
    assert [each for each in orders if each[1] != SET_TIME] == [
        *[(1, LOCATE), (1, LOCATE)],  # the same bytes
        *[(2, RESTART), (2, RESTART)],  # at once when the first was answered, and with the next heartbeat
    ]
    plain = [each[2] for each in bench.line.said if each[0] == "down" and len(each[2]) == 118]
    assert len(set(plain)) == 3  # two commands, and the time once
