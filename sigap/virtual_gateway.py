"""The real gateway's code behind the virtual world's gateway: its ingest, book, outbox rows and store, with the
world's clock in place of the computer's. What is missing here are its threads, its broker library and its pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.ingest.batch import LORA, STAGE_NUMBERS, Answer, Batch, Order
from gateway.ingest.commander import next_order
from gateway.ingest.hearings import last_base
from gateway.ingest.intake import PAYLOAD_KEPT_BYTES, Uplink
from gateway.ingest.writer import addressed, sealed, sealed_order
from gateway.outbox import rows
from gateway.registry.devices import add_device, get_device, revoke_device
from gateway.registry.people import add_owner, add_relative
from gateway.registry.provision import device_settings
from gateway.store.engine import open_store
from gateway.store.schema import alarms
from gateway.supervision import commands
from panic_wire import topics
from panic_wire.frames import ACCEPTED, STATUS, Header
from sigap.store_view import View
from simulator.virtual.broker import Message
from simulator.virtual.gateway import Task
from simulator.virtual.gps import START

START_US = int(START.timestamp() * 1_000_000)
BACKEND = "police"
LEASE_US = 3_600_000_000


class VirtualStore(View):
    """The Store of simulator.virtual.gateway over a SQLite file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder / 'gateway.db'}"
        super().__init__(open_store(self._url), START_US)
        self._book = Book([BACKEND], "virtual")

    def register(
        self, name: str, *, index: int, broker: tuple[str, int], key: bytes, **settings: Any
    ) -> dict[str, Any]:
        """Register owner, relative and device; what goes to its /device.json. settings: "silent", "site" (lat, lon),
        "wants_tests", and what device_settings takes."""
        site, silent = settings.pop("site", None), settings.pop("silent", False)
        wants_tests = settings.pop("wants_tests", False)
        owner = f"Pemilik {name}"
        with self._store.write() as conn:
            add_owner(conn, name=owner, now_us=START_US)
            add_relative(
                conn,
                owner=owner,
                name="Keluarga",
                channel="mailto://127.0.0.1:1/?from=a@example.org&to=b@example.org",
                wants_tests=wants_tests,
                now_us=START_US,
            )
            device = add_device(
                conn,
                name=name,
                owner=owner,
                silent=silent,
                site_name=name if site else None,
                site_lat=site[0] if site else None,
                site_lon=site[1] if site else None,
                now_us=START_US,
                device_id=0x51000000 + index,
                root_key=key,
            )
        return device_settings(device, broker_host=broker[0], broker_port=broker[1], wifi_ssid="sigap", **settings)

    def revoke(self, name: str, now_us: int) -> None:
        with self._store.write() as conn:
            revoke_device(conn, name, START_US + now_us)

    # The port

    def commit(self, messages: list[Message], now_us: int) -> list[tuple[str, bytes]]:
        with self._store.write() as conn:
            return self.take(conn, messages, now_us)

    def take(self, conn: sa.Connection, messages: list[Message], now_us: int) -> list[tuple[str, bytes]]:
        """What one transaction does with messages, and the answers to send once it is committed."""
        uplinks = [
            Uplink(
                topic=one.topic,
                payload=one.payload[:PAYLOAD_KEPT_BYTES],
                size_bytes=len(one.payload),
                qos=one.qos,
                retained=one.retain,
                duplicate=one.dup,
                mid=one.mid,
                received_at=START_US + now_us,
            )
            for one in messages
        ]
        effects = Batch(conn, self._book).take_all(uplinks)
        answers = [addressed(each) for each in effects.answers]
        return answers + [self._order(each, now_us) for each in effects.orders]

    def _order(self, order: Order, now_us: int) -> tuple[str, bytes]:
        return topics.down(topics.device_name(order.device.id)), sealed_order(order, START_US + now_us)

    def orders(self, now_us: int) -> list[tuple[str, bytes]]:
        """The commands to publish now: those that were never sent, to devices that are at the broker."""
        at = START_US + now_us
        with self._store.write() as conn:
            waiting = commands.devices_to_tell(conn, 1000)
            found = [next_order(conn, each, at) for each in waiting]
        return [self._order(each, now_us) for each in found if each is not None]

    def act(self, incident: int, stage: str, actor: str, data: dict[str, Any], now_us: int) -> bool:
        with self._store.write() as conn:
            return self._book.record_stage(conn, self.incident(incident), stage, actor, data, START_US + now_us)

    def tasks(self, now_us: int) -> list[Task]:
        at, found = START_US + now_us, []
        with self._store.write() as conn:
            for prefix in ("device:", "relative:", "backend:"):
                ids = rows.due(conn, prefix=prefix, now_us=at, limit=64)
                for each in rows.claim(conn, ids, now_us=at, lease_us=LEASE_US):
                    found.append(self._task(conn, each))
        return found

    def _task(self, conn: sa.Connection, delivery: Any) -> Task:
        incident = self.number(delivery.incident_id)
        payload = delivery.payload
        if delivery.destination.startswith("device:"):
            name, stage = payload["device"], payload["stage"]
            key = (alarms.c.device_id == topics.device_id(name), alarms.c.activation == payload["activation"])
            row = conn.execute(sa.select(alarms.c.epoch, alarms.c.counter, alarms.c.bearer).where(*key)).one()
            device = get_device(conn, topics.device_id(name))
            assert device is not None
            header = Header(STATUS, 0, device.id, row.epoch, row.counter)
            answer = Answer(device, header, STAGE_NUMBERS[stage], payload["activation"])
            by_base = row.bearer == LORA and answer.stage > ACCEPTED
            base = last_base(conn, device.id) if by_base else None
            by_air = () if base is None else (addressed(replace(answer, base=base)),)
            return Task(delivery.id, "device", incident, stage, (topics.down(name), sealed(answer)), more=by_air)
        data = payload.get("data", payload)
        to = "relative" if delivery.destination.startswith("relative:") else "police"
        return Task(delivery.id, to, incident, str(data.get("change", delivery.kind)), test=bool(data.get("test")))

    def done(self, task: Task, now_us: int) -> None:
        with self._store.write() as conn:
            rows.finish(conn, task.id, now_us=START_US + now_us)

    def reopen(self) -> None:
        """A new process: leases of the one before are void."""
        self._store.close()
        self._store = open_store(self._url)
        with self._store.write() as conn:
            rows.drop_leases(conn)

    def close(self) -> None:
        self._store.close()
