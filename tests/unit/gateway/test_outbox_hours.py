"""Hours of an outbox, in virtual time: who hangs, who is late, what is given up, and what it costs the others."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from gateway.outbox import amiss, breaker, engine, lane, rows
from gateway.outbox.engine import Outbox
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.supervision.troubles import CHANGES
from tests.unit.gateway.outbox_lab import DONE, Told, add_incident, at_once, counted, enqueue, lab_store, never, row_of
from tests.unit.gateway.virtual_loop import VirtualLoop, run_virtually

HOUR_S = 3600.0


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path, *[f"i{number}" for number in range(1, 41)]) as store:
        yield store


@pytest.fixture
def rare_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    """What happens by itself happens less often, so that hours cost seconds; commits wake the lanes all the same."""
    monkeypatch.setattr(lane, "LOOK_EVERY_S", 600.0)
    monkeypatch.setattr(engine, "WATCH_EVERY_S", 600.0)
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", 30.0)


@contextlib.asynccontextmanager
async def running(loop: VirtualLoop, store: Store, *destinations: Destination) -> AsyncIterator[Outbox]:
    outbox = Outbox(store, destinations, loop.clock_us)
    task = asyncio.create_task(outbox.run())
    await asyncio.sleep(1.0)
    try:
        yield outbox
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


class Timed(Told):
    """Keeps how long each delivery took from being written to being told, in virtual seconds."""

    def __init__(self, loop: VirtualLoop, prefix: str) -> None:
        super().__init__(prefix, self._take, RetryPolicy())
        self._loop, self.took_s = loop, []

    async def _take(self, delivery: Delivery) -> Outcome:
        self.took_s.append((self._loop.clock_us() - delivery.created_at) / 1e6)
        return DONE


@pytest.mark.usefixtures("rare_looks")
def test_a_destination_that_hangs_for_three_hours_costs_the_others_nothing(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        may = asyncio.Event()
        under_way = 0
        most_at_once = 0

        async def hang(_: Delivery) -> Outcome:
            nonlocal under_way, most_at_once
            under_way += 1
            most_at_once = max(most_at_once, under_way)
            try:
                await may.wait()
            finally:
                under_way -= 1
            return DONE

        hung = Told("backend:hung", hang, RetryPolicy())
        hung.limit_s = 15.0
        well, relatives = Timed(loop, "backend:well"), Timed(loop, "relative:")
        made: list[str] = []
        async with running(loop, store, hung, well, relatives) as outbox:
            began = loop.now
            while loop.now - began < 3 * HOUR_S:
                number = 1000 + len(made)
                with store.write() as conn:
                    add_incident(conn, f"i{number}")
                made.append(enqueue(store, "backend:hung", f"i{number}", now_us=loop.clock_us()))
                for each in ("backend:well", "relative:7"):
                    enqueue(store, each, f"i{number}", now_us=loop.clock_us())
                outbox.wake()
                await asyncio.sleep(120.0)
            assert (len(made), len(well.done), len(relatives.done)) == (90, 90, 90)
            assert max(well.took_s + relatives.took_s) < 0.01
            assert most_at_once <= hung.concurrency
            assert len(hung.attempts) < 3 * HOUR_S / 30 + 20  # after the first failures one probe at a time
            with store.read() as conn:
                (late,) = amiss.listed(conn, loop.clock_us(), outbox.deadlines)
            assert (late["destination"], late["pending"], late["late"], late["dead"]) == ("backend:hung", 90, True, 0)
            # It is back, and the first thing that it is told is the alarm of this very moment.
            with store.write() as conn:
                add_incident(conn, "just-now")
            made.append(enqueue(store, "backend:hung", "just-now", now_us=loop.clock_us()))
            probe = hung.attempts[-1].id  # perhaps under way
            may.set()
            before = loop.now
            while len(hung.done) < 91:
                await asyncio.sleep(0.1)
            assert loop.now - before < 60
            # What is late comes after it, the newest first, and says so.
            assert [each for each in hung.done if each != probe] == [each for each in made[::-1] if each != probe]
            late = {each.id: each.late_s(loop.clock_us()) for each in hung.attempts}
            assert late[made[0]] >= 3 * HOUR_S
            assert set(hung.done) == set(made)
            # The same id at every attempt, and no delivery was forgotten, however long it hung.
            assert {each.id for each in hung.attempts} == set(made)

    run_virtually(check)


@pytest.mark.usefixtures("rare_looks")
def test_what_is_refused_for_an_hour_is_a_dead_letter_and_lets_the_next_pass(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        fixed = False

        async def behave(delivery: Delivery) -> Outcome:
            if delivery.id == bad and not fixed:
                return Outcome(done=False, error="it answered 422", reached=True, hopeless=True)
            return DONE

        police = Told("backend:police", behave, RetryPolicy())
        bad, after = (enqueue(store, "backend:police", now_us=loop.clock_us()) for _ in range(2))
        async with running(loop, store, police) as outbox:
            await asyncio.sleep(0.9 * HOUR_S)
            assert row_of(store, bad).state == "pending"
            assert police.done == []  # of one incident, in order
            await asyncio.sleep(0.2 * HOUR_S)
            assert (row_of(store, bad).state, row_of(store, after).state) == ("dead", "done")
            with store.read() as conn:
                (letter,) = rows.dead(conn, 10)
                assert amiss.listed(conn, loop.clock_us(), outbox.deadlines) == [
                    {
                        "destination": "backend:police",
                        "pending": 0,
                        "since": None,
                        "late": False,
                        "dead": 1,
                        "last_error": None,
                    }
                ]
            assert (letter.id, letter.last_error) == (bad, "it answered 422")
            assert counted(store)["outbox.dead.backend:police"] == 1
            fixed = True
            with store.write() as conn:
                assert rows.resend(conn, bad, now_us=loop.clock_us())
                assert not rows.resend(conn, after, now_us=loop.clock_us())  # it is done, and stays so
            outbox.wake()
            await asyncio.sleep(10)
            assert row_of(store, bad).state == "done"
            assert police.done == [after, bad]
            assert {each.id for each in police.attempts} == {bad, after}

    run_virtually(check)


@pytest.mark.usefixtures("rare_looks")
def test_nobody_there_is_no_reason_to_give_up_but_a_message_of_yesterday_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "PROBE_EVERY_S", HOUR_S)

    async def check(loop: VirtualLoop) -> None:
        async def fail(_: Delivery) -> Outcome:
            return Outcome(done=False, error="no connection")

        police = Told("backend:police", fail, RetryPolicy(first_s=HOUR_S, most_s=HOUR_S))
        relatives = Told("relative:", fail, RetryPolicy(first_s=HOUR_S, most_s=HOUR_S, lasts_s=24 * HOUR_S))
        alarm = enqueue(store, "backend:police", now_us=loop.clock_us())
        message = enqueue(store, "relative:1", now_us=loop.clock_us())
        async with running(loop, store, police, relatives):
            await asyncio.sleep(23 * HOUR_S)
            assert row_of(store, message).state == "pending"
            await asyncio.sleep(25 * HOUR_S)
            assert row_of(store, message).state == "dead"
            assert row_of(store, alarm).state == "pending"

    run_virtually(check)


def test_desks_are_told_when_somebody_begins_and_ends_to_be_late(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        may = asyncio.Event()

        async def behave(_: Delivery) -> Outcome:
            return DONE if may.is_set() else Outcome(done=False, error="no connection")

        police = Told("backend:police", behave, RetryPolicy())
        async with running(loop, store, police) as outbox:
            enqueue(store, "backend:police", now_us=loop.clock_us())
            outbox.wake()
            await asyncio.sleep(15)
            assert counted(store).get(CHANGES, 0) == 0
            await asyncio.sleep(10)
            assert counted(store)[CHANGES] == 1
            may.set()
            await asyncio.sleep(40)
            assert counted(store)[CHANGES] == 2

    run_virtually(check)


def test_the_clock_an_hour_forward_and_back_stops_and_kills_nothing(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        shift_s = 0.0

        async def refuse_once(delivery: Delivery) -> Outcome:
            if delivery.attempts == 1:
                return Outcome(done=False, error="it answered 422", reached=True, hopeless=True)
            return DONE

        def clock() -> int:
            return loop.clock_us() + int(shift_s * 1e6)

        police = Told("backend:police", refuse_once, RetryPolicy())
        outbox = Outbox(store, [police], clock)
        task = asyncio.create_task(outbox.run())
        await asyncio.sleep(1.0)
        made: list[str] = []
        for number, shifted_s in enumerate((0.0, HOUR_S, 0.0, -HOUR_S, 0.0), 1):
            shift_s = shifted_s
            made += [enqueue(store, "backend:police", f"i{each}", now_us=clock()) for each in (1, number + 1)]
            outbox.wake()
            await asyncio.sleep(0.5)  # first attempts are refused under the old clock, second ones come under the new
        await asyncio.sleep(10)
        assert {row_of(store, each).state for each in made} == {"done"}
        same = [each for each in police.done if each in made[0::2]]
        assert same == made[0::2]  # one incident, in the order in which it was written
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run_virtually(check)


def test_an_orderly_end_gives_its_leases_back(store: Store) -> None:
    """Another process, or the next one, goes on at once; after a kill it waits for the lease to run out."""

    async def check(loop: VirtualLoop) -> None:
        delivery_id = enqueue(store, "backend:police", now_us=loop.clock_us())
        police = Told("backend:police", never)
        async with running(loop, store, police):
            assert row_of(store, delivery_id).leased_until > loop.clock_us()
        assert row_of(store, delivery_id).leased_until is None

    run_virtually(check)


def test_a_worker_that_no_commit_wakes_looks_often_and_what_is_elsewhere_is_none_of_its_business(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        police = Timed(loop, "backend:police")
        outbox = Outbox(store, [police], loop.clock_us, elsewhere=("device:",), look_every_s=0.1)
        task = asyncio.create_task(outbox.run())
        await asyncio.sleep(7.05)
        enqueue(store, "backend:police", now_us=loop.clock_us())
        enqueue(store, "device:0000a1b2", "i2", now_us=loop.clock_us())
        await asyncio.sleep(30)
        assert police.took_s
        assert max(police.took_s) <= 0.11
        assert "outbox.unknown_destination" not in counted(store)
        assert (await asyncio.to_thread(outbox.health)) == {"ok": True, "waiting": []}
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    run_virtually(check)


def test_two_processes_drop_only_their_own_leases(store: Store) -> None:
    async def check(loop: VirtualLoop) -> None:
        to_device = enqueue(store, "device:0000a1b2", now_us=loop.clock_us())
        with store.write() as conn:
            rows.claim(conn, [to_device], now_us=loop.clock_us(), lease_us=60_000_000)
        async with running(loop, store, Told("backend:police", at_once)):
            assert row_of(store, to_device).leased_until is not None

    run_virtually(check)


def test_a_store_that_is_locked_at_the_start_is_waited_for(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another process commits one alarm after the other just then: the outbox does not end, and its gateway with it."""
    locked = [StoreProblem("the store is locked by another process", "End that process")] * 3
    take_over = Outbox._take_over

    def take_over_when_free(outbox: Outbox) -> None:
        if locked:
            raise locked.pop()
        take_over(outbox)

    monkeypatch.setattr(Outbox, "_take_over", take_over_when_free)

    async def check(loop: VirtualLoop) -> None:
        delivery_id = enqueue(store, "backend:police", now_us=loop.clock_us())
        async with running(loop, store, Told("backend:police", at_once)):
            await asyncio.sleep(5)
        assert row_of(store, delivery_id).state == "done"

    run_virtually(check)
