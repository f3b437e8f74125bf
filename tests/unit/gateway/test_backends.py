"""What all kinds of backend share: the checklist names real tests, the sample is a real event, silence is shown, what
is late waits behind what is fresh, and whose acceptance counts."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import sqlalchemy as sa

from gateway.backends.kinds import KINDS
from gateway.backends.quality import MISBEHAVIOURS, Quality
from gateway.backends.sample import sample_alarm
from gateway.desk import told
from gateway.incidents.book import Book
from gateway.incidents.cloudevents import incident_data
from gateway.incidents.events import history
from gateway.outbox import amiss, rows
from gateway.outbox.port import LATE_AFTER_S, Delivery, Outcome, Report
from gateway.outbox.retry import RetryPolicy
from gateway.registry.devices import get_device
from gateway.store.engine import Store
from gateway.store.schema import deliveries, incidents
from panic_wire.frames import ALARM, Alarm, Header
from sigap import backends_page
from tests.unit.gateway.backend_lab import DATA
from tests.unit.gateway.outbox_lab import DEVICE, NOW, Told, at_once, enqueue, lab_store, running

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("misbehaviour", MISBEHAVIOURS)
def test_the_checklist_names_tests_that_there_are(kind: str, misbehaviour: str) -> None:
    said = KINDS[kind].quality.tested[misbehaviour]
    if not Quality.is_test(said):
        assert len(said.split()) > 3, "say why it cannot happen"
        return
    path, _, name = said.partition("::")
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


def test_the_page_is_made_of_the_checklists() -> None:
    assert backends_page.PAGE.read_text(encoding="utf-8") == backends_page.text(), "run `make generate`"


def test_a_checklist_is_whole() -> None:
    with pytest.raises(ValueError, match="slow"):
        Quality("a", "b", "c", (), {name: "for no reason at all" for name in MISBEHAVIOURS if name != "slow"})


def test_samples_have_the_members_of_a_real_event(tmp_path: Path) -> None:
    with lab_store(tmp_path) as store, store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        book = Book(["police"], "test")
        taken = book.take_alarm(conn, device, Header(ALARM, 0, DEVICE, 1, 1), Alarm(1), NOW)
        real = incident_data(conn, taken.incident_id, device, "opened")
    real.pop("held")
    real["other_incident"] = None
    for other in (DATA, sample_alarm("backend:police", "test", NOW, "i1", "closed").payload["data"]):
        assert set(other) == set(real)
        assert set(other["alarms"][0]) == set(real["alarms"][0])
        assert set(other["position"]) == set(real["position"])


class Supervised(Told):
    """A destination that reports what a test puts into `finds`, and fails where that is an exception."""

    supervised = True

    def __init__(self) -> None:
        super().__init__("backend:police", at_once, RetryPolicy())
        self.finds: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        self.broke = False

    async def attend(self, report: Report) -> None:
        if not self.broke:
            self.broke = True
            raise RuntimeError("unforeseen, once")
        while True:
            found = await self.finds.get()
            if isinstance(found, Exception):
                raise found
            await report(found)
            self.finds.task_done()


def test_a_backend_that_does_not_answer_is_a_trouble_without_an_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.engine.ATTEND_AGAIN_S", 0.01)

    async def run(store: Store) -> list[list[dict[str, Any]]]:
        destination, seen = Supervised(), []
        async with running(store, destination):
            for found in ("no answer", "no answer", "refused", None):
                destination.finds.put_nowait(found)
                await destination.finds.join()
                with store.read() as conn:
                    seen.append(amiss.listed(conn, NOW, {"backend:police": 20.0}))
        return seen

    with lab_store(tmp_path) as store:
        first, second, third, last = asyncio.run(run(store))
    assert first == second
    (one,) = first
    assert (one["destination"], one["late"], one["pending"], one["last_error"]) == (
        *("backend:police", True, 0, "no answer"),
    )
    assert third == [{**one, "last_error": "refused"}]  # since the first time
    assert last == []


def test_a_supervision_that_fails_unforeseen_is_a_trouble_until_it_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.outbox.engine.ATTEND_AGAIN_S", 0.01)

    def errors(store: Store) -> list[str]:
        with store.read() as conn:
            return [each["last_error"] for each in amiss.listed(conn, NOW, {"backend:police": 20.0})]

    async def until(store: Store, expected: list[str]) -> None:
        async with asyncio.timeout(10):
            while errors(store) != expected:
                await asyncio.sleep(0.01)

    async def run(store: Store) -> None:
        destination = Supervised()
        async with running(store, destination):
            await until(store, ["its supervision failed: RuntimeError: unforeseen, once"])
            destination.finds.put_nowait(None)
            await until(store, [])
            destination.finds.put_nowait(ValueError("again"))
            await until(store, ["its supervision failed: ValueError: again"])
            destination.supervised = False  # then nobody else says that it goes on
            destination.finds.put_nowait(ValueError("and again"))
            await until(store, [])

    with lab_store(tmp_path) as store:
        asyncio.run(run(store))


def test_the_silence_of_a_backend_that_was_taken_out_ends(tmp_path: Path) -> None:
    async def start(store: Store) -> None:
        other = Told("backend:other", at_once)
        other.supervised = True
        async with running(store, other, Told("backend:no-more-supervised", at_once)):
            await asyncio.sleep(0.1)

    with lab_store(tmp_path) as store:
        with store.write() as conn:
            for name in ("backend:police", "backend:other", "backend:no-more-supervised"):
                rows.set_silence(conn, name, "no answer", NOW)
        asyncio.run(start(store))
        with store.read() as conn:
            assert [each.destination for each in rows.silences(conn)] == ["backend:other"]


def test_after_three_hours_the_newest_goes_first_and_says_that_it_is_late(tmp_path: Path) -> None:
    """Of each incident in order; and an alarm of just now does not wait behind yesterday's."""
    hours, names = 3 * 3600 * 1_000_000, [f"i{number}" for number in range(4)]
    with lab_store(tmp_path, *names) as store:
        old = {name: enqueue(store, "backend:police", name, now_us=NOW + at) for at, name in enumerate(names[:3])}
        second = enqueue(store, "backend:police", "i2", now_us=NOW + 10)
        now = NOW + hours
        fresh = enqueue(store, "backend:police", "i3", now_us=now)
        elsewhere = [enqueue(store, f"device:{number:08x}", "i1", now_us=NOW - number) for number in range(2)]
        order = []
        for _ in range(6):
            with store.write() as conn:
                ids = rows.due(conn, prefix="backend:police", now_us=now, limit=1)
                claimed = rows.claim(conn, ids, now_us=now, lease_us=1)
                for each in claimed:
                    order.append((each.id, each.late_s(now)))
                    rows.finish(conn, each.id, now_us=now)
        with store.read() as conn:
            assert rows.due(conn, prefix="device:", now_us=now, limit=5) == elsewhere[::-1]
    late_s = hours // 1_000_000
    assert order == [
        (fresh, None),
        (old["i2"], late_s - 1),
        (second, late_s - 1),
        (old["i1"], late_s - 1),
        (old["i0"], late_s),
    ]


def test_what_is_due_is_found_by_its_index(tmp_path: Path) -> None:
    """With ten thousand that wait, one look reads a few rows."""
    values = {"now": NOW, "until": NOW, "limit": 8, "exact": "backend:police", "late": NOW - LATE_AFTER_S * 1_000_000}
    with lab_store(tmp_path, "i1") as store, store.read() as conn:
        for query in (rows.DUE_FRESH, rows.DUE_LATE):
            asked = sa.text("EXPLAIN QUERY PLAN " + query.replace("{match}", "d.destination = :exact"))
            plan = [row.detail for row in conn.execute(asked, values)]
            assert any("ix_deliveries_pending" in each for each in plan), plan
            assert not any("TEMP B-TREE" in each for each in plan), plan


ZONE = ZoneInfo("Asia/Jakarta")


def test_whose_acceptance_counts(tmp_path: Path) -> None:
    """A disaster agency's does not: the light says nothing by it, and the page shows it."""
    book = Book(["police", "arc", "bpbd"], "test", ["police", "arc"])
    with lab_store(tmp_path) as store, store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        incident = book.take_alarm(conn, device, Header(ALARM, 0, DEVICE, 1, 1), Alarm(1), NOW).incident_id

        def accepted(name: str) -> bool:
            return book.record_stage(
                conn, incident, "accepted", f"backend:{name}", {"reference": name.upper()}, NOW + 9
            )

        def to_the_button() -> list[str]:
            query = sa.select(deliveries.c.payload).where(deliveries.c.destination.like("device:%"))
            return list(conn.execute(query).scalars())

        def states() -> dict[str, Any]:
            found = told.backends(conn, incident, history(conn, incident), ZONE)
            return {each["name"]: (each["state"], each["reference"], each["amiss"]) for each in found}

        assert states() == dict.fromkeys(("arc", "bpbd", "police"), ("waiting", None, None))
        conn.execute(deliveries.update().values(state="done", done_at=NOW + 5))
        assert states() == dict.fromkeys(("arc", "bpbd", "police"), ("told", None, None))
        assert not accepted("bpbd")
        assert not conn.execute(sa.select(incidents.c.accepted)).scalar_one()
        assert to_the_button() == []
        assert accepted("arc")
        assert len(to_the_button()) == 1
        assert not accepted("police")
        assert not accepted("bpbd")  # again: kept once
        assert [each.kind for each in history(conn, incident)] == ["opened", "taken", "accepted", "taken"]
        assert states() == {name: ("accepted", name.upper(), None) for name in ("arc", "bpbd", "police")}
        lost = enqueue_in(conn, "backend:bpbd", incident)
        rows.give_up(conn, lost, now_us=NOW + 20, error="it answered 422")
        assert states()["bpbd"] == ("accepted", "BPBD", "dead")


def enqueue_in(conn: sa.Connection, destination: str, incident: str) -> str:
    about = {"destination": destination, "incident_id": incident, "kind": "x", "payload": {}}
    return rows.enqueue(conn, **about, now_us=NOW + 15)


def test_late_is_said_after_twenty_seconds() -> None:
    one = Delivery("d1", "backend:police", "i1", "x", {}, 1, NOW)
    assert one.late_s(NOW + LATE_AFTER_S * 1_000_000) is None
    assert one.late_s(NOW + (LATE_AFTER_S + 1) * 1_000_000) == LATE_AFTER_S + 1
    assert Outcome(done=True).error is None
