"""What is erased by itself, and what must stay."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.incidents.events import history
from gateway.incidents.stages import fold
from gateway.ingest import quarantine as refused
from gateway.ingest.intake import Uplink
from gateway.ingest.judge import Rejection
from gateway.operations import retention
from gateway.operations.retention import DAY_US, MONTH_US, Retention
from gateway.registry.devices import add_device, get_device
from gateway.registry.people import add_owner, add_relative
from gateway.settings import RetentionSettings
from gateway.store.engine import Store, open_store, sqlite_url
from gateway.store.schema import alarms, crashes, deliveries, device_events, events, inbox, incidents, quarantine
from gateway.store.schema import commands as command_rows
from gateway.supervision import commands
from panic_wire.bodies import pack_position
from panic_wire.frames import ALARM, DONE, LOCATE, LOCATION, Alarm, Header, Report

NOW = 1_790_000_000_000_000
ADDRESS, NOTE, LAT = "Jalan Contoh 7", "tetangga melihat dia pingsan", -69_931_234


@pytest.fixture
def store(tmp_path: Path):
    with open_store(sqlite_url(tmp_path / "sigap.db")) as store:
        with store.write() as conn:
            add_owner(conn, name="Toko", address=ADDRESS, now_us=1)
            add_relative(conn, owner="Toko", name="Budi", channel="json://127.0.0.1", now_us=1)
            add_device(conn, name="shop-1", owner="Toko", now_us=1, device_id=7)
        yield store


def emergency(store: Store, activation: int, at: int, *, closed: bool) -> str:
    book = Book(["police"], "test")
    with store.write() as conn:
        device = get_device(conn, 7)
        assert device is not None
        alarm = Alarm(activation, lat_e7=LAT, lon_e7=1_104_200_000, accuracy_m=8, fix_age_s=0)
        taken = book.take_alarm(conn, device, Header(ALARM, 0, 7, 1, activation), alarm, at)
        if closed:
            conn.execute(deliveries.update().values(state="done"))
            data = {"disposition": "genuine", "note": NOTE}
            book.record_stage(conn, taken.incident_id, "closed", "operator:Siti", data, at)
            conn.execute(deliveries.update().where(deliveries.c.incident_id == taken.incident_id).values(state="done"))
        return taken.incident_id


def run(store: Store, settings: RetentionSettings, now: int = NOW) -> dict[str, int]:
    async def all_steps() -> dict[str, int]:
        task = Retention(store, settings, lambda: now)
        return {name: await task._exhaust(step) for name, step in task.steps()}

    return asyncio.run(all_steps())


def test_a_closed_incident_loses_its_personal_data_and_keeps_its_story(store: Store, tmp_path: Path) -> None:
    old = [emergency(store, number, NOW - 13 * MONTH_US, closed=True) for number in range(1, 31)]
    fresh = emergency(store, 40, NOW - 11 * MONTH_US, closed=True)
    still_open = emergency(store, 41, NOW - 20 * MONTH_US, closed=False)
    assert run(store, RetentionSettings())["used message ids"] == 0
    with store.read() as conn:
        before = [(event.kind, event.at, event.actor) for event in history(conn, old[0])]
        assert conn.execute(sa.select(incidents.c.id).where(incidents.c.erased_at.is_not(None))).all() == []
    assert run(store, RetentionSettings(incident_months=12))["incidents' personal data"] == 30
    with store.read() as conn:
        erased = set(conn.execute(sa.select(incidents.c.id).where(incidents.c.erased_at == NOW)).scalars())
        assert erased == set(old)
        for each in (fresh, still_open):
            assert LAT in conn.execute(sa.select(alarms.c.lat_e7).where(alarms.c.incident_id == each)).scalars().all()
            told = sa.select(deliveries.c.payload).where(deliveries.c.incident_id == each)
            assert ADDRESS in "".join(conn.execute(told).scalars())
        of_old = deliveries.c.incident_id.in_(old)
        assert set(conn.execute(sa.select(deliveries.c.payload).where(of_old)).scalars()) == {"{}"}
        said = "".join(conn.execute(sa.select(events.c.data).where(events.c.incident_id.in_(old))).scalars())
        assert NOTE not in said
        assert str(LAT) not in said
        # Its times, its actors and its end are there, and the rows still follow from the events.
        assert [(event.kind, event.at, event.actor) for event in history(conn, old[0])] == before
        state = fold(history(conn, old[0]))
        assert (state.state, state.disposition, state.alarms[7, 1].position) == ("closed", "genuine", None)
        assert conn.execute(sa.select(alarms.c.lat_e7).where(alarms.c.incident_id == old[0])).scalar() is None
    # Not out of sight only: it is not in the file any more.
    store.checkpoint(hard=True)
    content = (tmp_path / "sigap.db").read_bytes()
    assert content.count(NOTE.encode()) == 1, "that of the fresh one"
    assert content.count(ADDRESS.encode()) == 1 + 6, "the registry's, and what the others' deliveries say"


def test_old_rows_go_in_small_transactions(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retention, "ROWS_AT_ONCE", 10)
    with store.write() as conn:
        for days in range(200):
            at = NOW - days * DAY_US
            refused.add(conn, [(Uplink("t", b"x", 1, at), Rejection("json", "x"))])
            conn.execute(crashes.insert().values(device_id=7, at=at, parts="{}"))
            conn.execute(inbox.insert().values(source="s", message_id=str(days), at=at))
        for asked_at in (NOW - 13 * MONTH_US, NOW):
            commands.ask(conn, 7, LOCATE, b"", "administrator:root", asked_at)
            ref = conn.execute(sa.select(sa.func.max(command_rows.c.counter))).scalar_one()
            place = Report(LOCATION, DONE, ref, pack_position((LAT, 1, 5, 0)))
            commands.take_answer(conn, 7, place, asked_at)
    began: list[int] = []
    write = store.write
    monkeypatch.setattr(store, "write", lambda: (began.append(1), write())[1])
    done = run(store, RetentionSettings(quarantine_days=90, crash_days=180, incident_months=12))
    assert done == {
        "refused messages": 109,
        "crash texts": 19,
        "used message ids": 169,
        "incidents' personal data": 0,
        "places of devices": 2,
    }
    assert len(began) >= 11 + 2 + 17
    with store.read() as conn:
        assert [len(conn.execute(table.select()).all()) for table in (quarantine, crashes, inbox)] == [91, 181, 31]
        answers = [json.loads(each) for each in conn.execute(sa.select(command_rows.c.answer)).scalars()]
        assert ["lat" in each for each in answers] == [False, True]
        noted = conn.execute(sa.select(device_events.c.data).where(device_events.c.kind == "answered")).scalars()
        assert ["lat" in json.loads(each) for each in noted] == [False, True]
