"""What an outbox claims ahead of its attempts: much where they end quickly, and nothing that waits or is forgotten."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.outbox import lane, rows
from gateway.outbox.port import Delivery, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.outbox.writes import BATCH
from gateway.store.engine import Store
from tests.unit.gateway.outbox_lab import DONE, NOW, Told, add_incident, at_once, enqueue, lab_store, row_of, running

MANY = 400


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path, "i1") as made:
        yield made


def written(store: Store, number: int) -> list[str]:
    """So many deliveries, of an incident each, in one commit."""
    ids = []
    with store.write() as conn:
        for each in range(number):
            add_incident(conn, f"n{each}")
            about = {"destination": "backend:police", "incident_id": f"n{each}", "kind": "x", "payload": {}}
            ids.append(rows.enqueue(conn, **about, now_us=NOW + each))
    return ids


def test_pace_is_what_ended_lately() -> None:
    now = 0.0
    pace = lane.Pace(lambda: now)
    for _ in range(30):
        pace.ended()
    assert pace.ahead() == 0
    now = 0.2
    assert pace.ahead() == 15
    now = 0.25
    assert pace.ahead() == 15
    now = 10.0
    assert pace.ahead() == 0
    for _ in range(100_000):
        pace.ended()
    now = 10.2
    assert pace.ahead() == BATCH


def test_a_quick_destination_is_claimed_for_by_the_batch(store: Store) -> None:
    sizes: list[int] = []
    claim = rows.claim

    def counting(conn, ids, **more):  # pyright: ignore[reportMissingParameterType]
        sizes.append(len(ids))
        return claim(conn, ids, **more)

    async def check() -> None:
        police = Told("backend:police", at_once, RetryPolicy())
        ids = written(store, MANY * 5)
        async with running(store, police):
            await police.until(lambda: len(police.attempts) >= len(ids))
        assert len(police.attempts) == len(set(police.done)) == len(ids)  # each once

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rows, "claim", counting)
        asyncio.run(check())
    assert max(sizes) > Told.concurrency
    assert max(sizes) <= BATCH


def test_what_was_claimed_ahead_of_one_that_goes_away_is_given_back_untried(store: Store) -> None:
    async def check() -> None:
        gone = False

        async def behave(_: Delivery) -> Outcome:
            await asyncio.sleep(0)
            return Outcome(done=False, error="gone") if gone else DONE

        police = Told("backend:police", behave, RetryPolicy(first_s=60.0, most_s=60.0))
        ids = written(store, MANY)
        async with running(store, police) as _:
            await police.until(lambda: len(police.done) >= MANY // 2)
            gone = True
            await asyncio.sleep(0.5)  # five failures, which take a moment
            left = [row_of(store, each) for each in ids if each not in police.done]
            tried = {each.id for each in police.attempts}
            # Nothing that was not begun holds a lease or counts an attempt.
            assert [row.id for row in left if row.id not in tried and (row.leased_until or row.attempts)] == []
            assert any(row.id not in tried for row in left)

    asyncio.run(check())


def test_what_is_given_back_at_the_end_comes_again(store: Store) -> None:
    async def check() -> None:
        ids = written(store, MANY)
        told: list[str] = []
        for _ in range(MANY):
            police, wanted = Told("backend:police", at_once, RetryPolicy()), min(40, MANY - len(set(told)))
            async with running(store, police):
                await police.until(lambda police=police, wanted=wanted: len(police.attempts) >= wanted)
            told += police.done
            if len(set(told)) == MANY:
                break
        assert set(told) == set(ids)

    asyncio.run(check())


def test_a_commit_wakes_whom_it_is_for_and_nobody_else(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lane, "LOOK_EVERY_S", 60.0)
    woken: list[str] = []
    wake = lane.Lane.wake

    def noting(self: lane.Lane) -> None:
        woken.append(self.destination.prefix)
        wake(self)

    monkeypatch.setattr(lane.Lane, "wake", noting)

    async def check() -> None:
        police, devices = Told("backend:police", at_once), Told("device:", at_once)
        async with running(store, police, devices) as outbox:
            await asyncio.sleep(0.2)
            mine = await asyncio.to_thread(enqueue, store, "device:0000a1b2")
            await devices.until(lambda: devices.done == [mine])
            assert set(woken) == {"device:"}
            # What was rolled back wakes nobody, now or with the next commit.
            woken.clear()

            def undone() -> None:
                with store.write() as conn:
                    about = {"incident_id": "i1", "kind": "x", "payload": {}, "now_us": 1}
                    rows.enqueue(conn, destination="backend:police", **about)
                    raise KeyError

            with pytest.raises(KeyError):
                await asyncio.to_thread(undone)
            await asyncio.to_thread(enqueue, store, "device:0000a1b2")
            await devices.until(lambda: len(devices.done) == 2)
            assert set(woken) == {"device:"}
            outbox.wake()
            await asyncio.sleep(0.05)
            assert set(woken) == {"device:", "backend:police"}

    asyncio.run(check())
