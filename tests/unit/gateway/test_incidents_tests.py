"""Test alarms: apart from real ones, never dispatched, told to those who asked for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.registry.people import add_relative
from gateway.store import schema
from panic_wire.frames import ALARM_UPDATE, TEST
from tests.unit.gateway.store_lab import new_store
from tests.unit.gateway.test_incidents_book import NOW, Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with new_store(tmp_path / "sigap.db") as store:
        one = Desk(store)
        with store.write() as conn:
            for name, wants_tests in (("Ibu", True), ("Kakak", False)):
                channel = f"mailto://127.0.0.1/?to={name}@example.org"
                add_relative(conn, owner="Toko Sinar", name=name, channel=channel, wants_tests=wants_tests, now_us=NOW)
        yield one


def is_test(desk: Desk, incident: str) -> bool:
    with desk.store.read() as conn:
        return conn.execute(sa.select(schema.incidents.c.test).where(schema.incidents.c.id == incident)).scalar_one()


def test_a_test_has_an_incident_of_its_own(desk: Desk) -> None:
    first, real = desk.take(1, 1, kind=TEST), desk.take(2, 2)
    assert first.incident_id != real.incident_id
    assert (is_test(desk, first.incident_id), is_test(desk, real.incident_id)) == (True, False)
    # Each goes on by itself: another test joins the open test, another alarm the open emergency.
    assert desk.take(3, 3, kind=TEST).incident_id == first.incident_id
    assert desk.take(4, 4).incident_id == real.incident_id


def test_only_who_asked_for_tests_is_told(desk: Desk) -> None:
    desk.take(1, 1, kind=TEST)
    (told,) = desk.deliveries("relative:")
    assert told.destination == "relative:1"
    assert json.loads(told.payload)["data"]["test"] is True
    desk.take(2, 2)
    assert [row.destination for row in desk.deliveries("relative:")] == ["relative:1", "relative:1", "relative:2"]


def test_backends_are_told_that_it_is_one(desk: Desk) -> None:
    desk.take(1, 1, kind=TEST)
    assert [json.loads(row.payload)["data"]["test"] for row in desk.deliveries("backend:")] == [True, True]


def test_nobody_is_sent(desk: Desk) -> None:
    incident = desk.take(1, 1, kind=TEST).incident_id
    for stage in ("dispatched", "on_scene"):
        assert not desk.stage(incident, stage, unit="Patroli 1")
    assert desk.stage(incident, "acknowledged")
    assert desk.stage(incident, "closed", disposition="test")
    assert desk.kinds(incident) == ["opened", "refused", "refused", "acknowledged", "closed"]
    assert {json.loads(row.payload)["stage"] for row in desk.deliveries("device:")} == {"acknowledged", "closed"}


def test_a_device_that_says_it_was_real_is_believed(desk: Desk) -> None:
    tested = desk.take(1, 7, kind=TEST)
    real = desk.take(2, 7)
    assert real.new
    assert real.incident_id != tested.incident_id
    assert not is_test(desk, real.incident_id)
    assert len(desk.deliveries("relative:")) == 3


def test_a_test_of_a_real_alarm_changes_nothing(desk: Desk) -> None:
    real = desk.take(1, 7)
    for kind in (TEST, ALARM_UPDATE):
        again = desk.take(2, 7, kind=kind)
        assert (again.new, again.incident_id) == (False, real.incident_id)
