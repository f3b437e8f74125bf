"""The store on a real PostgreSQL: its schema, an incident's life, the outbox, two that open it, its sudden death."""

from __future__ import annotations

import itertools
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.incidents.events import history
from gateway.incidents.rebuild import differences
from gateway.outbox import amiss, rows
from gateway.registry.devices import add_device
from gateway.registry.people import add_owner, add_relative
from gateway.store import migrations, schema
from gateway.store.engine import Store, open_store
from panic_wire.frames import ALARM, Alarm, Cancel, Header
from tests.system.gateway_lab import lab, wait_until
from tests.system.postgres_lab import Cluster, program

NOW, S = 1_790_000_000_000_000, 1_000_000
pytestmark = pytest.mark.skipif(program("initdb") is None, reason="needs PostgreSQL (apt install postgresql)")
_numbers = itertools.count()


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    made = Cluster()
    yield made
    made.close()


@pytest.fixture
def url(cluster: Cluster) -> str:
    return cluster.url(f"sigap{next(_numbers)}")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url) as made:
        yield made


def test_its_schema_is_made_and_is_that_of_the_code(store: Store, url: str) -> None:
    with store.read() as conn:
        assert migrations.current(conn) == migrations.HEAD
        found = sa.inspect(conn)
        assert set(found.get_table_names()) == {*schema.metadata.tables, "alembic_version"}
        for name, table in schema.metadata.tables.items():
            assert {each["name"] for each in found.get_columns(name)} == set(table.c.keys())
            indexes = {each["name"] for each in found.get_indexes(name)}
            assert {each.name for each in table.indexes} <= indexes
    open_store(url).close()  # again: nothing to do


def test_two_that_open_it_at_once_upgrade_it_once(url: str) -> None:
    errors: list[BaseException] = []

    def opens() -> None:
        try:
            open_store(url).close()
        except BaseException as error:  # noqa: BLE001 (said below)
            errors.append(error)

    threads = [threading.Thread(target=opens) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert errors == []


def test_an_incidents_whole_life(store: Store) -> None:
    book = Book(["police", "polda"], "test")
    with store.write() as conn:
        owner = add_owner(conn, name="Toko", now_us=NOW)
        channel = "mailto://127.0.0.1:1/?from=a@example.org&to=b@example.org"
        add_relative(conn, owner="Toko", name="Budi", channel=channel, now_us=NOW)
        one, two = (add_device(conn, name=name, owner="Toko", now_us=NOW) for name in ("till", "back"))
        assert one.owner_id == owner.id
        first = book.take_alarm(conn, one, Header(ALARM, 0, one.id, 1, 1), Alarm(1), NOW)
        update = Alarm(1, lat_e7=-69_800_000, lon_e7=1_104_100_000, accuracy_m=5)
        book.take_alarm(conn, one, Header(ALARM, 0, one.id, 1, 2), update, NOW + S)
        other = book.take_alarm(conn, two, Header(ALARM, 0, two.id, 1, 1), Alarm(1), NOW + 2 * S)
        assert other.incident_id != first.incident_id
    with store.write() as conn:
        kept = book.merge(conn, first.incident_id, other.incident_id, "operator:Ani", NOW + 3 * S)
        book.take_cancel(conn, two, Cancel(1, duress=True), NOW + 4 * S)
        for stage in ("accepted", "acknowledged", "dispatched"):
            assert book.record_stage(conn, kept, stage, "backend:police", {}, NOW + 5 * S)
        book.split(conn, kept, two.id, "operator:Ani", NOW + 6 * S)
        assert book.record_stage(conn, kept, "closed", "operator:Ani", {"disposition": "genuine"}, NOW + 7 * S)
    with store.read() as conn:
        assert [event.kind for event in history(conn, kept)][-1] == "closed"
        assert differences(conn, kept) == []  # rows are what the events say


def test_the_outbox_claims_in_order_and_once(store: Store) -> None:
    with store.write() as conn:
        device = add_device(conn, name="till", now_us=NOW)
        for name in ("i1", "i2"):
            values = {"id": name, "device_id": device.id, "state": "open", "opened_at": NOW, "changed_at": NOW}
            conn.execute(schema.incidents.insert().values(**values))

        def add(destination: str, incident: str, at: int) -> str:
            about = {"destination": destination, "incident_id": incident, "kind": "x", "payload": {"data": {}}}
            return rows.enqueue(conn, **about, now_us=at)

        old, after = add("backend:police", "i1", NOW), add("backend:police", "i1", NOW)
        fresh = add("backend:police", "i2", NOW + 3600 * S)
        button = add("device:0000a1b2", "i1", NOW)
    now = NOW + 3600 * S
    with store.read() as conn:
        assert rows.due(conn, prefix="backend:police", now_us=now, limit=5) == [fresh, old]
        assert rows.due(conn, prefix="device:", now_us=now, limit=5) == [button]
        assert rows.next_at(conn, prefix="device:", now_us=NOW - 1) == NOW
    claimed: list[str] = []

    def claim() -> None:
        with store.write() as conn:
            claimed.extend(each.id for each in rows.claim(conn, [fresh, old], now_us=now, lease_us=S))

    threads = [threading.Thread(target=claim) for _ in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert sorted(claimed) == sorted([fresh, old])
    with store.write() as conn:
        assert rows.finish(conn, old, now_us=now)
        rows.not_begun(conn, [fresh])
        rows.set_silence(conn, "backend:police", "no answer", now)
        rows.set_silence(conn, "backend:police", "still none", now + 1)
        assert set(rows.due(conn, prefix="backend:police", now_us=now, limit=5)) == {fresh, after}
        (one,) = amiss.listed(conn, now, {"backend:police": 20.0, "device:": 1e9})
        assert one["destination"] == "backend:police"


def test_an_alarm_in_a_transaction_that_dies_is_not_half_there(store: Store) -> None:
    def dies() -> None:
        with store.write() as conn:
            device = add_device(conn, name="till", now_us=NOW)
            Book([], "test").take_alarm(conn, device, Header(ALARM, 0, device.id, 1, 1), Alarm(1), NOW)
            raise KeyError

    with pytest.raises(KeyError):
        dies()
    with store.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(schema.devices)).scalar_one() == 0


def test_a_gateway_on_it_takes_alarms_and_outlives_its_death(tmp_path: Path) -> None:
    """No receipt while the database is dead; and everything that was pressed meanwhile is in it afterwards."""
    cluster = Cluster()
    try:
        with lab(tmp_path, cluster.url("live")) as (_broker, gateway, new_button):
            gateway.start()
            gateway.wait_healthy()
            button = new_button("till")
            button.expect("receipt", button.press())
            cluster.kill()
            missed = button.press()
            wait_until(lambda: "store-fails" in gateway.health().get("problems", ()), "a gateway that says so")
            assert button.heard.empty()
            cluster.start()
            button.expect("receipt", missed)
            gateway.wait_healthy()
            assert [row["activation"] for row in gateway.rows(schema.alarms)] == [1, 2]
            assert gateway.stop() == 0
    finally:
        cluster.close()


def test_a_wrong_address_says_what_to_do(cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "sigap.toml"
    url = f"postgresql+psycopg://sigap@127.0.0.1:{cluster.port}/nothing"
    config.write_text(f'[store]\nurl = "{url}"\nmaster_key = "key"\n')
    command = [sys.executable, "-m", "sigap.cli", "incidents", "--config", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "nothing" in done.stderr
