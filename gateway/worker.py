"""Who is told of incidents, composed from the settings; and `sigap outbox work`, which tells them in its own process.

By default the gateway does it itself. Apart, either may be killed, restarted and limited without the other.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from zoneinfo import ZoneInfo

from gateway.backend_settings import BACKEND
from gateway.backends import kinds
from gateway.backends.accepting import accepts
from gateway.incidents.book import Book
from gateway.ingest.downlink import PREFIX as DEVICES
from gateway.ingest.downlink import DeviceDestination
from gateway.outbox.engine import Outbox
from gateway.outbox.port import Destination
from gateway.relatives.destination import PREFIX as RELATIVES
from gateway.relatives.destination import RelativesDestination
from gateway.settings import Settings
from gateway.store.engine import Store, open_store

log = logging.getLogger("sigap.outbox")

APART = (BACKEND, RELATIVES)  # what a worker serves; the way to the devices is the gateway's line to the broker
# No commit of another process wakes a worker: so much may be added to each step of an alarm.
LOOK_EVERY_S = 0.1


def book_of(settings: Settings) -> Book:
    """The book of this gateway's incidents."""
    backends = settings.backends
    receiving = [each.name for each in backends if each.receives]
    return Book([each.name for each in backends], settings.gateway.name, receiving)


def tellers(settings: Settings, store: Store, book: Book) -> list[Destination]:
    """The relatives and every police backend."""
    relatives = RelativesDestination(store, ZoneInfo(settings.gateway.time_zone))
    means = kinds.Means(accepts(book.record_stage), store, settings.gateway.name)
    return [relatives, *(kinds.make(backend, means) for backend in settings.backends)]


def deadlines(settings: Settings) -> dict[str, float]:
    """How long a delivery may wait before the desk says so, by destination: the same whoever serves it."""
    backends = {each.destination: kinds.KINDS[each.kind].policy.deadline_s for each in settings.backends}
    ours = (DeviceDestination, RelativesDestination)
    return backends | {each.prefix: each.policy.deadline_s for each in ours}


def run_worker(settings: Settings) -> None:
    """Tell backends and relatives until SIGTERM or SIGINT."""
    with open_store(settings.store_url) as store:
        asyncio.run(_work(settings, store))


async def _work(settings: Settings, store: Store) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    told = tellers(settings, store, book_of(settings))
    outbox = Outbox(store, told, elsewhere=(DEVICES,), look_every_s=LOOK_EVERY_S)
    work = asyncio.create_task(outbox.run(), name="outbox")
    stopped = asyncio.create_task(stop.wait(), name="signal")
    log.info("the outbox's worker runs, for %s", ", ".join(each.prefix for each in told))
    await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
    log.info("the outbox's worker ends")
    stopped.cancel()
    if not work.done():
        work.cancel()
        await asyncio.wait({work}, timeout=2.0)
        return
    work.result()  # it ends by itself only by a fault: say it, and leave with it
