"""`sigap gateway`, composed: broker link and writer thread, outbox, HTTP, and their orderly end."""

from __future__ import annotations

import asyncio
import logging
import signal
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy.exc import SQLAlchemyError

from gateway.backend_settings import CapSettings, WebhookSettings
from gateway.backends.cap import feed
from gateway.bases.ways import Ways
from gateway.broker.certificates import AUTHORITY_KEY, KEY
from gateway.broker.files import PASSWORDS
from gateway.broker.running import refresh
from gateway.desk.pages import Desk
from gateway.http import Server, build_app, listen
from gateway.inbound import callbacks
from gateway.incidents.deadline import Deadline
from gateway.ingest.commander import Commander
from gateway.ingest.downlink import PREFIX, DeviceDestination
from gateway.ingest.intake import Intake
from gateway.ingest.link import Link
from gateway.ingest.writer import Writer
from gateway.operations import probes
from gateway.operations.metrics import Measured, Metrics
from gateway.operations.retention import Retention
from gateway.outbox.engine import Outbox
from gateway.phone.pages import Phones
from gateway.private_files import narrow
from gateway.registry.devices import Device, list_devices
from gateway.settings import Settings
from gateway.store.engine import Store, open_store
from gateway.worker import APART, book_of, deadlines, tellers
from sigap.problem import USAGE, Problem

log = logging.getLogger("sigap.gateway")

WATCH_EVERY_S = 1.0


def run_gateway(settings: Settings, *, tells: bool = True) -> None:
    """Run until SIGTERM or SIGINT. Problem for what keeps it from starting, or from going on. tells: backends and
    relatives, too; otherwise `sigap outbox work` does."""
    if not settings.broker.password:
        todo = "Set [broker] password to the gateway's at the broker; `sigap config init` writes a fresh one"
        raise Problem("[broker] password is empty, so the gateway cannot log in at the broker", todo, USAGE)
    listener = listen(settings.http)
    try:
        for said in close_to_others(settings):
            log.warning("%s", said)
        with open_store(settings.store_url) as store:
            asyncio.run(Gateway(settings, store, tells=tells).run(listener))
    finally:
        listener.close()


def close_to_others(settings: Settings) -> list[str]:
    """Take other users' rights to what holds secrets away; a sentence for each that was open. Problem where that
    cannot be done."""
    broker = settings.broker_dir
    found = [
        ("the settings file", settings.file),
        ("the folder of data", settings.data_dir),
        ("the master key", settings.master_key),
        *(("the broker's file", broker / name) for name in (PASSWORDS, AUTHORITY_KEY, KEY)),
    ]
    return [said for what, path in found if path is not None and (said := narrow(path, what)) is not None]


class Gateway:
    """The parts of one running gateway."""

    def __init__(self, settings: Settings, store: Store, *, tells: bool = True) -> None:
        self._settings, self._store = settings, store
        self._intake = Intake()
        self._link = Link(
            self._intake,
            host=settings.broker.host,
            port=settings.broker.port_of_gateway,
            username=settings.broker.username,
            password=settings.broker.password,
            on_up=lambda: self._outbox.retry_now(PREFIX),
        )
        self._book = book_of(settings)
        self._ways = Ways(self._link, self._intake, settings.bases.listed, store, self._wake)
        told = [DeviceDestination(store, self._ways), *(tellers(settings, store, self._book) if tells else ())]
        self._outbox = Outbox(store, told, elsewhere=() if tells else APART)
        zone = ZoneInfo(settings.gateway.time_zone)
        name = settings.gateway.name
        self._desk = Desk(
            store,
            self._book,
            self._wake,
            zone,
            name,
            deadlines=deadlines(settings),
            phone_base=settings.phone_base,
            refresh=self._refresh_broker,
        )
        self._deadline = Deadline(store, self._desk.changed)
        self._commander = Commander(store, self._link)
        self._retention = Retention(store, settings.retention)
        self._metrics = Metrics(store, self._intake, self._link)
        line = Measured(self._ways, self._metrics.receipt_seconds)
        self._writer = Writer(store, self._intake, line, self._book, self._wake)
        probed = probes.routes(probes.Readiness(store, self._link, self._writer), self._metrics.text)
        callers = [each for each in settings.backends if isinstance(each, WebhookSettings)]
        feeds = [each for each in settings.backends if isinstance(each, CapSettings)]
        routes = [
            *callbacks.routes(store, self._book, callers, self._wake),
            *feed.routes(store, feeds, settings.gateway.name),
        ]
        sos = Phones(settings, store, self._ways.calls, self._refresh_broker)
        routes += sos.routes()
        self._server = Server(build_app([*routes, *probed, *self._desk.routes()], self.health))
        self._outbox_runs = False

    async def run(self, listener: Any) -> None:
        """Start everything, wait for a signal or a fault, end everything in order."""
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        outbox = asyncio.create_task(self._outbox.run(), name="outbox")
        server = asyncio.create_task(self._server.serve([listener]), name="http")
        watch = asyncio.create_task(self._watch(), name="watch")
        commander = asyncio.create_task(self._commander.run(), name="commander")
        retention = asyncio.create_task(self._retention.run(), name="retention")
        deadline = asyncio.create_task(self._when_somebody_can_accept(), name="deadline")
        stopped = asyncio.create_task(stop.wait(), name="signal")
        bases = asyncio.create_task(self._ways.run(), name="bases")
        self._outbox_runs = True
        self._writer.start()
        self._link.start()
        http = self._settings.http
        log.info("the gateway %s runs, HTTP at %s:%d", self._settings.gateway.name, http.host, http.port)
        try:
            parts = {outbox, server, watch, bases, commander, deadline, retention, stopped}
            ended, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._outbox_runs = False
            await self._end(outbox, server, watch, bases, commander, deadline, retention, stopped)
        for task in ended - {stopped}:
            raise Problem(f"the gateway's part {task.get_name()} ended", "See its log, and start it again") from (
                task.exception()
            )

    def health(self) -> dict[str, Any]:
        """Whether alarms can be taken now ("ok"), and what else is amiss. Call it in a thread.

        {"ok", "name", "broker": connected, "store": takes commits, "outbox": deliveries that wait, "waiting":
        messages not yet committed, "problems": slugs}. "outbox-in-trouble" alone does not make it not ok.
        """
        writer, pending, outbox_ok, store_ok = self._writer.health(), 0, True, True
        try:
            outbox = self._outbox.health()
            pending, outbox_ok = sum(each["pending"] for each in outbox["waiting"]), outbox["ok"]
        except (SQLAlchemyError, Problem) as error:
            log.error("health cannot read the store: %s", error)
            store_ok = False
        link = self._link.health()
        amiss = {
            "broker-refuses-login": link["refused"] is not None,
            "broker-not-connected": not link["ok"],
            "store-fails": not (store_ok and writer["ok"]),
            "outbox-ended": not self._outbox_runs,
            "outbox-in-trouble": not outbox_ok,
        }
        problems = [name for name, is_so in amiss.items() if is_so]
        return {
            "ok": not set(problems) - {"outbox-in-trouble"},
            "name": self._settings.gateway.name,
            "broker": link["ok"],
            "store": store_ok and writer["ok"],
            "outbox": pending,
            "waiting": writer["waiting"],
            "problems": problems,
        }

    def _refresh_broker(self) -> None:
        """The broker lets in a phone that has just come, and out one that was revoked."""

        def devices() -> list[Device]:
            with self._store.read() as conn:
                return list_devices(conn, revoked=False)

        refresh(self._settings.broker_dir, self._settings.broker, devices)

    def _wake(self) -> None:
        """Something was committed, which open desks show. The outbox hears of it from the store."""
        self._desk.changed()

    async def _when_somebody_can_accept(self) -> None:
        """An incident's deadline is watched wherever there is a police system to accept it."""
        somebody = any(backend.receives for backend in self._settings.backends)
        await (self._deadline.run() if somebody else asyncio.Event().wait())

    async def _watch(self) -> None:
        """Ends, and the gateway with it, when the writer has ended: whoever supervises us starts us anew."""
        while self._writer.alive:
            await asyncio.sleep(WATCH_EVERY_S)
            self._link.watch()

    async def _end(self, outbox: asyncio.Task[None], server: asyncio.Task[None], *others: asyncio.Task[Any]) -> None:
        """Within 3 s: finish what was taken in, then leave the broker, which keeps the rest for the next
        gateway."""
        log.info("the gateway ends")
        self._server.should_exit = True
        outbox.cancel()
        for task in others:
            task.cancel()
        if not await asyncio.to_thread(self._writer.stop):
            log.warning("the writer did not end in time; what it holds comes again from the broker")
        await asyncio.to_thread(self._link.stop)
        await asyncio.wait({outbox, server, *others}, timeout=1.0)
