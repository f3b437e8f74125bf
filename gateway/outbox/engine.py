"""Tells every destination what it must be told: at least once, and each one on its own."""

from __future__ import annotations

import asyncio
import logging
import random
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError, SQLAlchemyError

from gateway.clock import Clock, now_us
from gateway.outbox import amiss, rows
from gateway.outbox.lane import STORE_RETRY_S, Lane
from gateway.outbox.port import Destination
from gateway.outbox.writes import Writes
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.supervision.troubles import CHANGES

log = logging.getLogger("sigap.outbox")

WATCH_EVERY_S = 2.0
SHOUT_EVERY_S = 10.0
ATTEND_AGAIN_S = 10.0  # after a supervision that failed unforeseen
THREADS = 4
MOST_UNKNOWN = 100  # names remembered as already counted


class Outbox:
    """Runs one worker (a Lane) for each destination.

    destinations: see gateway.outbox.port; no two may serve one name. sole: no other process works on these
    destinations, so leases found at the start belong to a dead one and are dropped at once (by default: SQLite);
    otherwise they run out. A delivery whose destination nobody serves stays pending and is shouted about; `elsewhere`
    names those that another process serves. look_every_s: for a process that no commit wakes.
    """

    def __init__(
        self,
        store: Store,
        destinations: Iterable[Destination],
        clock: Clock = now_us,
        *,
        sole: bool | None = None,
        chance: Callable[[], float] = random.random,
        elsewhere: Iterable[str] = (),
        look_every_s: float | None = None,
    ) -> None:
        self._destinations = list(destinations)
        prefixes = [destination.prefix for destination in self._destinations]
        for name in prefixes:
            if any(name.startswith(p) for p in prefixes if p.endswith(":") and p is not name):
                raise ValueError(f"two destinations serve {name}")
        if len(set(prefixes)) != len(prefixes):
            raise ValueError(f"two destinations have one name: {sorted(prefixes)}")
        self._store, self._clock, self._chance = store, clock, chance
        self._sole = store.is_sqlite if sole is None else sole
        self._elsewhere, self._look_every_s = tuple(elsewhere), look_every_s
        self._loop: asyncio.AbstractEventLoop | None = None
        self._lanes: list[Lane] = []
        self._woken = False
        self._waiting: set[str] = set()  # destinations that something was committed for since the loop looked
        self._waiting_lock = threading.Lock()
        self._unknown: set[str] = set()
        self._amiss: set[str] = set()

    @property
    def deadlines(self) -> dict[str, float]:
        """How long a delivery may wait before it is a trouble on the desk: seconds by prefix."""
        return {each.prefix: each.policy.deadline_s for each in self._destinations}

    async def run(self) -> None:
        """Work until cancelled; closes the destinations at the end."""
        loop = asyncio.get_running_loop()
        with ThreadPoolExecutor(THREADS, thread_name_prefix="outbox") as threads:
            writes = Writes(self._store, threads)
            self._lanes = [
                Lane(each, self._store, writes, threads, self._clock, self._chance, self._look_every_s)
                for each in self._destinations
            ]
            try:
                await self._take_over_patiently(threads)
                async with asyncio.TaskGroup() as group:
                    group.create_task(writes.run(), name="outbox writes")
                    for lane in self._lanes:
                        group.create_task(lane.run(), name=f"outbox {lane.destination.prefix}")
                        group.create_task(self._attend(lane.destination, writes), name="outbox supervision")
                    group.create_task(self._watch(threads), name="outbox watch")
                    self._loop = loop  # from here on wake() reaches the lanes; before, they look by themselves
                    self._store.on_enqueued = self._enqueued
            finally:
                held = {each for lane in self._lanes for each in lane.held}
                self._store.on_enqueued = None
                self._loop, self._lanes = None, []
                if held:
                    await loop.run_in_executor(threads, self._give_back, held)
                for destination in self._destinations:
                    await destination.close()

    def wake(self) -> None:
        """Something was enqueued and committed by another process: look at once. From any thread; many calls cost as
        one. What this process commits wakes whom it is for by itself."""
        self._call(self._wake_lanes, once=True)

    def _enqueued(self, destinations: set[str]) -> None:
        """Deliveries for these were committed. From any thread; what comes before the loop has looked costs as one."""
        with self._waiting_lock:
            is_first = not self._waiting
            self._waiting |= destinations
        if is_first:
            self._call(self._wake_those)

    def _wake_those(self) -> None:
        with self._waiting_lock:
            waiting, self._waiting = self._waiting, set()
        wanted = {self._served_by(name) for name in waiting}
        for lane in self._lanes:
            if lane.destination.prefix in wanted:
                lane.wake()

    def retry_now(self, prefix: str) -> None:
        """This destination is known to be back: what waits for it is due at once. From any thread."""

        def release() -> None:
            for lane in self._lanes:
                if lane.destination.prefix == prefix:
                    lane.retry_now()

        self._call(release)

    def health(self) -> dict[str, Any]:
        """What waits and for whom; reads the store, so call it in a thread.

        {"ok", "waiting": [{"destination", "pending", "oldest_s", "attempts", "last_error", "state"}]}; state:
        "ok", "paused", "down", "loud" (tried often, in vain) or "unknown" (nobody serves that destination).
        """
        with self._store.read() as conn:
            backlog = rows.backlog(conn)
        now = self._clock()
        lanes = {lane.destination.prefix: lane for lane in self._lanes}
        waiting, ok = [], True
        for each in backlog:
            if not self._is_unknown(each.destination) and self._served_by(each.destination) is None:
                continue  # another process's, which says so itself
            prefix = self._served_by(each.destination)
            destination = next((d for d in self._destinations if d.prefix == prefix), None)
            if destination is None:
                state = "unknown"
            else:
                state = lanes[destination.prefix].breaker.state if destination.prefix in lanes else "ok"
                if state != "down" and destination.policy.shouts(each.most_attempts):
                    state = "loud"
            ok = ok and state in ("ok", "paused")
            waiting.append(
                {
                    "destination": each.destination,
                    "pending": each.pending,
                    "oldest_s": round(max(0, now - each.oldest_at) / 1e6, 3),
                    "attempts": each.most_attempts,
                    "last_error": each.last_error,
                    "state": state,
                }
            )
        return {"ok": ok, "waiting": waiting}

    def _served_by(self, name: str) -> str | None:
        prefixes = [d.prefix for d in self._destinations]
        if name in prefixes:
            return name
        return next((p for p in prefixes if p.endswith(":") and name.startswith(p)), None)

    async def _take_over_patiently(self, threads: ThreadPoolExecutor) -> None:
        while True:
            try:
                return await asyncio.get_running_loop().run_in_executor(threads, self._take_over)
            except (OperationalError, StoreProblem) as error:
                log.error("the outbox cannot begin, the store does not take it: %s", error)
                await asyncio.sleep(STORE_RETRY_S)

    def _take_over(self) -> None:
        unsupervised = {each.prefix for each in self._destinations if not each.supervised}
        with self._store.write() as conn:  # of those that were taken out of the settings, or whose supervision was
            for each in rows.silences(conn):
                if self._is_unknown(each.destination) or each.destination in unsupervised:
                    rows.set_silence(conn, each.destination, None, self._clock())
        if not self._sole:
            return
        left = 0
        with self._store.write() as conn:
            for destination in self._destinations:
                left += rows.drop_leases(conn, prefix=destination.prefix)
                rows.retry_now(conn, prefix=destination.prefix, now_us=self._clock())
        if left:
            log.warning("%d deliveries were under way when the last gateway ended; they are made again", left)

    def _give_back(self, held: set[str]) -> None:
        try:
            with self._store.write() as conn:
                rows.release(conn, held)
        except SQLAlchemyError as error:
            log.warning("%d leases could not be given back, they run out by themselves: %s", len(held), error)

    async def _attend(self, destination: Destination, writes: Writes) -> None:
        """Let it supervise itself; what it finds is kept in the store, for the desk to show."""
        silent: str | None = ""  # as the store has it; not known yet

        async def report(error: str | None) -> None:
            nonlocal silent
            if error == silent:
                return
            if (error is None) != (silent is None):
                level = logging.WARNING if error is None else logging.ERROR
                said = "answers its supervision again" if error is None else f"does not answer its supervision: {error}"
                if silent != "" or error is not None:
                    log.log(level, "%s %s", destination.prefix, said)

            def settle(conn: Connection) -> None:
                rows.set_silence(conn, destination.prefix, error, self._clock())
                rows.count(conn, CHANGES)

            try:
                await writes.do(settle)
                silent = error
            except (SQLAlchemyError, StoreProblem) as failed:  # it is said again at the next look
                log.error("the store cannot take whether %s answers: %s", destination.prefix, failed)

        while True:
            try:
                return await destination.attend(report)
            except Exception as error:
                log.exception("the supervision of %s failed; it goes on", destination.prefix)
                await report(f"its supervision failed: {type(error).__name__}: {error}")
                await asyncio.sleep(ATTEND_AGAIN_S)
                if not destination.supervised:
                    await report(None)  # nobody else would

    async def _watch(self, threads: ThreadPoolExecutor) -> None:
        """Say loudly what nobody serves. Such a delivery is never dropped: a setting may be missing."""
        loop = asyncio.get_running_loop()
        shouted_at = -SHOUT_EVERY_S
        while True:
            unknown: list[rows.Backlog] = []
            try:
                unknown = await loop.run_in_executor(threads, self._look_through)
            except SQLAlchemyError as error:
                log.error("the outbox cannot look through its deliveries: %s", error)
            if loop.time() - shouted_at >= SHOUT_EVERY_S:
                shouted_at = loop.time()
                for each in unknown:
                    log.error(
                        "%d deliveries wait for %s, which nothing here serves: is it missing in [[backends]]?",
                        each.pending,
                        each.destination,
                    )
            await asyncio.sleep(WATCH_EVERY_S)

    def _look_through(self) -> list[rows.Backlog]:
        """Tell open desks when somebody begins or ends to be late; returns what nobody serves."""
        with self._store.read() as conn:
            backlog = rows.backlog(conn)
        unknown = [each for each in backlog if self._is_unknown(each.destination)]
        fresh = {each.destination for each in unknown} - self._unknown
        late = {each.destination for each in backlog if self._is_late(each)}
        if (not fresh or len(self._unknown) >= MOST_UNKNOWN) and late == self._amiss:
            return unknown
        with self._store.write() as conn:
            rows.count(conn, CHANGES)
            if fresh and len(self._unknown) < MOST_UNKNOWN:
                rows.count(conn, "outbox.unknown_destination", len(fresh))
        before = {self._served_by(name) for name in self._amiss}
        for prefix in {self._served_by(name) for name in late} - before:
            log.error("%s was not told in time", prefix)
        self._unknown |= fresh if len(self._unknown) < MOST_UNKNOWN else set()
        self._amiss = late
        return unknown

    def _is_unknown(self, name: str) -> bool:
        if self._served_by(name) is not None:
            return False
        return not any(name == each or (each.endswith(":") and name.startswith(each)) for each in self._elsewhere)

    def _is_late(self, each: rows.Backlog) -> bool:
        limit_s = amiss.deadline_s(each.destination, self.deadlines)
        return limit_s is not None and self._clock() - each.oldest_at > limit_s * 1e6

    def _call(self, function: Callable[[], None], *, once: bool = False) -> None:
        loop = self._loop
        if loop is None or (once and self._woken):
            return
        self._woken = self._woken or once
        try:
            loop.call_soon_threadsafe(function)
        except RuntimeError:
            self._woken = False  # the loop has just closed: whoever runs next finds the rows in the store

    def _wake_lanes(self) -> None:
        self._woken = False
        for lane in self._lanes:
            lane.wake()
