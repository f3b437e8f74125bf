"""What a gateway's store says, as stories and their checkers look at it: names, numbers, time since a story's start."""

from __future__ import annotations

import json
import threading
from typing import Any

import sqlalchemy as sa

from gateway.registry.devices import find_device
from gateway.store.engine import Store
from gateway.store.schema import alarms, counts, devices, events, incidents
from gateway.supervision import commands, crashes, troubles
from panic_wire.frames import COMMAND_NAMES

TRACED = ("activation", "stage", "duress", "bearer", "late_ms")  # what of an event's data is in the trace


class View:
    """zero_us: the story's start, microseconds since 1970. Incidents are numbered as they are met: ids are random."""

    def __init__(self, store: Store, zero_us: int) -> None:
        self._store, self._zero_us = store, zero_us
        self._incidents: list[str] = []
        self._numbering = threading.Lock()

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
                "incident": self.number(row.incident_id),
                "test": bool(row.test),
                "state": row.state,
                "pressed_us": row.pressed_at - self._zero_us,
                "received_us": row.received_at - self._zero_us,
                "age_is_minimum": bool(row.age_is_minimum),
                "epoch": row.epoch,
                "counter": row.counter,
                "bearer": row.bearer,
                "silent": bool(row.silent),
                "position": None if row.lat_e7 is None else (row.lat_e7 / 1e7, row.lon_e7 / 1e7),
                "accuracy_m": row.accuracy_m,
                "cancelled_us": None if row.cancelled_at is None else row.cancelled_at - self._zero_us,
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

    def command(self, name: str, what: str, setting: str, now_us: int) -> None:
        """Ask something of a device as `sigap device set|locate|test|restart` does. what: a name of the contract."""
        code = {word: code for code, word in COMMAND_NAMES.items()}[what]
        with self._store.write() as conn:
            device = find_device(conn, name)
            assert device is not None
            commands.ask(conn, device.id, code, setting.encode(), "administrator:Admin", self._zero_us + now_us)

    def events(self, after: int) -> list[dict[str, Any]]:
        query = sa.select(events, devices.c.name).join(incidents, incidents.c.id == events.c.incident_id)
        query = query.join(devices, devices.c.id == incidents.c.device_id)
        with self._store.read() as conn:
            found = conn.execute(query.where(events.c.id > after).order_by(events.c.id)).all()
        return [
            {
                "id": row.id,
                "at_us": row.at - self._zero_us,
                "kind": row.kind,
                "incident": self.number(row.incident_id),
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
                "last_heard_us": None if row.last_heard_at is None else row.last_heard_at - self._zero_us,
            }
            for row in found
        }

    def counts(self) -> dict[str, int]:
        with self._store.read() as conn:
            return {row.name: row.value for row in conn.execute(sa.select(counts).order_by(counts.c.name)).all()}

    def number(self, incident_id: str) -> int:
        """Incidents count from 1, in the order in which they were first met."""
        with self._numbering:
            if incident_id not in self._incidents:
                self._incidents.append(incident_id)
            return self._incidents.index(incident_id) + 1

    def incident(self, number: int) -> str:
        """The id of the incident that this number is."""
        return self._incidents[number - 1]
