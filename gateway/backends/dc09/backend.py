"""Tells an alarm-receiving centre's receiver, by SIA DC-09: primary and backup, supervised.

`accepted` is the receiver's ACK to an alarm: by the standard (5.5.2.1) it has the event, and is answerable for it. A
receiver names no incident of its own, so there is no reference.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import OrderedDict
from collections.abc import Callable

from sqlalchemy.exc import SQLAlchemyError

from gateway.backend_settings import Dc09Settings
from gateway.backends.accepting import Accept
from gateway.backends.dc09 import codes
from gateway.backends.dc09.frame import Address, Answer, message
from gateway.backends.dc09.line import Line, LineError
from gateway.backends.quality import Quality
from gateway.clock import Clock, now_us
from gateway.outbox.port import Delivery, Destination, Outcome, Report
from gateway.outbox.retry import RetryPolicy
from gateway.store.engine import Store
from gateway.supervision import telling
from panic_wire.topics import device_name

log = logging.getLogger("sigap.backends")

POLICY = RetryPolicy()
RETURN_S = 30.0  # on the backup, the primary is tried again after so long
MOST_SEQUENCES = 1_000  # deliveries whose number is remembered, so that each try of one has the same
LAST_SEQUENCE = 9999  # 5.4.2: 0001 to 9999, then 0001 again
TROUBLES_EVERY_S = 10.0
SKEW_WORTH_SAYING_S = 5.0
MOST_SKEW_S = 86_400.0
NULL_ACCOUNT = "000"  # where no account is set: supervision is of this gateway, not of a device
_ALARMS = (codes.PANIC, codes.SILENT, codes.DURESS, codes.TEST)


class Dc09Backend(Destination):
    """The destination "backend:<name>": one frame at a time, as a receiver expects of an account."""

    concurrency = 1

    def __init__(
        self,
        settings: Dc09Settings,
        accept: Accept,
        clock: Clock = now_us,
        policy: RetryPolicy = POLICY,
        return_s: float = RETURN_S,
        store: Store | None = None,
        troubles_every_s: float = TROUBLES_EVERY_S,
    ) -> None:
        self._store, self._troubles_every_s = store, troubles_every_s
        self.prefix, self.policy = settings.destination, policy
        self._settings, self._accept, self._clock, self._return_s = settings, accept, clock, return_s
        self._key = bytes.fromhex(settings.key) if settings.key else None
        places = [(settings.host, settings.port)]
        if settings.backup_host:
            places.append((settings.backup_host, settings.backup_port or settings.port))
        udp = settings.transport == "udp"
        self._lines = [Line(host, port, datagram=udp, key=self._key) for host, port in places]
        self.limit_s = settings.timeout_s * 2 * len(places) + 5  # each place, and once more after a NAK
        self._on, self._left_primary_at = 0, 0.0
        self._skew_s = 0.0  # the receiver's clock less ours, as its last NAK said
        self.supervised = settings.supervise_s > 0
        self._sequence = random.randrange(LAST_SEQUENCE)
        self._sequences: OrderedDict[str, int] = OrderedDict()
        self._speaks = asyncio.Lock()
        self._answered_at = float("-inf")

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Send its event and wait for the ACK. What a receiver has no code for is done without being sent."""
        data = delivery.payload["data"]
        event = codes.event_of(data)
        if event is None:
            return Outcome(done=True, reached=True)
        kind, to = self._settings.code, self._address(data["device"])
        block, extended = codes.data_block(kind, to.account, event), codes.extended(data)
        number = self._number(delivery.id)
        if (late_s := delivery.late_s(self._clock())) is not None:
            extended = codes.marked_late(extended, late_s)
        try:
            answer = await self._exchange(kind, number, to, block, extended)
        except LineError as error:
            return Outcome(done=False, error=str(error))
        if answer.kind == "NAK":
            return Outcome(done=False, error=self._clocks(answer), reached=True)
        if answer.kind == "DUH":
            return Outcome(done=False, error=f"it does not understand {event.sia} (DUH)", reached=True, hopeless=True)
        effect = self._accept(delivery, None) if event in _ALARMS else None
        return Outcome(done=True, reached=True, effect=effect)

    async def attend(self, report: Report) -> None:
        """Supervise the line, and tell the receiver of buttons' troubles."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._supervise(report))
            group.create_task(self._tell_troubles())

    async def _tell_troubles(self) -> None:
        """Each beginning and each end until it is acknowledged. Alarms go before: they need not wait for these."""
        store = self._store
        while store is not None:
            await asyncio.sleep(self._troubles_every_s)
            try:
                for change in await asyncio.to_thread(self._untold, store):
                    if not await self._told(change):
                        break  # the receiver is away, or does not understand: again with the next look
                    await asyncio.to_thread(self._remember, store, change)
            except SQLAlchemyError as error:
                log.error("%s: troubles cannot be read or kept: %s", self.prefix, error)

    def _untold(self, store: Store) -> list[telling.Change]:
        with store.read() as conn:
            return telling.untold(conn, self.prefix)

    def _remember(self, store: Store, change: telling.Change) -> None:
        with store.write() as conn:
            telling.was_told(conn, self.prefix, change, self._clock())

    async def _told(self, change: telling.Change) -> bool:
        """Whether the receiver took it: also when it has no use for it (DUH), which would not change."""
        event = codes.trouble_event(change.name, change.began)
        kind, to, number = self._settings.code, self._address(device_name(change.device_id)), self._next()
        block = codes.data_block(kind, to.account, event)
        extended = codes.of_trouble(change.name, change.device_name, None if change.at is None else change.at / 1e6)
        try:
            answer = await self._exchange(kind, number, to, block, extended)
        except LineError:
            return False
        if answer.kind == "DUH":
            log.warning("%s does not understand %s of %s (DUH)", self.prefix, event.sia, change.device_name)
        return answer.kind != "NAK"

    async def _supervise(self, report: Report) -> None:
        """A NULL message (5.4.1) whenever nothing was answered for the interval."""
        every_s = self._settings.supervise_s
        loop = asyncio.get_running_loop()
        while every_s:
            await asyncio.sleep(max(0.0, self._answered_at + every_s - loop.time()))
            error = await self.supervise()
            await report(error)
            if error is not None:
                await asyncio.sleep(every_s)

    async def supervise(self) -> str | None:
        """One NULL message; None when it was answered, else why not."""
        try:
            answer = await self._exchange("NULL", self._next(), self._address(NULL_ACCOUNT), "", ())
        except LineError as error:
            return str(error)
        return self._clocks(answer) if answer.kind == "NAK" else None

    async def close(self) -> None:
        for line in self._lines:
            line.hang_up()

    async def _exchange(self, kind: str, number: int, to: Address, block: str, extended: tuple[str, ...]) -> Answer:
        """Primary or backup, whichever answers; once more at once, by its clock, when that says NAK."""

        def is_ours(answer: Answer) -> bool:
            # A NAK carries neither our number nor our account (5.5.2.2).
            of_us = answer.sequence == f"{number:04d}" and answer.account in ("", to.account)
            return answer.kind == "NAK" or (of_us and answer.kind in ("ACK", "DUH", "RSP"))

        def frame(at_s: float) -> bytes:
            return message(kind, number, to, block, extended, at_s, self._key)

        async with self._speaks:
            answer = await self._ask(frame, is_ours)
            if answer.kind == "NAK" and self._takes_clock(answer):
                answer = await self._ask(frame, is_ours)
        self._answered_at = asyncio.get_running_loop().time()
        return answer

    async def _ask(self, frame: Callable[[float], bytes], is_ours: Callable[[Answer], bool]) -> Answer:
        loop = asyncio.get_running_loop()
        if self._on and loop.time() - self._left_primary_at >= self._return_s:
            self._on = 0
        error: LineError | None = None
        for index in range(self._on, len(self._lines)):
            line = self._lines[index]
            try:
                stamped = frame(self._clock() / 1e6 + self._skew_s)
                answer = await line.ask(stamped, is_ours, self._settings.timeout_s)
            except LineError as failed:
                error = failed if error is None else LineError(f"{error}; {failed}")
                continue
            if index != self._on:
                log.warning("%s: %s; the backup %s answers", self.prefix, error, line.where)
                self._on, self._left_primary_at = index, loop.time()
            return answer
        self._on = 0
        assert error is not None  # there is at least one line
        raise error

    def _takes_clock(self, answer: Answer) -> bool:
        """Stamp frames by the receiver's clock from now on. Times of presses stay ours."""
        if answer.at is None:
            return False
        skew_s = answer.at - self._clock() / 1e6
        if abs(skew_s) > MOST_SKEW_S:
            return False
        if abs(skew_s - self._skew_s) > SKEW_WORTH_SAYING_S:
            log.warning("%s: the receiver's clock differs from ours by %+.0f s", self.prefix, skew_s)
        self._skew_s = skew_s
        return True

    def _clocks(self, answer: Answer) -> str:
        said = "it says no time"
        if answer.at is not None:
            said = f"its clock differs by {answer.at - self._clock() / 1e6:+.0f} s"
        return f"it refuses our time (NAK): {said}. Set both clocks right"

    def _address(self, account: str) -> Address:
        settings = self._settings
        return Address((settings.account or account).upper(), settings.receiver_number, settings.line_prefix)

    def _number(self, delivery_id: str) -> int:
        if delivery_id not in self._sequences:
            self._sequences[delivery_id] = self._next()
            if len(self._sequences) > MOST_SEQUENCES:
                self._sequences.popitem(last=False)
        return self._sequences[delivery_id]

    def _next(self) -> int:
        self._sequence = self._sequence % LAST_SEQUENCE + 1
        return self._sequence


_TESTS = "tests/unit/gateway/test_dc09_backend.py::"
QUALITY = Quality(
    speaks="SIA DC-09 over TCP or UDP: SIA-DCS (DC-03) or ADM-CID (Contact ID), AES-128/192/256, NULL supervision",
    done="an ACK with our sequence number and account; what has no code there is done without being sent",
    accepted="the receiver's ACK to an alarm",
    guarantees=(
        "the timestamp is new at each try, the press time is in [H], the place in [X] and [Y]",
        "a try has its delivery's sequence number again, so that a receiver can tell a repetition",
        "a backup receiver is tried at once; the primary again after 30 s",
        "a NAK sets our stamps to the receiver's clock and is tried again at once",
        "troubles of buttons that last (low battery, stuck, silent) are told, and their ends, each until the ACK",
        "a receiver that does not answer NULL messages is a trouble on the desk, without an alarm",
    ),
    tested={
        "slow": _TESTS + "test_silence_goes_to_the_backup_and_back",
        "refuses": _TESTS + "test_what_an_answer_means",
        "half an answer": _TESTS + "test_what_an_answer_means",
        "wrong answer": _TESTS + "test_what_an_answer_means",
        "huge answer": _TESTS + "test_what_an_answer_means",
        "accepts twice": _TESTS + "test_answers_to_something_else_are_passed_over",
        "hangs up": _TESTS + "test_what_an_answer_means",
        "gone": _TESTS + "test_silence_goes_to_the_backup_and_back",
        "wrong TLS": "DC-09 has no TLS: it encrypts by itself, see wrong key",
        "wrong key": _TESTS + "test_another_key_is_no_ack",
        "wrong clock": _TESTS + "test_a_nak_sets_the_stamps_right",
        "floods": _TESTS + "test_answers_to_something_else_are_passed_over",
        "unknown incident": "a receiver answers by sequence number, and names no incident",
        "another's incident": "a receiver answers by sequence number, and names no incident",
        "out of order": _TESTS + "test_answers_to_something_else_are_passed_over",
        "goes backwards": "it says no stages, only that it accepts",
    },
)
