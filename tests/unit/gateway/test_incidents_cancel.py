"""Cancels in the book: they close nothing and lower nothing, and what an incident says follows from what was said, not
from the order in which it came. And the updates of a position: cheap, and never a second incident."""

from __future__ import annotations

import itertools
import json
import random
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.incidents.events import history
from gateway.incidents.stages import fold
from gateway.registry.people import add_relative
from gateway.store import schema
from panic_wire.frames import ALARM_UPDATE, TEST
from tests.unit.gateway.store_lab import new_store
from tests.unit.gateway.test_incidents_book import NOW, Desk, as_state

S = 1_000_000


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with new_store(tmp_path / "sigap.db") as store:
        made = Desk(store)
        with store.write() as conn:
            channel = "mailto://127.0.0.1:1/?from=a@example.org&to=b@example.org"
            add_relative(conn, owner="Toko Sinar", name="Budi", channel=channel, now_us=NOW)
        yield made


def last_told(desk: Desk) -> dict[str, Any]:
    return json.loads(desk.deliveries("backend:police")[-1].payload)


def test_a_cancel_is_an_event_and_closes_nothing(desk: Desk) -> None:
    incident = desk.take(1).incident_id
    relatives = len(desk.deliveries("relative:"))
    assert relatives == 1
    taken = desk.cancel(at=NOW + 9 * S, age_ms=2000)
    assert taken is not None
    assert (taken.new, taken.incident_id, taken.wakes) == (True, incident, True)
    assert desk.kinds(incident) == ["opened", "cancelled"]
    assert desk.alarm().cancelled_at == NOW + 7 * S
    told = last_told(desk)
    assert told["type"] == "id.sigap.incident.cancelled.v1"
    assert (told["data"]["change"], told["data"]["state"]) == ("cancelled", "open")
    assert told["data"]["cancel"] == {"says": "mistake", "at": "2026-09-21T14:13:27.000Z"}
    before = len(desk.deliveries())
    again = desk.cancel(at=NOW + 20 * S, repeated=True)
    assert again is not None
    assert not again.new
    assert len(desk.deliveries()) == before
    assert desk.kinds(incident) == ["opened", "cancelled"]
    assert len(desk.deliveries("relative:")) == relatives


def test_a_cancel_of_an_alarm_that_is_not_here_is_not_taken(desk: Desk) -> None:
    assert desk.cancel() is None
    desk.take(1)
    assert desk.cancel() is not None


def test_still_in_danger_after_a_cancel(desk: Desk) -> None:
    incident = desk.take(1).incident_id
    desk.cancel(at=NOW + 5 * S)
    assert desk.says(incident) == "mistake"
    assert desk.take(2, activation=2, at=NOW + 8 * S).incident_id == incident
    assert desk.says(incident) == "still_in_danger"
    assert last_told(desk)["data"]["cancel"]["says"] == "still_in_danger"
    desk.cancel(activation=2, at=NOW + 15 * S)
    assert desk.says(incident) == "mistake"
    desk.cancel(activation=1, at=NOW + 15 * S, duress=True)
    desk.take(3, activation=3, at=NOW + 20 * S)
    assert desk.says(incident) == "duress"


def test_duress_after_the_operator_closed_goes_on_in_a_new_incident(desk: Desk) -> None:
    closed = desk.take(1).incident_id
    desk.cancel(at=NOW + 5 * S)
    desk.stage(closed, "closed", NOW + 9 * S, "operator:Siti", disposition="false")
    taken = desk.cancel(at=NOW + 12 * S, duress=True, age_ms=1000)
    assert taken is not None
    assert taken.incident_id != closed
    assert desk.kinds(closed) == ["opened", "cancelled", "closed", "alarm_left"]
    assert desk.kinds(taken.incident_id) == ["opened", "cancelled"]
    assert desk.says(taken.incident_id) == "duress"
    told = last_told(desk)
    assert (told["subject"], told["data"]["state"], told["data"]["cancel"]["says"]) == (
        taken.incident_id,
        "open",
        "duress",
    )
    with desk.store.read() as conn:
        assert fold(history(conn, closed)).alarms == {}
        assert fold(history(conn, taken.incident_id)).alarms == {(desk.device.id, 1): as_state(desk.alarm())}


def test_a_cancelled_test_stays_a_test(desk: Desk) -> None:
    incident = desk.take(1, kind=TEST).incident_id
    desk.stage(incident, "closed", disposition="test")
    taken = desk.cancel(duress=True)
    assert taken is not None
    assert taken.incident_id == incident


# What the hand did: activation 2 was pressed after the cancel of 1, or not; the frames come in any order and often.
CANCELS = st.lists(st.tuples(st.integers(1, 3), st.booleans()), min_size=1, max_size=4)


@settings(max_examples=15, deadline=None)
@given(cancels=CANCELS, alarms=st.integers(1, 3), seed=st.integers(0, 10_000))
def test_whatever_the_order_the_incident_says_the_same(cancels: list[tuple[int, bool]], alarms: int, seed: int) -> None:
    frames: list[tuple[str, int, bool]] = [("alarm", number, False) for number in range(1, alarms + 1)]
    frames += [("cancel", number, duress) for number, duress in cancels if number <= alarms]
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, new_store(Path(folder) / "sigap.db") as store:
        desk = Desk(store)
        waiting = frames * 2
        chance.shuffle(waiting)
        at, counter = NOW + 1000 * S, 0
        incidents = set()
        while waiting:
            kind, number, duress = waiting.pop(0)
            at, counter = at + S, counter + 1
            age_ms = (at - (NOW + number * 10 * S)) // 1000
            if kind == "alarm":
                # From an older epoch as well: two counters that say nothing of each other.
                incidents.add(desk.take(counter, number, at, epoch=chance.choice((3, 4)), age_ms=age_ms).incident_id)
            elif desk.cancel(number, at, duress=duress, age_ms=max(0, age_ms - 5000)) is None:
                waiting.append((kind, number, duress))  # no receipt: the device says it again
        (incident,) = incidents
        said = [(number, duress) for kind, number, duress in frames if kind == "cancel"]
        if any(duress for _, duress in said):
            assert desk.says(incident) == "duress"
        elif not said:
            assert desk.says(incident) is None
        else:
            newest = any(number == alarms for number, _ in said)
            assert desk.says(incident) == ("mistake" if newest else "still_in_danger")
        with desk.store.read() as conn:
            folded = fold(history(conn, incident))
            kept = {(row.device_id, row.activation): as_state(row) for row in conn.execute(sa.select(schema.alarms))}
        assert folded.alarms == kept
        assert folded.state == "open"


# Updates


def test_updates_every_ten_seconds_are_cheap_and_open_nothing(desk: Desk) -> None:
    """Five minutes every 10 s and ten minutes each 60 s, on a person who walks at 1.4 m/s."""
    incident = desk.take(1, lat_e7=-69_900_000, lon_e7=1_104_200_000, accuracy_m=8, fix_age_s=0).incident_id
    times = [*range(10, 301, 10), *range(360, 901, 60)]
    for counter, second in enumerate(times, 2):
        north = int(second * 1.4 / 111_195 * 1e7)
        taken = desk.take(
            counter,
            at=NOW + second * S,
            kind=ALARM_UPDATE,
            age_ms=second * 1000,
            lat_e7=-69_900_000 + north,
            lon_e7=1_104_200_000,
            accuracy_m=8,
            fix_age_s=0,
        )
        assert not taken.new
        assert taken.incident_id == incident
    assert desk.kinds(incident).count("position") == len(times)  # the desk draws the whole way
    told = [json.loads(row.payload)["data"]["position"]["lat"] for row in desk.deliveries("backend:police")]
    steps = [round((b - a) * 111_195) for a, b in itertools.pairwise(told)]
    assert min(steps) >= 50
    assert len(told) == 1 + 7 + 10  # every 40 s at first, then each
    assert len(desk.deliveries("relative:")) == 1
    desk.stage(incident, "closed", NOW + 901 * S, disposition="genuine")
    late = desk.take(99, at=NOW + 960 * S, kind=ALARM_UPDATE, age_ms=960_000)
    assert (late.incident_id, late.stage_to_tell) == (incident, "closed")


def test_who_sits_still_is_told_once(desk: Desk) -> None:
    desk.take(1, lat_e7=-69_900_000, lon_e7=1_104_200_000, accuracy_m=8, fix_age_s=0)
    for counter in range(2, 30):
        jitter = counter % 3 * 100  # 1 m
        where = {"lat_e7": -69_900_000 + jitter, "lon_e7": 1_104_200_000, "accuracy_m": 8, "fix_age_s": 0}
        assert not desk.take(counter, at=NOW + counter * 10 * S, age_ms=counter * 10_000, **where).wakes
    assert len(desk.deliveries("backend:police")) == 1
    better = {"lat_e7": -69_900_000, "lon_e7": 1_104_200_000, "accuracy_m": 4, "fix_age_s": 0}
    assert desk.take(30, at=NOW + 300 * S, age_ms=300_000, **better).wakes  # twice as good


def test_a_button_that_was_moved_says_so(desk: Desk) -> None:
    incident = desk.take(1, fixed_site=True).incident_id
    assert desk.take(2, at=NOW + S, age_ms=1000, fixed_site=True, moved=True).wakes
    data = last_told(desk)["data"]
    assert (data["alarms"][0]["moved"], data["position"]["source"]) == (True, "site")
    where = {"lat_e7": -70_000_000, "lon_e7": 1_104_200_000, "accuracy_m": 8, "fix_age_s": 0}
    assert desk.take(3, at=NOW + 2 * S, age_ms=2000, moved=True, doubtful=True, **where).wakes
    data = last_told(desk)["data"]
    assert (data["position"]["lat"], data["position"]["source"]) == (-7.0, "gps")
    assert (data["alarms"][0]["moved"], data["alarms"][0]["doubtful"]) == (True, True)
    # An older frame, which did not know it yet, takes nothing back.
    assert not desk.take(1, at=NOW + 3 * S, age_ms=3000).wakes
    assert desk.alarm().moved
    assert not desk.take(4, at=NOW + 4 * S, age_ms=4000, moved=True, **where).wakes  # believed again: no news
    assert (desk.alarm().moved, desk.alarm().doubtful) == (True, False)
    with desk.store.read() as conn:
        assert fold(history(conn, incident)).alarms == {(desk.device.id, 1): as_state(desk.alarm())}
