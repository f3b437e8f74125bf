"""What happens to a row of the outbox, against a real store."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.outbox import rows
from gateway.store.engine import Store
from gateway.store.schema import deliveries
from tests.unit.gateway.outbox_lab import NOW, counted, enqueue, lab_store, row_of

LEASE_US = 30_000_000


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path, "i1", "i2") as store:
        yield store


def due(store: Store, prefix: str, now_us: int = NOW, **more: bool) -> list[str]:
    with store.read() as conn:
        return rows.due(conn, prefix=prefix, now_us=now_us, limit=10, **more)


def claim(store: Store, *ids: str, now_us: int = NOW) -> list[str]:
    with store.write() as conn:
        return [d.id for d in rows.claim(conn, ids, now_us=now_us, lease_us=LEASE_US)]


def test_a_claimed_delivery_is_whole_and_counts_its_attempt(store: Store) -> None:
    delivery_id = enqueue(store, "backend:police", text="Jalan Pemuda “12” 🚨")
    with store.write() as conn:
        [delivery] = rows.claim(conn, [delivery_id], now_us=NOW, lease_us=LEASE_US)
    assert (delivery.id, delivery.destination, delivery.incident_id) == (delivery_id, "backend:police", "i1")
    assert delivery.payload["text"] == "Jalan Pemuda “12” 🚨"
    assert (delivery.attempts, delivery.created_at) == (1, NOW)


def test_a_lease_keeps_others_away_until_it_runs_out(store: Store) -> None:
    delivery_id = enqueue(store, "backend:police")
    assert claim(store, delivery_id) == [delivery_id]
    assert due(store, "backend:police") == []
    assert claim(store, delivery_id) == []
    after = NOW + LEASE_US
    with store.read() as conn:
        assert rows.next_at(conn, prefix="backend:police", now_us=NOW) == after
    assert due(store, "backend:police", after) == [delivery_id]
    assert claim(store, delivery_id, now_us=after) == [delivery_id]
    assert row_of(store, delivery_id).attempts == 2


def test_one_incident_is_told_in_order_even_when_the_clock_was_set_back(store: Store) -> None:
    first = enqueue(store, "backend:police", now_us=NOW)
    second = enqueue(store, "backend:police", now_us=NOW - 3_600_000_000)
    other = enqueue(store, "backend:police", "i2", now_us=NOW)
    elsewhere = enqueue(store, "backend:polda", now_us=NOW)
    assert set(due(store, "backend:police")) == {first, other}
    assert due(store, "backend:polda") == [elsewhere]
    claim(store, first)
    assert due(store, "backend:police") == [other]
    with store.write() as conn:
        assert rows.finish(conn, first, now_us=NOW)
    assert set(due(store, "backend:police")) == {second, other}


def test_what_follows_from_success_happens_once_and_with_it(store: Store) -> None:
    delivery_id = enqueue(store, "backend:police")

    def effect(conn: sa.Connection) -> None:
        rows.count(conn, "effects")

    def breaks(conn: sa.Connection) -> None:
        effect(conn)
        raise KeyError("broken")

    with pytest.raises(KeyError), store.write() as conn:
        rows.finish(conn, delivery_id, now_us=NOW, effect=breaks)
    assert row_of(store, delivery_id).state == "pending"
    assert counted(store) == {}
    for expected in (True, False):
        with store.write() as conn:
            assert rows.finish(conn, delivery_id, now_us=NOW, effect=effect) is expected
    assert counted(store) == {"effects": 1}
    assert row_of(store, delivery_id).done_at == NOW


def test_a_failed_delivery_waits_and_says_why(store: Store) -> None:
    delivery_id = enqueue(store, "backend:police")
    claim(store, delivery_id)
    with store.write() as conn:
        rows.retry_later(conn, delivery_id, next_at=NOW + 5, error="x" * 9000)
    assert due(store, "backend:police") == []
    assert due(store, "backend:police", early=True) == [delivery_id]
    assert due(store, "backend:police", NOW + 5) == [delivery_id]
    assert len(row_of(store, delivery_id).last_error) == rows.LAST_ERROR_LIMIT
    with store.write() as conn:
        assert rows.retry_now(conn, prefix="backend:police", now_us=NOW) == 1
    assert due(store, "backend:police") == [delivery_id]


def test_a_prefix_finds_its_destinations_and_no_others(store: Store) -> None:
    names = ["device:0000a1b2", "device:ffffffff", "device", "devices:1", "device;1", "backend:police"]
    ids = {name: enqueue(store, name) for name in names}
    assert set(due(store, "device:")) == {ids["device:0000a1b2"], ids["device:ffffffff"]}
    assert due(store, "device") == [ids["device"]]
    assert due(store, "backend:pol") == []


def test_the_backlog_says_who_waits_for_what(store: Store) -> None:
    enqueue(store, "backend:police", now_us=NOW)
    failed = enqueue(store, "backend:police", "i2", now_us=NOW + 1)
    enqueue(store, "backend:gone", now_us=NOW + 2)
    claim(store, failed)
    with store.write() as conn:
        rows.retry_later(conn, failed, next_at=NOW + 9, error="it answered 500")
    with store.read() as conn:
        police, gone = rows.backlog(conn)
    assert police == rows.Backlog("backend:police", 2, NOW, 1, "it answered 500")
    assert (gone.destination, gone.pending, gone.last_error) == ("backend:gone", 1, None)


def test_ids_are_uuid_version_7_in_the_order_of_the_calls() -> None:
    ids = [rows.new_id(NOW - step) for step in range(500)]  # the clock runs backwards
    assert ids == sorted(ids)
    assert len(set(ids)) == 500
    assert {uuid.UUID(each).version for each in ids} == {7}
    assert {uuid.UUID(each).variant for each in ids} == {uuid.RFC_4122}


class Deliveries(RuleBasedStateMachine):
    """Enqueue, claim, succeed, fail, crash, with a clock that jumps: each is done once, and in order."""

    @initialize()
    def open(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.context = lab_store(Path(self.folder.name), "i1", "i2")
        self.store = self.context.__enter__()
        self.now = NOW
        self.held: list[str] = []
        self.made: dict[tuple[str, str], list[str]] = {}
        self.done: dict[tuple[str, str], list[str]] = {}

    @rule(incident=st.sampled_from(["i1", "i2"]), destination=st.sampled_from(["backend:a", "device:01"]))
    def enqueue(self, incident: str, destination: str) -> None:
        made = enqueue(self.store, destination, incident, now_us=self.now)
        self.made.setdefault((incident, destination), []).append(made)

    @rule(prefix=st.sampled_from(["backend:a", "device:"]), early=st.booleans())
    def claim(self, prefix: str, early: bool) -> None:
        ids = due(self.store, prefix, self.now, early=early)
        self.held += claim(self.store, *ids, now_us=self.now)

    @rule(step_us=st.integers(-40_000_000, 40_000_000))
    def the_clock_moves(self, step_us: int) -> None:
        self.now += step_us

    @rule(data=st.data())
    def succeed(self, data: st.DataObject) -> None:
        """Also one whose lease has run out and that another has claimed: only the first has an effect."""
        if self.held:
            one = data.draw(st.sampled_from(self.held))
            row = row_of(self.store, one)

            def effect(_: sa.Connection) -> None:
                self.done.setdefault((row.incident_id, row.destination), []).append(one)

            with self.store.write() as conn:
                rows.finish(conn, one, now_us=self.now, effect=effect)
            self.held.remove(one)

    @rule(data=st.data(), wait_us=st.integers(0, 30_000_000))
    def fail(self, data: st.DataObject, wait_us: int) -> None:
        if self.held:
            one = data.draw(st.sampled_from(self.held))
            with self.store.write() as conn:
                rows.retry_later(conn, one, next_at=self.now + wait_us, error="failed")
            self.held.remove(one)

    @rule()
    def crash_and_start(self) -> None:
        self.held.clear()
        with self.store.write() as conn:
            rows.drop_leases(conn)

    @invariant()
    def each_was_done_once_and_in_order(self) -> None:
        for key, done in getattr(self, "done", {}).items():
            assert done == self.made[key][: len(done)]

    def teardown(self) -> None:
        if not hasattr(self, "store"):
            return
        try:  # whatever happened: a far future finds everything that is left
            self.crash_and_start()
            self.now = NOW + 10**15
            while any(len(self.done.get(key, [])) < len(made) for key, made in self.made.items()):
                self.claim("backend:a", False)
                self.claim("device:", False)
                for one in list(self.held):
                    row = row_of(self.store, one)
                    with self.store.write() as conn:
                        rows.finish(conn, one, now_us=self.now)
                    self.done.setdefault((row.incident_id, row.destination), []).append(one)
                    self.held.remove(one)
            with self.store.read() as conn:
                left = conn.execute(sa.select(deliveries).where(deliveries.c.state != "done")).all()
            assert left == []
            self.each_was_done_once_and_in_order()
        finally:
            self.context.__exit__(None, None, None)
            self.folder.cleanup()


TestDeliveries = Deliveries.TestCase
TestDeliveries.settings = settings(max_examples=15, stateful_step_count=30, deadline=None)
