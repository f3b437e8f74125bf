"""Troubles, crashes and commands on a real store: what is said twice counts once, what comes late does no harm."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.operations.restore import go_on
from gateway.registry.devices import Device, add_device, revoke_device
from gateway.store import schema
from gateway.store.engine import Store
from gateway.supervision import commands, crashes, troubles
from panic_wire.frames import (
    ANSWER,
    BATTERY_LOW,
    COMMAND,
    CRASHED,
    DONE,
    LOCATE,
    LOCATION,
    NETWORK,
    REFUSED,
    RESTART,
    SET,
    TROUBLE,
    Header,
    Report,
    Trouble,
    pack_position,
    unpack_command,
)
from sigap.problem import Problem
from tests.unit.gateway.store_lab import new_store

S = 1_000_000
NOW = 1_795_000_000 * S


class Lab:
    def __init__(self, store: Store) -> None:
        self.store = store
        with store.write() as conn:
            self.device: Device = add_device(conn, name="shop-1", now_us=NOW)

    def trouble(self, counter: int, kind: int, at: int, **more: Any) -> str | None:
        header = Header(TROUBLE, 0, self.device.id, 7, counter)
        with self.store.write() as conn:
            later = lambda known: counter > known[1]  # noqa: E731
            return troubles.take(conn, self.device.id, header, Trouble(kind, **more), at, later)

    def troubles(self, *, lasting: bool) -> list[tuple[str, int | None, int | None]]:
        with self.store.read() as conn:
            found = troubles.listed(conn, lasting=lasting, limit=1000)
        return [(each["name"], each["began_at"], each["ended_at"]) for each in found]

    def ask(self, code: int, content: bytes = b"", at: int = NOW) -> int:
        with self.store.write() as conn:
            return commands.ask(conn, self.device.id, code, content, "administrator:root", at)

    def send(self, at: int = NOW, *, again: bool = True) -> commands.Next | None:
        with self.store.write() as conn:
            return commands.next_to_send(conn, self.device.id, at, again=again)

    def answer(self, kind: int, code: int, ref: int, content: bytes = b"", at: int = NOW) -> bool:
        with self.store.write() as conn:
            return commands.take_answer(conn, self.device.id, Report(kind, code, ref, content), at)

    def command(self, number: int) -> dict[str, Any]:
        with self.store.read() as conn:
            return commands.get(conn, number)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    with new_store(tmp_path / "sigap.db") as store:
        yield Lab(store)


def test_a_trouble_lasts_from_its_beginning_to_its_end(lab: Lab) -> None:
    assert lab.trouble(1, BATTERY_LOW, NOW, age_s=60, value=3300) == "began"
    assert lab.trouble(2, BATTERY_LOW, NOW + 5 * S, age_s=65, value=3250) is None  # said again
    assert lab.trouble(3, 200, NOW) == "began"  # a later firmware's
    assert lab.troubles(lasting=True) == [("200", NOW, None), ("battery_low", NOW - 60 * S, None)]
    assert lab.trouble(4, BATTERY_LOW, NOW + 100 * S, ended=True, age_s=10) == "ended"
    assert lab.trouble(5, BATTERY_LOW, NOW + 110 * S, ended=True, age_s=20) is None
    assert lab.troubles(lasting=False) == [("battery_low", NOW - 60 * S, NOW + 90 * S)]
    assert lab.trouble(6, BATTERY_LOW, NOW + 200 * S) == "began"
    assert len(lab.troubles(lasting=True)) == 2


def test_frames_that_come_late_change_only_times(lab: Lab) -> None:
    assert lab.trouble(2, NETWORK, NOW + 50 * S, ended=True) == "ended"
    assert lab.trouble(1, NETWORK, NOW + 60 * S, age_s=40) is None  # its beginning, sealed before
    assert lab.troubles(lasting=False) == [("network", NOW + 20 * S, NOW + 50 * S)]
    assert lab.trouble(9, NETWORK, NOW + 100 * S) == "began"
    assert lab.trouble(3, NETWORK, NOW + 110 * S, ended=True, age_s=60) is None  # of the one before
    assert len(lab.troubles(lasting=True)) == 1


def test_a_crash_is_over_at_once_and_each_is_one(lab: Lab) -> None:
    assert lab.trouble(1, CRASHED, NOW, value=4) == "began"
    assert lab.trouble(2, CRASHED, NOW + 3 * S, age_s=3, value=4) is None
    assert lab.trouble(3, CRASHED, NOW + 3600 * S, value=4) == "began"
    assert lab.troubles(lasting=True) == []
    assert len(lab.troubles(lasting=False)) == 2


def test_troubles_are_bounded_and_a_revoked_device_has_none(lab: Lab) -> None:
    for number in range(200):
        at = NOW + number * 100 * S
        lab.trouble(number * 2 + 1, NETWORK, at)
        lab.trouble(number * 2 + 2, NETWORK, at + 50 * S, ended=True)
    lab.trouble(1000, BATTERY_LOW, NOW)
    assert len(lab.troubles(lasting=False)) == troubles.MOST_ENDED
    with lab.store.write() as conn:
        conn.execute(schema.devices.update().values(online=False, last_heard_at=NOW - 5 * S))
    assert lab.troubles(lasting=True) == [("silent", NOW - 5 * S, None), ("battery_low", NOW, None)]
    with lab.store.read() as conn:
        assert troubles.lasting_count(conn) == 2
    with lab.store.write() as conn:
        revoke_device(conn, "shop-1", NOW)
        assert troubles.lasting_count(conn) == 0
    assert lab.troubles(lasting=True) == []


@settings(max_examples=15, deadline=None)
@given(changes=st.lists(st.integers(12, 500), min_size=1, max_size=8), seed=st.integers(0, 10_000))
def test_whatever_the_order_the_newest_frame_says_whether_it_lasts(
    tmp_path_factory: pytest.TempPathFactory, changes: list[int], seed: int
) -> None:
    """It begins and ends in turn, after so many seconds; each is said twice, sealed at most 8 s later."""
    chance, at, frames = random.Random(seed), NOW, []
    for number, seconds in enumerate(changes):
        at += seconds * S
        for again in (0, 1):
            frames.append((number * 2 + again, number % 2 == 1, at))
    # Held back by a line that renews itself: mostly in order, sometimes not.
    frames.sort(key=lambda each: each[0] + chance.choice((0, 0, 0, 3, 7)))
    with new_store(tmp_path_factory.mktemp("t") / "sigap.db") as store:
        lab, arrives = Lab(store), at
        for counter, ended, happened in frames:
            arrives += chance.randrange(3) * S
            lab.trouble(counter, NETWORK, arrives, ended=ended, age_s=(arrives - happened) // S)
        assert len(lab.troubles(lasting=True)) == len(changes) % 2
        for _, began, ended_at in lab.troubles(lasting=False):
            assert began is None or ended_at is None or began <= ended_at


# Crashes


def test_a_crash_is_put_together_from_its_parts(lab: Lab) -> None:
    text = "Traceback (most recent call last):\n  File 'panic/app.py', line 12, in _send\nMemoryError: é" * 3
    raw = text.encode()
    parts = [raw[start : start + 90] for start in range(0, len(raw), 90)]
    assert len(parts) > 2
    with lab.store.write() as conn:
        for number in (1, 0, 1, 0, *range(2, len(parts))):
            crashes.take(conn, lab.device.id, number, parts[number], NOW)
        assert [each["text"] for each in crashes.listed(conn, lab.device.id)] == [text]
        # Another one: other text at a place that is taken; its first part is lost.
        assert crashes.take(conn, lab.device.id, 2, b"more", NOW + S)
        assert crashes.listed(conn, lab.device.id)[0]["text"] == "[…] more"
        # The same text again, an hour later.
        assert crashes.take(conn, lab.device.id, 2, b"more", NOW + 3600 * S)
        for number in range(50):
            crashes.take(conn, lab.device.id, 0, b"%d" % number, NOW + 4000 * S)
        kept = crashes.listed(conn, lab.device.id)
    assert [each["text"] for each in kept] == [str(number) for number in range(49, 29, -1)]


# Commands


def test_commands_go_one_after_the_other_and_again_as_the_same_bytes(lab: Lab) -> None:
    first, second = lab.ask(SET, b"led=off"), lab.ask(LOCATE)
    sent = lab.send(again=False)
    assert sent is not None
    assert (sent.header.type, sent.header.epoch) == (COMMAND, NOW // S)
    assert unpack_command(sent.body).content == b"led=off"
    assert lab.send(again=False) is None  # nothing new
    assert lab.send() == sent  # at the next heartbeat
    assert lab.command(first)["sends"] == 2
    assert not lab.answer(ANSWER, DONE, sent.header.counter + 5)
    assert lab.answer(ANSWER, REFUSED, sent.header.counter, b"led: no such setting")
    assert not lab.answer(ANSWER, DONE, sent.header.counter)  # it is said once
    assert lab.command(first)["state"] == "refused"
    assert lab.command(first)["answer"] == {"text": "led: no such setting"}
    following = lab.send(again=False)
    assert following is not None
    assert following.header.counter > sent.header.counter
    where = pack_position((-70_000_000, 1_104_200_000, 12, 3))
    assert lab.answer(LOCATION, DONE, following.header.counter, where, NOW + 10 * S)
    known = {"lat": -7.0, "lon": 110.42, "accuracy_m": 12, "fix_at": NOW + 7 * S}
    assert lab.command(second)["answer"] == known
    with lab.store.read() as conn:
        rows = conn.execute(sa.select(schema.device_events)).all()
    assert [(row.kind, row.actor) for row in rows] == [
        ("command", "administrator:root"),
        ("command", "administrator:root"),
        ("answered", f"device:{lab.device.id:08x}"),
        ("answered", f"device:{lab.device.id:08x}"),
    ]


def test_a_refused_location_is_no_position(lab: Lab) -> None:
    number = lab.ask(LOCATE)
    sent = lab.send()
    assert sent is not None
    assert lab.answer(LOCATION, REFUSED, sent.header.counter)
    assert lab.command(number)["state"] == "refused"
    assert lab.command(number)["answer"] == {"lat": None, "lon": None, "accuracy_m": None, "fix_at": None}


def test_what_is_not_answered_is_given_up_and_makes_room(lab: Lab) -> None:
    first, second, third = lab.ask(RESTART), lab.ask(LOCATE), lab.ask(LOCATE, at=NOW + S)
    for _ in range(commands.MOST_SENDS):
        assert lab.send() is not None
    after = lab.send()
    assert after is not None
    assert lab.command(first)["state"] == "unanswered"
    assert (lab.command(second)["state"], lab.command(second)["sends"]) == ("sent", 1)
    with lab.store.write() as conn:
        commands.give_up_old(conn, NOW + commands.LIFE_US)
    assert (lab.command(second)["state"], lab.command(third)["state"]) == ("unanswered", "waiting")
    assert lab.answer(ANSWER, DONE, after.header.counter)  # it did come, after all
    assert lab.command(second)["state"] == "done"


def test_commands_are_bounded(lab: Lab) -> None:
    with pytest.raises(Problem, match="room for 95 bytes"):
        lab.ask(SET, b"x" * 96)
    for _ in range(commands.MOST_WAITING):
        lab.ask(RESTART)
    with pytest.raises(Problem, match="wait for this device already"):
        lab.ask(RESTART)


def test_no_counter_comes_back(lab: Lab) -> None:
    seen: set[tuple[int, int]] = set()
    for number in range(30):
        with lab.store.write() as conn:
            seen.add(commands.take_counter(conn, lab.device.id, NOW + number))
            if number % 10 == 9:  # restored from a backup, with a clock that was set back
                seen_epoch = commands.begin_downlink_epoch(conn, NOW - 1000 * S)
                assert seen_epoch > max(epoch for epoch, _ in seen)
    assert len(seen) == 30


def test_a_database_that_its_own_tools_restored_goes_on_in_a_new_epoch(lab: Lab) -> None:
    with lab.store.write() as conn:
        before = commands.take_counter(conn, lab.device.id, NOW)
    lab.ask(RESTART)
    done = go_on(lab.store, now_us=NOW)
    assert done.given_up == 1
    with lab.store.write() as conn:
        assert commands.take_counter(conn, lab.device.id, NOW) > before
        assert commands.next_to_send(conn, lab.device.id, NOW, again=True) is None


def test_the_time_is_told_to_who_does_not_know_it_and_once_an_hour(lab: Lab) -> None:
    told: list[int | None] = []
    # What a heartbeat says of its clock, and when; the last two by a clock that was set back: rather once more.
    for known, seconds in ((True, 0), (True, 3599), (False, 3599), (True, 3600), (True, 7199), (True, 0), (True, 1)):
        with lab.store.write() as conn:
            beats = commands.Beats.load(conn, {lab.device.id})
            order = beats.time_order(conn, lab.device.id, known, NOW + seconds * S)
            assert beats.time_order(conn, lab.device.id, True, NOW + seconds * S) is None  # in the same batch
            told.append(order and order.counter)
    assert told == [1, None, 2, None, 3, 4, None]
