"""The outbox at work on a real store; a test decides how its destinations behave, and judges by events."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.clock import now_us
from gateway.outbox import breaker, lane, rows
from gateway.outbox.engine import Outbox
from gateway.outbox.port import Delivery, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.store.engine import Store
from tests.unit.gateway.outbox_lab import (
    DONE,
    LIMIT_S,
    NOW,
    Told,
    at_once,
    counted,
    enqueue,
    lab_store,
    never,
    row_of,
    running,
    settled,
)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path, *[f"i{number}" for number in range(1, 41)]) as store:
        yield store


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", 0.05)


def test_a_dead_destination_delays_no_other(store: Store) -> None:
    """The dead one has every place taken and never answers; the other gets all its forty meanwhile."""

    async def check() -> None:
        dead, well = Told("backend:dead", never), Told("backend:well", at_once)
        for number in range(1, 41):
            enqueue(store, "backend:dead", f"i{number}")
        ids = [enqueue(store, "backend:well", f"i{number}") for number in range(1, 41)]
        async with running(store, dead, well):
            await dead.until(lambda: len(dead.attempts) == dead.concurrency)
            await settled(store, *ids)
            assert dead.done == []
            assert len(dead.attempts) == dead.concurrency
        assert (dead.closed, well.closed) == (True, True)

    asyncio.run(check())


def test_one_incident_is_told_in_order_while_others_go_on(store: Store) -> None:
    async def check() -> None:
        first, second = enqueue(store, "backend:police"), enqueue(store, "backend:police")
        other = enqueue(store, "backend:police", "i2")
        may = asyncio.Event()

        async def behave(delivery: Delivery) -> Outcome:
            fails = delivery.id == first and not may.is_set()
            return Outcome(done=False, error="not yet", reached=True) if fails else DONE

        police = Told("backend:police", behave)
        async with running(store, police):
            await police.until(lambda: sum(d.id == first for d in police.attempts) > 3)
            await settled(store, other)
            assert second not in [d.id for d in police.attempts]
            may.set()
            await settled(store, first, second)
        assert police.done == [other, first, second]

    asyncio.run(check())


def test_a_wake_up_from_any_thread_is_heard_before_the_next_look(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "LOOK_EVERY_S", 3600.0)

    async def check() -> None:
        police = Told("backend:police", at_once)
        async with running(store, police) as outbox:
            await settled(store, enqueue(store, "backend:police"))  # it is up, and now idle for an hour

            def writer() -> None:
                for number in range(2, 22):
                    enqueue(store, "backend:police", f"i{number}")
                    outbox.wake()

            await asyncio.to_thread(writer)
            await police.until(lambda: len(police.attempts) == 21)
        outbox.wake()  # after the end: nothing happens

    asyncio.run(check())


def test_the_outbox_works_in_threads_of_its_own(store: Store) -> None:
    async def check() -> None:
        seen: list[str] = []

        async def behave(_: Delivery) -> Outcome:
            return Outcome(done=True, effect=lambda _conn: seen.append(threading.current_thread().name))

        async with running(store, Told("backend:police", behave)):
            await settled(store, enqueue(store, "backend:police"))
        assert [name.startswith("outbox") for name in seen] == [True]

    asyncio.run(check())


def test_a_destination_that_is_down_is_probed_one_at_a_time_and_then_gets_everything(store: Store) -> None:
    async def check() -> None:
        up = asyncio.Event()
        under_way = most = 0

        async def behave(_: Delivery) -> Outcome:
            nonlocal under_way, most
            under_way += 1
            most = max(most, under_way) if police.breaker_is_open() else most
            await asyncio.sleep(0)
            under_way -= 1
            return DONE if up.is_set() else Outcome(done=False, error="no connection")

        class Police(Told):
            def breaker_is_open(self) -> bool:
                return outbox._lanes[0].breaker.is_open

        # Its own schedule would try again in half a minute; the probe comes before, and brings the rest.
        police = Police("backend:police", behave, RetryPolicy(first_s=30, jitter=0))
        ids = [enqueue(store, "backend:police", f"i{number}") for number in range(1, 21)]
        async with running(store, police) as outbox:
            await police.until(lambda: len(police.attempts) > 24)
            health = await asyncio.to_thread(outbox.health)
            assert (health["ok"], health["waiting"][0]["state"]) == (False, "down")
            assert health["waiting"][0]["last_error"] == "no connection"
            up.set()
            await settled(store, *ids)
            assert (await asyncio.to_thread(outbox.health)) == {"ok": True, "waiting": []}
        assert most == 1

    asyncio.run(check())


def test_what_deliver_raises_and_what_never_ends_are_failed_attempts(store: Store) -> None:
    async def check() -> None:
        async def behave(delivery: Delivery) -> Outcome:
            if delivery.attempts == 1:
                raise ZeroDivisionError("a mistake of ours")
            if delivery.attempts == 2:
                await asyncio.Event().wait()
            return DONE

        police = Told("backend:police", behave)
        police.limit_s = 0.05
        delivery_id = enqueue(store, "backend:police")
        async with running(store, police):
            await police.until(lambda: len(police.attempts) == 2)
            assert "ZeroDivisionError: a mistake of ours" in row_of(store, delivery_id).last_error
            await police.until(lambda: len(police.attempts) == 3)
            await settled(store, delivery_id)

    asyncio.run(check())


def test_a_broken_effect_keeps_its_delivery_and_takes_no_other_down(store: Store) -> None:
    async def check() -> None:
        broken = enqueue(store, "backend:police", "i1")
        ids = [enqueue(store, "backend:police", f"i{number}") for number in range(2, 20)]

        def breaks(conn: sa.Connection) -> None:
            rows.count(conn, "half")
            raise KeyError("no such thing")

        async def behave(delivery: Delivery) -> Outcome:
            return Outcome(done=True, effect=breaks if delivery.id == broken else None)

        police = Told("backend:police", behave)
        async with running(store, police):
            await settled(store, *ids)
            await police.until(lambda: sum(d.id == broken for d in police.attempts) > 2)
        assert row_of(store, broken).state == "pending"
        assert "no such thing" in row_of(store, broken).last_error
        assert "half" not in counted(store)

    asyncio.run(check())


def test_an_effect_may_enqueue_and_that_is_delivered_at_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "LOOK_EVERY_S", 3600.0)

    async def check() -> None:
        def effect(conn: sa.Connection) -> None:
            rows.enqueue(
                conn,
                destination="device:0000a1b2",
                incident_id="i1",
                kind="status",
                payload={},
                now_us=now_us(),
            )

        async def behave(_: Delivery) -> Outcome:
            return Outcome(done=True, effect=effect)

        police, device = Told("backend:police", behave), Told("device:", at_once)
        enqueue(store, "backend:police")
        async with running(store, police, device):
            await device.until(lambda: len(device.attempts) == 1)

    asyncio.run(check())


@pytest.mark.parametrize("sole", [True, False])
def test_work_that_a_dead_process_had_claimed_is_done_again(store: Store, sole: bool) -> None:
    async def check() -> None:
        delivery_id = enqueue(store, "backend:police")
        lease_us = 3_600_000_000 if sole else 300_000
        with store.write() as conn:
            rows.claim(conn, [delivery_id], now_us=now_us(), lease_us=lease_us)
        police = Told("backend:police", at_once)
        async with running(store, police, sole=sole):
            await settled(store, delivery_id)
        assert [(d.id, d.attempts) for d in police.attempts] == [(delivery_id, 2)]

    asyncio.run(check())


def test_a_pause_that_was_asked_for_is_kept_and_bounded(store: Store) -> None:
    async def check() -> None:
        async def behave(_: Delivery) -> Outcome:
            return Outcome(done=False, error="it answered 429", retry_after_s=86_400)

        police = Told("backend:police", behave)
        first = enqueue(store, "backend:police")
        async with running(store, police) as outbox:
            await police.until(lambda: len(police.attempts) == 1)
            async with asyncio.timeout(LIMIT_S):
                while (error := (await asyncio.to_thread(row_of, store, first)).last_error) is None:
                    await asyncio.sleep(0.01)
            assert error == "it answered 429"
            assert 50 < outbox._lanes[0].breaker.wait_s() <= 60
            wait_us = row_of(store, first).next_at - now_us()
            assert 50_000_000 < wait_us <= 60_000_000
            outbox.retry_now("backend:police")
            await police.until(lambda: len(police.attempts) == 2)

    asyncio.run(check())


def test_a_destination_that_nobody_serves_is_kept_and_said_loudly(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    async def check() -> None:
        lost = enqueue(store, "backend:gone", now_us=NOW)
        known = enqueue(store, "backend:police", now_us=NOW)
        async with running(store, Told("backend:police", at_once)) as outbox:
            await settled(store, known)
            async with asyncio.timeout(LIMIT_S):
                while "outbox.unknown_destination" not in await asyncio.to_thread(counted, store):
                    await asyncio.sleep(0.01)
            health = await asyncio.to_thread(outbox.health)
        assert row_of(store, lost).state == "pending"
        assert [(w["destination"], w["state"]) for w in health["waiting"]] == [("backend:gone", "unknown")]
        assert health["ok"] is False

    asyncio.run(check())
    assert any("backend:gone" in r.message for r in caplog.records if r.levelno == logging.ERROR)


def test_a_delivery_that_is_refused_for_long_becomes_loud(store: Store, caplog: pytest.LogCaptureFixture) -> None:
    async def check() -> None:
        async def refuse(_: Delivery) -> Outcome:
            return Outcome(done=False, error="it answered 422", reached=True)

        police = Told("backend:police", refuse)
        enqueue(store, "backend:police")
        async with running(store, police) as outbox:
            await police.until(lambda: len(police.attempts) == 6)
            health = await asyncio.to_thread(outbox.health)
        assert health["waiting"][0]["state"] == "loud"  # it is there, so it is not down
        assert counted(store)["outbox.shouts.backend:police"] >= 3

    asyncio.run(check())
    [line] = [r.message for r in caplog.records if "after 3 attempts" in r.message]
    assert line == "backend:police has not been told of incident i1 after 3 attempts: it answered 422"


def test_two_destinations_may_not_serve_one_name(store: Store) -> None:
    for names in (("backend:a", "backend:a"), ("device:", "device:01")):
        with pytest.raises(ValueError, match="two destinations"):
            Outbox(store, [Told(name, at_once) for name in names])
