"""A phone's second bearer: a message that came by HTTPS, whose sender waits for what is answered.

It goes the way of all others: through the intake and the writer's transaction. What that answers goes to who waits,
and not before the commit. What comes later (an operator's step) the phone asks for by saying its alarm again.
"""

from __future__ import annotations

import asyncio
import itertools
import threading
from dataclasses import dataclass, field

from gateway.clock import Clock, now_us
from gateway.ingest import phone
from gateway.ingest.intake import Intake, Uplink

GENERATION = -1  # of an Uplink that no broker's connection brought
MOST_WAITING = 150
LIMIT_S = 8.0


class Busy(Exception):
    """There is no room for one more: the phone comes again."""


@dataclass(eq=False)
class _Call:
    loop: asyncio.AbstractEventLoop
    done: asyncio.Future[bool]
    topic: str
    answers: list[bytes] = field(default_factory=list)


class Calls:
    """ask() on the event loop; answer() and took() by the writer's thread."""

    def __init__(self, intake: Intake, clock: Clock = now_us) -> None:
        self._intake, self._clock = intake, clock
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._by_number: dict[int, _Call] = {}
        self._by_topic: dict[str, _Call] = {}  # the newest of each phone: whom its answers go to

    async def ask(self, name: str, jws: bytes, limit_s: float = LIMIT_S) -> list[bytes]:
        """Put it in, and wait for the commit; the answers, in their order.

        Busy without room. TimeoutError when it takes too long: it is not committed, or its answer is late. In both
        cases the phone says it again."""
        loop = asyncio.get_running_loop()
        call = _Call(loop, loop.create_future(), phone.down(name))
        number = next(self._numbers)
        with self._lock:
            if len(self._by_number) >= MOST_WAITING:
                raise Busy
            self._by_number[number] = self._by_topic[call.topic] = call
        try:
            message = Uplink(phone.up(name), jws, len(jws), self._clock(), 1, number, GENERATION)
            if not self._intake.put(message):
                raise Busy
            await asyncio.wait_for(call.done, limit_s)
            return call.answers
        finally:
            with self._lock:
                del self._by_number[number]
                if self._by_topic.get(call.topic) is call:
                    del self._by_topic[call.topic]

    def put_aside(self, name: str, jws: bytes) -> None:
        """One that was refused already: into quarantine, as far as there is room."""
        kept = jws[: phone.MOST_BYTES]
        self._intake.put(Uplink(phone.up(name), kept, len(jws), self._clock(), 0, 0, GENERATION))

    def answer(self, topic: str, payload: bytes) -> bool:
        """Whether somebody waits for it here."""
        with self._lock:
            call = self._by_topic.get(topic)
            if call is None or call.done.done():
                return False
            call.answers.append(payload)
            return True

    def took(self, message: Uplink) -> bool:
        """It is committed, and its answers were given."""
        with self._lock:
            call = self._by_number.get(message.mid)
            if call is None or call.loop.is_closed():
                return False
            call.loop.call_soon_threadsafe(_settle, call.done)
            return True


def _settle(done: asyncio.Future[bool]) -> None:
    if not done.done():
        done.set_result(True)
