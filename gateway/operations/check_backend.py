"""Asks one police backend, step by step, what it does with a test alarm; nothing of it is kept in the store."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass

from gateway.backend_settings import Backend, Reach
from gateway.backends import kinds, sample
from gateway.clock import now_us
from gateway.operations.connecting import connect
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.rows import new_id
from gateway.store.engine import Store


@dataclass(frozen=True)
class Step:
    """One step: what was done, what came of it, milliseconds, and whether it is as it should be."""

    name: str
    said: str
    ms: float
    ok: bool


async def check(settings: Backend, store: Store, source: str) -> AsyncIterator[Step]:
    """The steps, one by one; the first that is not ok is the last. source: the gateway's name."""
    accepted: dict[str, object] = {}

    def accept(delivery: Delivery, reference: object):
        accepted[delivery.id] = reference
        return lambda _conn: None

    reach = settings.reach
    if reach is not None and not reach.datagram:
        step = await _timed("connect", asyncio.to_thread(_connect, reach, settings.timeout_s))
        yield step
        if not step.ok:
            return
    # A name of its own, so that a session at a broker is not the running gateway's.
    destination = kinds.make(settings, kinds.Means(accept, store, f"{source}-check"))
    try:
        if destination.supervised:
            step = await _timed("supervise", _supervised(destination, settings.timeout_s * 3))
            yield step
            if not step.ok:
                return
        incident = new_id(now_us())
        for change in ("opened", "closed"):
            delivery = sample.sample_alarm(destination.prefix, source, now_us(), incident, change)
            step = await _timed(f"test {change}", _delivered(destination, delivery, accepted))
            yield step
            if not step.ok:
                return
    finally:
        await destination.close()


async def _timed(name: str, work: Awaitable[tuple[bool, str]]) -> Step:
    began = time.perf_counter()
    ok, said = await work
    return Step(name, said, round((time.perf_counter() - began) * 1000, 1), ok)


def _connect(reach: Reach, limit_s: float) -> tuple[bool, str]:
    try:
        address, version = connect(reach, limit_s)
    except OSError as error:
        return False, f"{reach.host} port {reach.port}: {error}"
    return True, f"{address} port {reach.port}, {version or 'not encrypted'}"


async def _supervised(destination: Destination, limit_s: float) -> tuple[bool, str]:
    first: asyncio.Future[str | None] = asyncio.get_running_loop().create_future()

    async def report(error: str | None) -> None:
        if not first.done():
            first.set_result(error)

    attending = asyncio.create_task(destination.attend(report))
    try:
        async with asyncio.timeout(limit_s):
            await asyncio.wait({first, attending}, return_when=asyncio.FIRST_COMPLETED)
    except TimeoutError:
        return False, f"no answer within {limit_s:g} s"
    finally:
        attending.cancel()
        await asyncio.gather(attending, return_exceptions=True)
    if not first.done():
        return False, f"its supervision failed: {attending.exception()}"
    error = first.result()
    return error is None, error or "it answers"


async def _delivered(destination: Destination, delivery: Delivery, accepted: dict[str, object]) -> tuple[bool, str]:
    try:
        async with asyncio.timeout(destination.limit_s):
            outcome = await destination.deliver(delivery)
    except TimeoutError:
        outcome = Outcome(done=False, error=f"cut off after {destination.limit_s:g} s")
    if not outcome.done:
        return False, outcome.error or "it failed and gave no reason"
    if delivery.id not in accepted:
        return True, "it has it"
    reference = accepted[delivery.id]
    return True, f"it accepted, as {reference}" if reference else "it accepted"
