"""Sends commands that somebody has just asked for to devices that are at the broker; the writer sends the others, with
the next heartbeat."""

from __future__ import annotations

import asyncio
import logging

import sqlalchemy as sa
from sqlalchemy.exc import SQLAlchemyError

from gateway.clock import Clock, now_us
from gateway.ingest.batch import Order
from gateway.ingest.link import Link
from gateway.ingest.writer import sealed_order
from gateway.registry.devices import get_device
from gateway.store.engine import Store
from gateway.store.problems import StoreProblem
from gateway.supervision import commands
from panic_wire import topics

log = logging.getLogger("sigap.ingest")

LOOK_EVERY_S = 0.5
MOST_AT_ONCE = 100
GIVE_UP_EVERY_US = 3_600_000_000


class Commander:
    """run() it until it is cancelled."""

    def __init__(self, store: Store, link: Link, clock: Clock = now_us) -> None:
        self._store, self._link, self._clock = store, link, clock
        self._gave_up_at = 0

    async def run(self) -> None:
        failed = False
        while True:
            try:
                if self._link.connected:
                    await asyncio.to_thread(self._look)
                failed = False
            except (SQLAlchemyError, StoreProblem) as error:
                if not failed:
                    log.error("commands cannot be sent now: %s", error)
                failed = True
            await asyncio.sleep(LOOK_EVERY_S)

    def _look(self) -> None:
        now = self._clock()
        with self._store.read() as conn:
            waiting = commands.devices_to_tell(conn, MOST_AT_ONCE)
        gives_up = now - self._gave_up_at >= GIVE_UP_EVERY_US
        if not waiting and not gives_up:
            return
        with self._store.write() as conn:
            if gives_up:
                commands.give_up_old(conn, now)
            orders = [order for each in waiting if (order := next_order(conn, each, now)) is not None]
        if gives_up:
            self._gave_up_at = now
        for order in orders:
            name = topics.device_name(order.device.id)
            if not self._link.publish(topics.down(name), sealed_order(order, now)):
                log.warning("a command to %s could not be sent; it goes with its next heartbeat", order.device.name)


def next_order(conn: sa.Connection, device_id: int, now_us: int) -> Order | None:
    """The command that was never sent and whose turn it is, counted as sent."""
    device = get_device(conn, device_id)
    following = commands.next_to_send(conn, device_id, now_us, again=False)
    if device is None or following is None:
        return None
    return Order(device, following.header, following.body)
