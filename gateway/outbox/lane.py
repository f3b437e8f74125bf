"""One destination's own worker: what is due is claimed, tried and settled here, whatever the others do."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from sqlalchemy import Connection
from sqlalchemy.exc import OperationalError

from gateway.clock import Clock
from gateway.outbox import rows
from gateway.outbox.breaker import Breaker
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.writes import BATCH, Writes
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.supervision.troubles import CHANGES

log = logging.getLogger("sigap.outbox")

LOOK_EVERY_S = 5.0  # without any wake-up: for leases that run out and for rows that another process wrote
STORE_RETRY_S = 1.0
REST_S = 0.02  # after a look that found nothing: among many commits, not each is worth one
BUSY_S, BUSY_REST_S = 1.0, 0.002  # where something was found so lately, the rest is shorter
AHEAD_S = 0.1  # of work that is claimed at once: as many as ended in so long, so that a slow destination holds few
LEASE_MARGIN_S = 10.0  # how much longer than an attempt's limit its lease lasts: time to write down how it ended
MOST_RETRY_AFTER_S = 60.0
SHOUT_EVERY_S = 10.0  # at most one line in so long; what is left out is counted
CLOCK_STEP_US = 1_000_000  # a clock that went back by more than this was set
MOST_REFUSED = 10_000  # deliveries remembered as refused; beyond it one is tried for longer


class Pace:
    """How many attempts end in AHEAD_S, lately: what is claimed ahead. seconds: monotonic."""

    def __init__(self, seconds: Callable[[], float]) -> None:
        self._seconds, self._since, self._ended, self._ahead = seconds, seconds(), 0, 0

    def ended(self) -> None:
        self._ended += 1

    def ahead(self) -> int:
        """At most what one commit takes."""
        now = self._seconds()
        if now - self._since >= AHEAD_S:
            self._ahead = min(BATCH, int(self._ended * AHEAD_S / (now - self._since)))
            self._since, self._ended = now, 0
        return self._ahead


class Lane:
    """Works for one Destination until cancelled. `wake()` (on the loop's thread) makes it look at once."""

    def __init__(
        self,
        destination: Destination,
        store: Store,
        writes: Writes,
        threads: ThreadPoolExecutor,
        clock: Clock,
        chance: Callable[[], float] = random.random,
        look_every_s: float | None = None,
    ) -> None:
        self.destination = destination
        self.is_exact = not destination.prefix.endswith(":")
        self._seconds = asyncio.get_running_loop().time  # monotonic: what was set right on the clock is no pause
        self.breaker = Breaker(self._seconds, chance)
        self._look_every_s = look_every_s
        self._store, self._writes, self._threads, self._clock = store, writes, threads, clock
        self._chance = chance
        self._woken = asyncio.Event()
        self._rests_until = 0.0
        self._claimed_at = float("-inf")
        self._attempts: set[asyncio.Task[None]] = set()
        self._ready: deque[tuple[Delivery, float]] = deque()  # claimed and not begun; until when it may begin
        self._pace = Pace(self._seconds)
        self._held: set[str] = set()  # ids whose lease is ours
        self._refused_since: dict[str, float] = {}
        self._release = False
        self._newest_now = 0
        self._shouted_at = -SHOUT_EVERY_S
        self._unsaid = 0

    @property
    def held(self) -> set[str]:
        """Ids of what was under way and is not settled: after run(), leases to give back."""
        return set(self._held)

    def wake(self) -> None:
        self._woken.set()

    def retry_now(self) -> None:
        """The destination is known to be back: nothing waits for its next time."""
        self.breaker.reset()
        self._release = True
        self._woken.set()

    async def run(self) -> None:
        try:
            while True:
                if (rest_s := self._rests_until - self._seconds()) > 0:
                    await asyncio.sleep(rest_s)
                self._woken.clear()
                try:
                    wait_s = await self._look()
                except (OperationalError, StoreProblem) as error:
                    self._shout(f"the store cannot be used, nothing is sent to {self.destination.prefix}: {error}")
                    wait_s = STORE_RETRY_S
                except Exception:
                    log.exception("the worker of %s failed; it goes on", self.destination.prefix)
                    wait_s = STORE_RETRY_S
                try:
                    async with asyncio.timeout(wait_s):
                        await self._woken.wait()
                except TimeoutError:
                    continue
        finally:
            for attempt in self._attempts:
                attempt.cancel()
            await asyncio.gather(*self._attempts, return_exceptions=True)

    async def _look(self) -> float:
        """Claim what is due and start its attempts; returns how long to wait if nothing wakes us."""
        look_s = LOOK_EVERY_S if self._look_every_s is None else self._look_every_s
        pause_s = self.breaker.wait_s()
        if self._ready:
            if self.breaker.is_open or pause_s > 0:
                await self._give_back()
            else:
                await self._begin()
        room = self.destination.concurrency - len(self._attempts)
        if room <= 0 or self._ready:
            return look_s
        if pause_s > 0:
            return min(pause_s, look_s)
        probing = self.breaker.is_open
        release, self._release = self._release, False
        limit = 1 if probing else max(room, self._pace.ahead())
        ids, next_at = await asyncio.get_running_loop().run_in_executor(
            self._threads, self._due, limit, probing, release
        )
        if not ids:
            quick = self._seconds() - self._claimed_at < BUSY_S
            self._rests_until = self._seconds() + (BUSY_REST_S if quick else REST_S)
            claimed: list[Delivery] = []
        else:
            claimed = await self._claim(ids)
            await self._begin()
        if probing and claimed:
            return max(self.breaker.wait_s(), 0.05)
        if next_at is None or probing:
            return look_s
        return min(look_s, max(0.001, (next_at - self._clock()) / 1e6))

    async def _claim(self, ids: list[str]) -> list[Delivery]:
        """Lease them, in one commit with what else is to be written."""
        good_s = LEASE_MARGIN_S / 2  # so much later an attempt may begin, and still end within its lease
        lease_us = int((self.destination.limit_s + LEASE_MARGIN_S) * 1e6)
        claimed: list[Delivery] = await self._writes.do(
            lambda conn: rows.claim(conn, ids, now_us=self._clock(), lease_us=lease_us)
        )
        self._claimed_at = self._seconds()
        self._held.update(each.id for each in claimed)
        self._ready.extend((each, self._claimed_at + good_s) for each in claimed)
        return claimed

    async def _begin(self) -> None:
        """Begin what was claimed, as many at once as the destination takes."""
        while self._ready and len(self._attempts) < self.destination.concurrency:
            delivery, until = self._ready.popleft()
            if self._seconds() > until:
                self._ready.appendleft((delivery, until))
                return await self._give_back()
            self.breaker.began()
            attempt = asyncio.create_task(self._attempt(delivery))
            self._attempts.add(attempt)
            attempt.add_done_callback(self._attempt_ended)

    async def _give_back(self) -> None:
        """What was claimed and not begun: the destination went away, or is slower than it was."""
        ids = [delivery.id for delivery, _ in self._ready]
        self._ready.clear()
        await self._writes.do(lambda conn: rows.not_begun(conn, ids))
        self._held.difference_update(ids)

    def _due(self, limit: int, early: bool, release: bool) -> tuple[list[str], int | None]:
        prefix, now_us = self.destination.prefix, self._clock()
        if now_us < self._newest_now - CLOCK_STEP_US:
            log.warning("the clock was set back; what waits for %s is due now", prefix)
            release = True
        self._newest_now = now_us
        if release:
            with self._store.write() as conn:
                rows.retry_now(conn, prefix=prefix, now_us=now_us)
        with self._store.read() as conn:
            ids = rows.due(conn, prefix=prefix, now_us=now_us, limit=limit, early=early)
            next_at = rows.next_at(conn, prefix=prefix, now_us=now_us) if len(ids) < limit else None
        return ids, next_at

    def _attempt_ended(self, attempt: asyncio.Task[None]) -> None:
        self._attempts.discard(attempt)
        self._pace.ended()
        self._woken.set()
        if not attempt.cancelled() and attempt.exception() is not None:
            log.error("an attempt could not be settled", exc_info=attempt.exception())

    async def _attempt(self, delivery: Delivery) -> None:
        limit_s = self.destination.limit_s
        try:
            async with asyncio.timeout(limit_s):
                outcome = await self.destination.deliver(delivery)
        except TimeoutError:
            outcome = Outcome(done=False, error=f"the attempt was cut off after {limit_s:g} s")
        except Exception as error:
            log.exception("the attempt to tell %s failed unforeseen", delivery.destination, extra=delivery.identity)
            outcome = Outcome(done=False, error=f"unforeseen: {type(error).__name__}: {error}")
        came_back = self._note(delivery, outcome)
        if outcome.done:
            self._refused_since.pop(delivery.id, None)
            outcome = await self._finish(delivery, outcome, came_back)
        if not outcome.done:
            await self._retry_later(delivery, outcome, came_back)

    def _note(self, delivery: Delivery, outcome: Outcome) -> bool:
        """Tell the breaker; True when the destination was down and is back."""
        if not self.is_exact:
            return False  # many destinations share this lane: one of them must not hold up the rest
        if outcome.retry_after_s is not None:
            self.breaker.pause(min(outcome.retry_after_s, MOST_RETRY_AFTER_S))
        if outcome.done or outcome.reached:
            if self.breaker.answered():
                log.warning("%s is back", delivery.destination)
                return True
        elif self.breaker.failed():
            log.error("%s is down (%s); it is probed every few seconds", delivery.destination, outcome.error)
        return False

    async def _finish(self, delivery: Delivery, outcome: Outcome, came_back: bool) -> Outcome:
        def settle(conn: Connection) -> None:
            now_us = self._clock()
            rows.finish(conn, delivery.id, now_us=now_us, effect=outcome.effect)
            if came_back:
                rows.retry_now(conn, prefix=self.destination.prefix, now_us=now_us)

        try:
            await self._write(delivery, settle)
        except (OperationalError, StoreProblem):
            raise
        except Exception as error:
            text = "%s has delivery %s, but what follows from it failed"
            log.exception(text, delivery.destination, delivery.id, extra=delivery.identity)
            return Outcome(done=False, error=f"what follows from success failed: {type(error).__name__}: {error}")
        log.info("%s was told", delivery.destination, extra=delivery.identity)
        return outcome

    async def _retry_later(self, delivery: Delivery, outcome: Outcome, came_back: bool) -> None:
        policy, attempts = self.destination.policy, delivery.attempts
        wait_s = policy.wait_s(attempts, self._chance)
        if outcome.retry_after_s:
            wait_s = min(outcome.retry_after_s, MOST_RETRY_AFTER_S)
        error = outcome.error or "it failed and gave no reason"
        if self._is_dead(delivery, outcome):
            await self._give_up(delivery, error, came_back)
            return
        loud = policy.shouts(attempts)
        if loud:
            where = f"{delivery.destination} has not been told of incident {delivery.incident_id}"
            self._shout(f"{where} after {attempts} attempts: {error}")
        elif attempts == 1:
            text = "%s was not told of %s: %s"
            log.warning(text, delivery.destination, delivery.incident_id, error, extra=delivery.identity)

        def settle(conn: Connection) -> None:
            now_us = self._clock()
            if came_back:
                rows.retry_now(conn, prefix=self.destination.prefix, now_us=now_us)
            rows.retry_later(conn, delivery.id, next_at=now_us + int(wait_s * 1e6), error=error)
            if loud:
                rows.count(conn, f"outbox.shouts.{self.destination.prefix.rstrip(':')}")

        await self._write(delivery, settle)

    def _is_dead(self, delivery: Delivery, outcome: Outcome) -> bool:
        policy = self.destination.policy
        if outcome.hopeless and (delivery.id in self._refused_since or len(self._refused_since) < MOST_REFUSED):
            # Counted in this process's own seconds: neither a clock that is set nor a restart makes it shorter.
            since = self._refused_since.setdefault(delivery.id, self._seconds())
            if self._seconds() - since >= policy.refused_s:
                del self._refused_since[delivery.id]
                return True
        return policy.lasts_s is not None and self._clock() - delivery.created_at >= policy.lasts_s * 1e6

    async def _give_up(self, delivery: Delivery, error: str, came_back: bool) -> None:
        def settle(conn: Connection) -> None:
            now_us = self._clock()
            if came_back:
                rows.retry_now(conn, prefix=self.destination.prefix, now_us=now_us)
            rows.give_up(conn, delivery.id, now_us=now_us, error=error)
            rows.count(conn, f"outbox.dead.{self.destination.prefix.rstrip(':')}")
            rows.count(conn, CHANGES)

        await self._write(delivery, settle)
        log.error(
            "%s will not be told of incident %s any more (delivery %s, %d attempts): %s",
            *(delivery.destination, delivery.incident_id, delivery.id, delivery.attempts, error),
        )

    async def _write(self, delivery: Delivery, settle: Callable[[Connection], None]) -> None:
        """Write down how an attempt ended; while the store fails, again and again until its lease is over.

        After that the delivery is made once more, with the same id.
        """
        tries = int(LEASE_MARGIN_S / STORE_RETRY_S)
        for left in reversed(range(tries)):
            try:
                await self._writes.do(settle)
                self._held.discard(delivery.id)
                return
            except (OperationalError, StoreProblem) as error:
                self._shout(f"the store cannot take how delivery {delivery.id} ended: {error}")
                if left == 0:
                    self._held.discard(delivery.id)
                    raise
                await asyncio.sleep(STORE_RETRY_S)

    def _shout(self, what: str) -> None:
        now = asyncio.get_running_loop().time()
        if now - self._shouted_at < SHOUT_EVERY_S:
            self._unsaid += 1
            return
        more = f" (and {self._unsaid} more like it since)" if self._unsaid else ""
        log.error("%s%s", what, more)
        self._shouted_at, self._unsaid = now, 0
