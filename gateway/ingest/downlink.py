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
from gateway.store.schema import alarms
from panic_wire import topics
from panic_wire.frames import STATUS, Header

PREFIX = "device:"


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

    async def deliver(self, delivery: Delivery) -> Outcome:
        if not self._link.connected:
            return Outcome(done=False, error="there is no connection to the broker")
        name, activation = delivery.payload["device"], delivery.payload["activation"]
        stage = delivery.payload["stage"]
        told = await asyncio.to_thread(self._find, topics.device_id(name), activation)
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

    def _find(self, device_id: int, activation: int) -> _Told | None:
        query = sa.select(alarms.c.epoch, alarms.c.counter).where(
            alarms.c.device_id == device_id, alarms.c.activation == activation
        )
        with self._store.read() as conn:
            device, row = get_device(conn, device_id), conn.execute(query).first()
        if device is None or row is None:
            return None
        return _Told(device, Header(STATUS, 0, device_id, row.epoch, row.counter))

    def _record(self, conn: sa.Connection, delivery: Delivery, activation: int, stage: str) -> None:
        data = {"activation": activation, "stage": stage}
        record(conn, delivery.incident_id, self._clock(), stages.TOLD, delivery.destination, data)
