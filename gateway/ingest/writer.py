"""The one thread that commits what arrives: all that has queued in one transaction, then receipts, then
PUBACKs.

There is no timer in this path: while a transaction commits, the next batch gathers by itself.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.exc import TimeoutError as NoConnectionFree

from gateway.clock import Clock, now_us
from gateway.incidents.book import Book
from gateway.ingest import phone, quarantine
from gateway.ingest.batch import Answer, Batch, Effects, Order
from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.judge import Rejection, downlink_key_of
from gateway.registry.devices import PHONE
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from panic_wire import topics
from panic_wire.compact import seal_status
from panic_wire.frames import SET_TIME, STATUS, Command, Header, Status, time_content
from panic_wire.seal import seal

log = logging.getLogger("sigap.ingest")

BATCH = 100  # an SOS among a flood waits for the one at hand and its own: short ones
FIRST_RETRY_S = 0.1
MOST_RETRY_S = 2.0


class Line(Protocol):
    """What the writer needs of the link to the broker."""

    def publish(self, topic: str, payload: bytes) -> bool: ...
    def acknowledge(self, message: Uplink) -> bool: ...
    def renew(self) -> None: ...


class Writer:
    """start() it, close the intake and join() it. wake: called when a commit left something in the outbox."""

    def __init__(
        self,
        store: Store,
        intake: Intake,
        line: Line,
        book: Book,
        wake: Callable[[], None],
        clock: Clock = now_us,
    ) -> None:
        self._clock = clock
        self._store, self._intake, self._line, self._book, self._wake = store, intake, line, book, wake
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="ingest-writer", daemon=True)
        self._unwritten: Counter[str] = Counter()
        self._failing: str | None = None
        self._fault: str | None = None
        self._busy_since: float | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self, limit_s: float = 2.0) -> bool:
        """Finish the batch at hand and those that wait; True when the thread has ended within the limit.

        What is not committed then was not acknowledged either: the broker delivers it to the next gateway.
        """
        self._stopping.set()
        self._intake.close()
        self._thread.join(limit_s)
        return not self._thread.is_alive()

    @property
    def alive(self) -> bool:
        """The thread runs."""
        return self._thread.is_alive()

    @property
    def busy_s(self) -> float:
        """How long it has been at the batch at hand; 0 when it has none."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    def health(self) -> dict[str, Any]:
        """{"ok", "waiting": messages not yet taken, "error": why nothing can be committed now, or null}"""
        error = self._failing or self._fault
        if error is None and not self._thread.is_alive() and not self._stopping.is_set():
            error = "the writer has ended"
        return {"ok": error is None, "waiting": len(self._intake), "error": error}

    def _run(self) -> None:
        try:
            while True:
                messages = self._intake.drain(BATCH)
                if not messages and self._intake.closed:
                    return
                self._busy_since = time.monotonic()
                self._settle(messages)
                self._busy_since = None
                if self._intake.take_debt():
                    self._line.renew()
        except Exception as error:
            self._fault = f"the writer stopped: {type(error).__name__}: {error}"
            log.exception("the writer stopped unforeseen")
            raise

    def _settle(self, messages: Sequence[Uplink]) -> None:
        """Commit these messages, however long it takes, and act on what follows."""
        try:
            effects = self._commit(messages)
        except Exception:
            # One of them is poison. Each by itself, so that it takes no other down; the replay windows that
            # this transaction had moved are rolled back with it.
            log.exception("a batch of %d could not be taken; each by itself now", len(messages))
            for message in messages:
                self._settle_one(message)
            return
        self._follow(messages, effects)

    def _settle_one(self, message: Uplink) -> None:
        try:
            effects = self._commit([message])
        except Exception as error:
            log.exception("a message in %r is poison", message.topic)
            effects = self._bury(message, error)
        self._follow([message], effects)

    def _bury(self, message: Uplink, error: Exception) -> Effects | None:
        rejection = Rejection("poison", f"{type(error).__name__}: {error}")

        def bury(conn: sa.Connection) -> Effects:
            quarantine.add(conn, [(message, rejection)])
            return Effects()

        try:
            return self._patiently(bury)
        except Exception:
            log.exception("the poison in %r cannot even be put into quarantine", message.topic)
            return Effects()  # acknowledged all the same, or the broker would serve it for ever

    def _commit(self, messages: Sequence[Uplink]) -> Effects | None:
        def work(conn: sa.Connection) -> Effects:
            batch = Batch(conn, self._book)
            batch.add_counts(self._unwritten)
            return batch.take_all(messages)

        self._unwritten.update(self._intake.take_drops())
        effects = self._patiently(work)
        if effects is not None:
            self._unwritten.clear()
        return effects

    def _patiently(self, work: Callable[[sa.Connection], Effects]) -> Effects | None:
        """Run `work` in a transaction until the store takes it; None when we are to stop before that.

        Only the store's own failures are waited for (disk full, locked, gone); anything else is raised.
        """
        wait_s = FIRST_RETRY_S
        while True:
            try:
                with self._store.write() as conn:
                    effects = work(conn)
            except (StoreProblem, NoConnectionFree) as error:
                said = str(error).splitlines()[0]
                if self._failing is None:
                    log.error("nothing can be committed, and nothing is receipted: %s", said)
                self._failing = said
                if self._stopping.wait(wait_s):
                    return None
                wait_s = min(wait_s * 2, MOST_RETRY_S)
                continue
            if self._failing is not None:
                log.warning("the store takes commits again")
                self._failing = None
            return effects

    def _follow(self, messages: Sequence[Uplink], effects: Effects | None) -> None:
        """Receipts, then PUBACKs, then the outbox: in this order, and only after the commit."""
        if effects is None:
            return
        for answer in effects.answers:
            if not self._line.publish(*addressed(answer)):
                self._unwritten["ingest.answers_not_sent"] += 1  # the button asks again
        for order in effects.orders:
            name = topics.device_name(order.device.id)
            if not self._line.publish(topics.down(name), sealed_order(order, self._clock())):
                self._unwritten["ingest.commands_not_sent"] += 1  # again at the next heartbeat
        for message in messages:
            if message.qos:
                self._line.acknowledge(message)
        if effects.wakes:
            self._wake()
        for line, identity in effects.said:
            log.info("%s", line, extra=identity)


def addressed(answer: Answer) -> tuple[str, bytes]:
    """The topic, and what goes there: a status frame, a phone's JWS, or a compact status for a base station to send."""
    device, to = answer.device, answer.header
    name = topics.device_name(device.id)
    if device.kind == PHONE:
        return phone.down(name), phone.status(device.root_key, device.id, answer.stage, answer.activation, to)
    if answer.base is None:
        return topics.down(name), sealed(answer)
    key = downlink_key_of(device.root_key, device.id)
    status = seal_status(key, answer.stage, device.id, to.epoch, to.counter)
    return topics.base_down(topics.device_name(answer.base)), status


def sealed(answer: Answer) -> bytes:
    """The status frame: same epoch and counter as the frame that it answers."""
    device, to = answer.device, answer.header
    header = Header(STATUS, answer.stage, device.id, to.epoch, to.counter)
    return seal(downlink_key_of(device.root_key, device.id), header, Status(answer.activation).pack())


def sealed_order(order: Order, now_us: int) -> bytes:
    """The command frame. Seal one that tells the time once only: its text is the moment's."""
    body = order.body
    if body is None:
        assert order.answers is not None
        content = time_content(now_us // 1000, order.answers.epoch, order.answers.counter)
        body = Command(SET_TIME, content).pack()
    return seal(downlink_key_of(order.device.root_key, order.device.id), order.header, body)
