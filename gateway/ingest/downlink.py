"""The stages on their way to the button: a destination of the outbox, "device:<8 hex digits>"."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import sqlalchemy as sa

from gateway.clock import Clock, now_us
from gateway.incidents import stages
from gateway.incidents.events import record
from gateway.ingest.batch import STAGE_NUMBERS, Answer
from gateway.ingest.link import Link
from gateway.ingest.writer import sealed
from gateway.outbox.port import Delivery, Destination, Outcome
from gateway.outbox.retry import RetryPolicy
from gateway.registry.devices import Device, get_device
from gateway.store.engine import Store
from gateway.store.prepared import prepared
from gateway.store.schema import alarms
from panic_wire import topics
from panic_wire.frames import STATUS, Header

PREFIX = "device:"
AlarmKey = tuple[int, int]  # device, activation
_FRAME = prepared(
    sa.select(alarms.c.epoch, alarms.c.counter).where(
        alarms.c.device_id == sa.bindparam("device"), alarms.c.activation == sa.bindparam("of_activation")
    )
)


@dataclass(frozen=True)
class _Told:
    device: Device
    header: Header


class DeviceDestination(Destination):
    """Seals a stage as the answer to the alarm's newest frame, and publishes it.

    Done means that the broker has it. Whether the button got it, the button says: it announces an alarm that
    is not closed after each reconnect, and is answered with the newest stage.
    """

    prefix = PREFIX
    # The line is one for all devices, and is known to be up or down; an attempt without it costs nothing.
    policy = RetryPolicy(first_s=0.5, first_tries=10, most_s=10.0, shout_from=20)
    concurrency = 64
    limit_s = 10.0

    def __init__(self, store: Store, link: Link, clock: Clock = now_us) -> None:
        self._store, self._link, self._clock = store, link, clock
        self._asked: list[tuple[AlarmKey, asyncio.Future[_Told | None]]] = []
        self._looking: asyncio.Task[None] | None = None

    async def deliver(self, delivery: Delivery) -> Outcome:
        if not self._link.connected:
            return Outcome(done=False, error="there is no connection to the broker")
        name, activation = delivery.payload["device"], delivery.payload["activation"]
        stage = delivery.payload["stage"]
        told = await self._told((topics.device_id(name), activation))
        if told is None:
            return Outcome(done=False, reached=True, error=f"the alarm {name}-{activation} is not in the store")
        frame = sealed(Answer(told.device, told.header, STAGE_NUMBERS[stage], activation))
        loop = asyncio.get_running_loop()
        confirmed: asyncio.Future[None] = loop.create_future()

        def settle() -> None:
            if not confirmed.done():
                confirmed.set_result(None)

        def done() -> None:  # on the network thread, perhaps after the loop was closed
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle)

        if not self._link.publish(topics.down(name), frame, done):
            return Outcome(done=False, error="the broker does not take more for now")
        await confirmed
        return Outcome(done=True, effect=lambda conn: self._record(conn, delivery, activation, stage))

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
                    found.append(_Told(device, Header(STATUS, 0, device_id, row.epoch, row.counter)))
        return found

    def _record(self, conn: sa.Connection, delivery: Delivery, activation: int, stage: str) -> None:
        data = {"activation": activation, "stage": stage}
        record(conn, delivery.incident_id, self._clock(), stages.TOLD, delivery.destination, data)
