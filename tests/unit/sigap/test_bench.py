"""The bench's own parts: what it sends is valid, what it counts is right, what it writes is whole."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from panic_wire import topics
from panic_wire.frames import ACCEPTED, ALARM, RECEIPT, STATUS, Header, Status, unpack_alarm
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from sigap.bench import plan, report, wire
from sigap.bench.load import EPOCH, FIRST_ID, Load, root_key
from sigap.bench.run import Measured, _count

LOAD = Load(FIRST_ID + 40, devices=3, per_s=1000.0, count=7)
ROOT = Path(__file__).parents[3]


def status(index: int, stage: int = RECEIPT) -> bytes:
    device, counter = LOAD.first_id + index % 3, index // 3 + 1
    header = Header(STATUS, stage, device, EPOCH, counter)
    return seal(downlink_key(root_key(device), device), header, Status(counter).pack())


def test_every_packet_is_a_valid_alarm_that_nobody_else_sent() -> None:
    seen = set()
    for index in range(LOAD.count):
        packet = LOAD.packet(index, 7)
        ((first, body),) = wire.Reader().packets(packet)
        payload, puback = wire.payload_of(first, body)
        assert (first, puback) == (0x32, b"\x40\x02\x00\x07")
        device = LOAD.first_id + index % 3
        assert body[2:].startswith(topics.up(topics.device_name(device)).encode())
        header, text = open_frame(uplink_key(root_key(device), device), payload)
        assert (header.type, header.device) == (ALARM, device)
        seen.add((device, header.counter, unpack_alarm(text).activation))
        assert LOAD.index_of(payload, None) == index
    assert len(seen) == LOAD.count


def test_a_reader_finds_packets_however_they_come() -> None:
    stream = b"\x40\x02\x00\x01" + LOAD.packet(0, 1) + b"\x30\xc8\x01" + bytes(200) + b"\xd0\x00"
    for piece in (1, 3, 50, len(stream)):
        reader, found = wire.Reader(), []
        for at in range(0, len(stream), piece):
            found += [(first, len(body)) for first, body in reader.packets(stream[at : at + piece])]
        assert found == [(0x40, 2), (0x32, stream[5]), (0x30, 200), (0xD0, 0)]


def test_waits_count_from_the_intended_time_and_nothing_is_counted_twice() -> None:
    arrived = [(0, status(1))]  # of before
    arrived += [(5_000_000 + 1_000_000 * index, status(index)) for index in (0, 2, 1)]
    arrived += [(9_000_000, status(2)), (9_500_000, status(3, ACCEPTED)), (9_600_000, b"noise")]
    peer: Any = SimpleNamespace(receipts=SimpleNamespace(arrived=arrived), answers=True)
    into = Measured(plan.FEW, LOAD.per_s, "some")
    _count(peer, LOAD, 1, 3_000_000, into)
    assert into.waits_ms == [2.0, 2.0, 2.0]  # each 2 ms after its own millisecond, in the order of arrival
    assert (into.sent, into.missing, into.doubled) == (7, 4, 1)
    assert into.took_s == pytest.approx(0.005)
    assert (into.quantile_ms(0.5), into.quantile_ms(0.99)) == (2.0, 2.0)


def test_the_page_gets_a_table_and_a_picture(tmp_path: Path) -> None:
    few = {"kind": plan.FEW, "offered_per_s": 10, "carried_per_s": 9.9, "p50_ms": 0.7, "p99_ms": 1.2, "max_ms": 3.0}
    few |= {"sent": 50, "missing": 0, "doubled": 0, "cpu_us_per_alarm": 300.0}
    cases = [{**few, "peer": name, "offered_per_s": rate} for rate in (10, 1000) for name in report.COLOURS]
    cases.append({**few, "peer": report.SIGAP, "kind": plan.MANY, "missing": 3, "p99_ms": None})
    sync = {"p50": 0.3, "p99": 1.0, "max": 9.0}
    document = {"date": "2026-11-26", "machine": "1 core", "rounds": 2, "sync_ms": sync, "cases": cases}
    (tmp_path / report.PAGE).write_text(f"before\n{report.BEGIN}\nold\n{report.END}\nafter\n")
    report.write_docs(document, tmp_path)
    page = (tmp_path / report.PAGE).read_text()
    assert page.startswith("before\n")
    assert page.endswith("\nafter\n")
    assert "old" not in page
    assert len(re.findall(r"^\| [0-9]", page, re.M)) == len(cases)
    assert ElementTree.fromstring((tmp_path / report.PICTURE).read_text()).tag.endswith("svg")


def test_the_marks_are_in_the_page_that_is_shipped() -> None:
    page = (ROOT / "docs" / report.PAGE).read_text()
    assert page.count(report.BEGIN) == page.count(report.END) == 1


def test_no_two_loads_share_devices() -> None:
    devices, used = plan.Devices(), 0
    for _ in range(plan.ROUNDS):
        for case in plan.CASES:
            load = devices.load(case.devices, case.per_s, case.count)
            assert load.first_id == FIRST_ID + used
            used += load.devices
    assert used + plan.WARM_UP[0] == plan.devices_needed(plan.CASES, plan.ROUNDS)
