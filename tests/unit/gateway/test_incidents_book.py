"""The book of incidents on a real store: one button, frame by frame. Whatever comes in whatever order is in
test_incidents_machine.py."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.incidents.book import Book, Taken, UnknownIncident
from gateway.incidents.events import history
from gateway.incidents.facts import cancel_says
from gateway.incidents.stages import AlarmState
from gateway.registry.devices import Device, add_device
from gateway.registry.people import add_owner
from gateway.store import schema
from gateway.store.engine import Store
from panic_wire.frames import ALARM, Alarm, Cancel, Header
from tests.unit.gateway.store_lab import new_store

NOW = 1_790_000_000_000_000
BOOK = Book(["police", "polda"], "test")


class Desk:
    """A device, a book, a store, and the shortest ways to use them."""

    def __init__(self, store: Store) -> None:
        self.store = store
        with store.write() as conn:
            add_owner(conn, name="Toko Sinar", telephone="+62 24 123456", now_us=NOW)
            self.device: Device = add_device(
                conn, name="shop-1", owner="Toko Sinar", site_lat=-6.98, site_lon=110.41, now_us=NOW
            )

    def take(
        self, counter: int, activation: int = 1, at: int = NOW, epoch: int = 3, kind: int = ALARM, **alarm: Any
    ) -> Taken:
        header = Header(kind, 0, self.device.id, epoch, counter)
        with self.store.write() as conn:
            return BOOK.take_alarm(conn, self.device, header, Alarm(activation, **alarm), at)

    def cancel(self, activation: int = 1, at: int = NOW, **cancel: Any) -> Taken | None:
        with self.store.write() as conn:
            return BOOK.take_cancel(conn, self.device, Cancel(activation, **cancel), at)

    def says(self, incident: str) -> str | None:
        with self.store.read() as conn:
            query = sa.select(schema.alarms).where(schema.alarms.c.incident_id == incident)
            return cancel_says(conn.execute(query).mappings().all())

    def stage(self, incident: str, stage: str, at: int = NOW, actor: str = "backend:police", **data: Any) -> bool:
        with self.store.write() as conn:
            return BOOK.record_stage(conn, incident, stage, actor, data, at)

    def alarm(self, activation: int = 1) -> sa.Row:
        with self.store.read() as conn:
            query = sa.select(schema.alarms).where(schema.alarms.c.activation == activation)
            return conn.execute(query).one()

    def deliveries(self, prefix: str = "") -> list[sa.Row]:
        with self.store.read() as conn:
            rows = conn.execute(sa.select(schema.deliveries).order_by(schema.deliveries.c.id)).all()
        return [row for row in rows if row.destination.startswith(prefix)]

    def kinds(self, incident: str) -> list[str]:
        with self.store.read() as conn:
            return [event.kind for event in history(conn, incident)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with new_store(tmp_path / "sigap.db") as store:
        yield Desk(store)


def test_a_first_alarm_opens_an_incident_and_tells_every_backend(desk: Desk) -> None:
    taken = desk.take(1, age_ms=2500, battery_mv=3700)
    assert taken.new
    assert taken.wakes
    assert taken.stage_to_tell is None
    rows = desk.deliveries()
    assert [row.destination for row in rows] == ["backend:police", "backend:polda"]
    event = json.loads(rows[0].payload)
    assert event == event | {
        "specversion": "1.0",
        "id": rows[0].id,
        "source": "urn:sigap:gateway:test",
        "type": "id.sigap.incident.opened.v1",
        "subject": taken.incident_id,
        "time": "2026-09-21T14:13:20.000Z",
        "datacontenttype": "application/json",
    }
    data = event["data"]
    assert data["alarms"] == [
        {
            "alarm": f"{desk.device.id:08x}-1",
            "activation": 1,
            "pressed_at": "2026-09-21T14:13:17.500Z",
            "age_is_minimum": False,
            "received_at": "2026-09-21T14:13:20.000Z",
            "silent": False,
            "bearer": "wifi",
            "battery_mv": 3700,
            "moved": False,
            "doubtful": False,
            "cancelled_at": None,
            "duress": False,
        }
    ]
    assert (data["state"], data["device_name"], data["owner"]["name"]) == ("open", "shop-1", "Toko Sinar")
    site = {"lat": -6.98, "lon": 110.41, "accuracy_m": None, "source": "site", "fix_at": None}
    assert data["position"] == site
    assert rows[0].id != rows[1].id


def test_a_newer_position_replaces_and_an_older_never_does(desk: Desk) -> None:
    desk.take(10, lat_e7=1, lon_e7=1, accuracy_m=50, fix_age_s=1)
    desk.take(9, at=NOW + 1, lat_e7=9, lon_e7=9, accuracy_m=1, fix_age_s=0)
    assert (desk.alarm().lat_e7, desk.alarm().counter) == (1, 10)
    taken = desk.take(11, at=NOW + 2, lat_e7=2, lon_e7=2, accuracy_m=5, fix_age_s=0)
    assert taken.wakes
    assert (desk.alarm().lat_e7, desk.alarm().accuracy_m, desk.alarm().counter) == (2, 5, 11)
    assert not desk.take(12, at=NOW + 3).wakes  # no fix does not take one away
    assert (desk.alarm().lat_e7, desk.alarm().counter) == (2, 12)
    # The same fix, older by a second.
    desk.take(13, at=NOW + 900_000, lat_e7=2, lon_e7=2, accuracy_m=5, fix_age_s=1)
    assert desk.kinds(taken.incident_id) == ["opened", "position"]
    position = json.loads(desk.deliveries("backend:police")[-1].payload)["data"]["position"]
    assert (position["lat"], position["source"]) == (2e-7, "gps")


def test_a_late_frame_helps_when_no_position_is_known(desk: Desk) -> None:
    desk.take(10)
    desk.take(9, lat_e7=9, lon_e7=9)
    assert (desk.alarm().lat_e7, desk.alarm().counter) == (9, 10)


def test_another_epoch_is_newer_unless_the_caller_knows_better(desk: Desk) -> None:
    desk.take(5000, epoch=3, lat_e7=1, lon_e7=1)
    desk.take(2, epoch=4, lat_e7=2, lon_e7=2)
    assert (desk.alarm().epoch, desk.alarm().counter, desk.alarm().lat_e7) == (4, 2, 2)
    header = Header(ALARM, 0, desk.device.id, 3, 5001)
    with desk.store.write() as conn:
        BOOK.take_alarm(
            conn, desk.device, header, Alarm(1, lat_e7=3, lon_e7=3), NOW, "wifi", later=lambda _known: False
        )
    assert (desk.alarm().epoch, desk.alarm().counter, desk.alarm().lat_e7) == (4, 2, 2)


def test_the_press_time_is_the_least_and_an_exact_one_wins(desk: Desk) -> None:
    taken = desk.take(1, at=NOW, age_ms=1000, age_is_minimum=True)
    assert desk.alarm().age_is_minimum
    desk.take(2, at=NOW + 5_000_000, age_ms=10_000)
    assert (desk.alarm().pressed_at, desk.alarm().age_is_minimum) == (NOW - 5_000_000, False)
    desk.take(3, at=NOW + 9_000_000, age_ms=10_000)  # later, by a slower line
    desk.take(4, at=NOW + 9_000_000, age_ms=0xFFFFFFFF)
    assert desk.alarm().pressed_at == NOW + 9_000_000 - 0xFFFFFFFF * 1000
    assert "press_time" in desk.kinds(taken.incident_id)


def test_an_alarm_while_one_is_open_joins_and_after_closing_opens(desk: Desk) -> None:
    first = desk.take(1, activation=1)
    desk.stage(first.incident_id, "dispatched", unit="patroli-3")
    joined = desk.take(2, activation=2)
    assert (joined.new, joined.incident_id, joined.stage_to_tell) == (True, first.incident_id, "dispatched")
    desk.stage(first.incident_id, "closed", disposition="false")
    with desk.store.read() as conn:
        told = [
            (json.loads(row.payload)["activation"], json.loads(row.payload)["stage"])
            for row in desk.deliveries("device:")
        ]
        again = BOOK.find_alarm(conn, desk.device.id, 2)
        assert BOOK.find_alarm(conn, desk.device.id, 3) is None
    assert told == [(1, "dispatched"), (1, "closed"), (2, "closed")]
    assert again is not None
    assert again.stage_to_tell == "closed"
    assert desk.take(3, activation=1).stage_to_tell == "closed"
    assert desk.take(4, activation=3).incident_id != first.incident_id


def test_a_stage_is_told_to_the_other_backends_and_to_the_button_in_order(desk: Desk) -> None:
    incident = desk.take(1).incident_id
    assert desk.stage(incident, "accepted", reference="LP-1")
    assert not desk.stage(incident, "accepted", actor="backend:polda")
    assert desk.stage(incident, "dispatched")
    assert not desk.stage(incident, "dispatched")
    assert not desk.stage(incident, "acknowledged")  # kept as refused
    assert desk.kinds(incident) == ["opened", "accepted", "taken", "dispatched", "refused"]
    assert len(desk.deliveries("backend:police")) == 1  # who said it is not told
    assert [json.loads(row.payload)["data"]["change"] for row in desk.deliveries("backend:polda")] == [
        "opened",
        "accepted",
        "dispatched",
    ]
    assert [json.loads(row.payload)["stage"] for row in desk.deliveries("device:")] == [
        "accepted",
        "dispatched",
    ]


def test_accepted_after_a_human_has_seen_it_does_not_set_the_button_back(desk: Desk) -> None:
    incident = desk.take(1).incident_id
    desk.stage(incident, "acknowledged")
    assert desk.stage(incident, "accepted", actor="backend:polda")
    assert [json.loads(row.payload)["stage"] for row in desk.deliveries("device:")] == ["acknowledged"]


def test_what_is_no_stage_or_no_incident_is_an_error(desk: Desk) -> None:
    incident = desk.take(1).incident_id
    with pytest.raises(UnknownIncident):
        desk.stage("nothing", "accepted")
    for stage, data in (("open", {}), ("resolved", {}), ("closed", {}), ("closed", {"disposition": "maybe"})):
        with pytest.raises(ValueError, match=r"stage|disposition"):
            desk.stage(incident, stage, **data)
    assert desk.kinds(incident) == ["opened"]


def as_state(row: sa.Row) -> AlarmState:
    position = None if row.lat_e7 is None else (row.lat_e7, row.lon_e7, row.accuracy_m, row.fix_at)
    times = (row.pressed_at, row.received_at, row.age_is_minimum)
    flags = (row.moved, row.doubtful, row.cancelled_at, row.duress)
    return AlarmState(row.device_id, row.activation, *times, row.silent, row.bearer, position, *flags)
