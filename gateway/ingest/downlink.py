"""The stages on their way to the button: a destination of the outbox, "device:<8 hex digits>"."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

import sqlalchemy as sa

from gateway.clock import Clock, now_us
from gateway.incidents import stages
from gateway.incidents.events import record
from gateway.ingest.batch import LORA, STAGE_NUMBERS, Answer
from gateway.ingest.hearings import last_base
from gateway.ingest.writer import addressed
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.registry.devices import Device, get_device
from gateway.store.engine import Store
from gateway.store.prepared import prepared
from gateway.store.schema import alarms, devices
from panic_wire import topics
from panic_wire.frames import ACCEPTED, STATUS, Header

PREFIX = "device:"
AIR_S = (0.0, 5.0)
AlarmKey = tuple[int, int]  # device, activation
_FRAME = prepared(
    sa.select(alarms.c.epoch, alarms.c.counter, alarms.c.bearer, devices.c.online)
    .join(devices, devices.c.id == alarms.c.device_id)
    .where(alarms.c.device_id == sa.bindparam("device"), alarms.c.activation == sa.bindparam("of_activation"))
)


class Line(Protocol):
    """What carries it: the broker's link, and base stations."""

    @property
    def connected(self) -> bool: ...
    @property
    def has_bases(self) -> bool: ...
    def publish(self, topic: str, payload: bytes, done: Callable[[], None] | None = None) -> bool: ...


@dataclass(frozen=True)
class _Told:
    device: Device
    header: Header
    base: int | None  # a base station that can tell it, where the broker perhaps cannot
    online: bool  # at the broker


class DeviceDestination(Destination):
    """Seals a stage as the answer to the alarm's newest message, and publishes it.

    Done means that the broker has it. Whether the button got it, the button says: it announces an alarm that
    is not closed after each reconnect, and is answered with the newest stage.
    """

    prefix = PREFIX
    # The line is one for all devices, and is known to be up or down; an attempt without it costs nothing.
    policy = RetryPolicy(first_s=0.5, first_tries=10, most_s=10.0, shout_from=20)
    concurrency = 64
    limit_s = 10.0

    def __init__(self, store: Store, link: Line, clock: Clock = now_us) -> None:
        self._store, self._link, self._clock = store, link, clock
        self._asked: list[tuple[AlarmKey, asyncio.Future[_Told | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def deliver(self, delivery: Delivery) -> Outcome:
        if not self._link.connected and not self._link.has_bases:
            return Outcome(done=False, error="there is no connection to the broker")
        name, activation = delivery.payload["device"], delivery.payload["activation"]
        stage = delivery.payload["stage"]
        told = await self._told((topics.device_id(name), activation))
        if told is None:
            return Outcome(done=False, reached=True, error=f"the alarm {name}-{activation} is not in the store")
        answer = Answer(told.device, told.header, STAGE_NUMBERS[stage], activation)
        if told.base is not None and answer.stage > ACCEPTED:  # which the light does not tell from the receipt
            self._by_air(replace(answer, base=told.base))
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not confirmed.done():
                confirmed.set_result(None)

        def done() -> None:  # on the network thread, perhaps after the loop was closed
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)

        if not self._link.publish(*addressed(answer), done):
            if told.base is not None and not self._link.connected:
                return Outcome(done=True, effect=lambda conn: self._record(conn, delivery, activation, stage))
            return Outcome(done=False, error="the broker does not take more for now")
        await confirmed
        if told.base is not None and answer.stage <= ACCEPTED and not told.online:
            return Outcome(done=True)  # nobody has told the button, nor need anybody: it shows what the receipt said
        return Outcome(done=True, effect=lambda conn: self._record(conn, delivery, activation, stage))

    def _by_air(self, answer: Answer) -> None:
        """Now and once more: nobody says whether the button heard it."""
        loop = asyncio.get_running_loop()
        for after_s in AIR_S:
            loop.call_later(after_s, self._link.publish, *addressed(answer))

    async def _told(self, key: AlarmKey) -> _Told | None:
        """Whom to answer, and which frame; what is asked for meanwhile is read together."""
        found: asyncio.Future[_Told | None] = asyncio.get_running_loop().create_future()
        self._asked.append((key, found))
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())  # of its own: an attempt may be cut off
        return await found

    async def _look(self) -> None:
        while self._asked:
            asked, self._asked = self._asked, []
            await self._answer(asked)

    async def _answer(self, asked: list[tuple[AlarmKey, asyncio.Future[_Told | None]]]) -> None:
        try:
            answers = await asyncio.to_thread(self._find, [key for key, _ in asked])
        except Exception as error:  # noqa: BLE001 (it is each asker's)
            for _, found in asked:
                if not found.done():
                    found.set_exception(error)
            return
        for (_, found), answer in zip(asked, answers, strict=True):
            if not found.done():
                found.set_result(answer)

    def _find(self, keys: list[AlarmKey]) -> list[_Told | None]:
        found: list[_Told | None] = []
        with self._store.read() as conn:
            for device_id, activation in keys:
                device = get_device(conn, device_id)
                row = conn.execute(_FRAME, {"device": device_id, "of_activation": activation}).first()
                if device is None or row is None:
                    found.append(None)
                else:
                    base = last_base(conn, device_id) if row.bearer == LORA or not row.online else None
                    found.append(
                        _Told(device, Header(STATUS, 0, device_id, row.epoch, row.counter), base, bool(row.online))
                    )
        return found

    def _record(self, conn: sa.Connection, delivery: Delivery, activation: int, stage: str) -> None:
        data = {"activation": activation, "stage": stage}
        record(conn, delivery.incident_id, self._clock(), stages.TOLD, delivery.destination, data)
