"""The real gateway's code behind the virtual world's gateway: its ingest, book, outbox rows and store, with the
world's clock in place of the computer's. What is missing here are its threads, its broker library and its pages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.incidents.book import Book
from gateway.ingest.batch import STAGE_NUMBERS, Answer, Batch, Order
from gateway.ingest.commander import next_order
from gateway.ingest.intake import PAYLOAD_KEPT_BYTES, Uplink
from gateway.ingest.writer import sealed, sealed_order
from gateway.outbox import rows
from gateway.registry.devices import add_device, find_device, get_device, revoke_device
from gateway.registry.people import add_owner, add_relative
from gateway.registry.provision import device_settings
from gateway.store.engine import open_store
from gateway.store.schema import alarms, counts, devices, events, incidents
from gateway.supervision import commands, crashes, troubles
from panic_wire import topics
from panic_wire.frames import COMMAND_NAMES, STATUS, Header
from simulator.virtual.broker import Message
from simulator.virtual.gateway import Task
from simulator.virtual.gps import START

START_US = int(START.timestamp() * 1_000_000)
BACKEND = "police"
LEASE_US = 3_600_000_000
TRACED = ("activation", "stage", "duress")  # what of an event's data is in the trace


class VirtualStore:
    """The Store of simulator.virtual.gateway over a SQLite file in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._url = f"sqlite:///{folder / 'gateway.db'}"
        self._store = open_store(self._url)
        self._book = Book([BACKEND], "virtual")
        self._incidents: list[str] = []

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
        answers = [(topics.down(topics.device_name(each.device.id)), sealed(each)) for each in effects.answers]
        return answers + [self._order(each, now_us) for each in effects.orders]

    def _order(self, order: Order, now_us: int) -> tuple[str, bytes]:
        return topics.down(topics.device_name(order.device.id)), sealed_order(order, START_US + now_us)

    def command(self, name: str, what: str, setting: str, now_us: int) -> None:
        """What `sigap device set|locate|test|restart` does. what: a name of the contract."""
        code = {word: code for code, word in COMMAND_NAMES.items()}[what]
        with self._store.write() as conn:
            device = find_device(conn, name)
            assert device is not None
            commands.ask(conn, device.id, code, setting.encode(), "administrator:Admin", START_US + now_us)

    def orders(self, now_us: int) -> list[tuple[str, bytes]]:
        """The commands to publish now: those that were never sent, to devices that are at the broker."""
        at = START_US + now_us
        with self._store.write() as conn:
            waiting = commands.devices_to_tell(conn, 1000)
            found = [next_order(conn, each, at) for each in waiting]
        return [self._order(each, now_us) for each in found if each is not None]

    def act(self, incident: int, stage: str, actor: str, data: dict[str, Any], now_us: int) -> bool:
        with self._store.write() as conn:
            return self._book.record_stage(conn, self._id(incident), stage, actor, data, START_US + now_us)

    def tasks(self, now_us: int) -> list[Task]:
        at, found = START_US + now_us, []
        with self._store.write() as conn:
            for prefix in ("device:", "relative:", "backend:"):
                ids = rows.due(conn, prefix=prefix, now_us=at, limit=64)
                for each in rows.claim(conn, ids, now_us=at, lease_us=LEASE_US):
                    found.append(self._task(conn, each))
        return found

    def _task(self, conn: sa.Connection, delivery: Any) -> Task:
        incident = self._number(delivery.incident_id)
        payload = delivery.payload
        if delivery.destination.startswith("device:"):
            name, stage = payload["device"], payload["stage"]
            key = (alarms.c.device_id == topics.device_id(name), alarms.c.activation == payload["activation"])
            row = conn.execute(sa.select(alarms.c.epoch, alarms.c.counter).where(*key)).one()
            device = get_device(conn, topics.device_id(name))
            assert device is not None
            header = Header(STATUS, 0, device.id, row.epoch, row.counter)
            frame = sealed(Answer(device, header, STAGE_NUMBERS[stage], payload["activation"]))
            return Task(delivery.id, "device", incident, stage, (topics.down(name), frame))
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

    # What the checkers look at

    def alarms(self) -> list[dict[str, Any]]:
        """[{"device", "activation", "incident", "test", "state", "pressed_us", "received_us", "position", ...}]"""
        query = (
            sa.select(alarms, incidents.c.test, incidents.c.state, devices.c.name)
            .join(incidents, incidents.c.id == alarms.c.incident_id)
            .join(devices, devices.c.id == alarms.c.device_id)
            .order_by(alarms.c.received_at, alarms.c.device_id, alarms.c.activation)
        )
        with self._store.read() as conn:
            found = conn.execute(query).all()
        return [
            {
                "device": row.name,
                "activation": row.activation,
                "incident": self._number(row.incident_id),
                "test": bool(row.test),
                "state": row.state,
                "pressed_us": row.pressed_at - START_US,
                "received_us": row.received_at - START_US,
                "age_is_minimum": bool(row.age_is_minimum),
                "epoch": row.epoch,
                "counter": row.counter,
                "silent": bool(row.silent),
                "position": None if row.lat_e7 is None else (row.lat_e7 / 1e7, row.lon_e7 / 1e7),
                "accuracy_m": row.accuracy_m,
                "cancelled_us": None if row.cancelled_at is None else row.cancelled_at - START_US,
                "duress": bool(row.duress),
                "moved": bool(row.moved),
                "doubtful": bool(row.doubtful),
            }
            for row in found
        ]

    def upkeep(self, name: str) -> dict[str, Any]:
        """{"troubles": names of those that last, "had": of all, "commands": [{"says", "state", "answer"}], "crashes":
        texts}; what is known of a device beside its alarms, the oldest first."""
        with self._store.read() as conn:
            device = find_device(conn, name)
            assert device is not None
            lasting, ended = (
                [each["name"] for each in troubles.listed(conn, lasting=is_so, limit=300, device_id=device.id)]
                for is_so in (True, False)
            )
            return {
                "troubles": lasting[::-1],
                "had": (ended[::-1] + lasting[::-1]),
                "commands": [
                    {key: each[key] for key in ("says", "state", "answer")}
                    for each in reversed(commands.listed(conn, device.id, 1000))
                ],
                "crashes": [each["text"] for each in reversed(crashes.listed(conn, device.id))],
            }

    def events(self, after: int) -> list[dict[str, Any]]:
        query = sa.select(events, devices.c.name).join(incidents, incidents.c.id == events.c.incident_id)
        query = query.join(devices, devices.c.id == incidents.c.device_id)
        with self._store.read() as conn:
            found = conn.execute(query.where(events.c.id > after).order_by(events.c.id)).all()
        return [
            {
                "id": row.id,
                "at_us": row.at - START_US,
                "kind": row.kind,
                "incident": self._number(row.incident_id),
                "device": row.name,
                "actor": row.actor,
                **{key: value for key, value in json.loads(row.data).items() if key in TRACED},
            }
            for row in found
        ]

    def devices(self) -> dict[str, dict[str, Any]]:
        """{name: {"online", "last_heard_us"}}"""
        columns = (devices.c.name, devices.c.online, devices.c.last_heard_at)
        with self._store.read() as conn:
            found = conn.execute(sa.select(*columns).order_by(devices.c.id)).all()
        return {
            row.name: {
                "online": row.online,
                "last_heard_us": None if row.last_heard_at is None else row.last_heard_at - START_US,
            }
            for row in found
        }

    def counts(self) -> dict[str, int]:
        with self._store.read() as conn:
            return {row.name: row.value for row in conn.execute(sa.select(counts).order_by(counts.c.name)).all()}

    def _number(self, incident_id: str) -> int:
        """Incidents count from 1, in the order in which they were first met."""
        if incident_id not in self._incidents:
            self._incidents.append(incident_id)
        return self._incidents.index(incident_id) + 1

    def _id(self, number: int) -> str:
        return self._incidents[number - 1]
