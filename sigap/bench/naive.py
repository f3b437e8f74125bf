"""The naive gateway to compare with: paho-mqtt, sqlite3, and a commit for each alarm before its receipt.

What anybody would write first, and durable: `python -m sigap.bench.naive PORT DATABASE [POLICE_URL]`. It does the
work of gateway/ingest for alarms that are new, with SQL of its own: the device is looked up, its frame opened and
checked against the replay window, and the same rows are written. Only the key comes from the load itself.
"""

from __future__ import annotations

import json
import socket
import sqlite3
import sys
import time
import uuid
from typing import Any

import paho.mqtt.client as mqtt
import requests
from paho.mqtt.enums import CallbackAPIVersion

from panic_wire import topics
from panic_wire.frames import RECEIPT, STATUS, Alarm, Header, Status, alarm_id, unpack_alarm, unpack_header
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.replay import ReplayWindow
from panic_wire.seal import open_frame, seal
from sigap.bench.load import root_key

WIDTH, BITMAP_BYTES = 256, 32
DEVICE = """SELECT d.name, d.silent, o.name, o.registered_message
FROM devices AS d LEFT JOIN owners AS o ON o.id = d.owner_id WHERE d.id = ? AND d.revoked_at IS NULL"""
WINDOW = "SELECT highest, bitmap FROM replay_windows WHERE device_id = ? AND epoch = ?"
KEEP_WINDOW = """INSERT INTO replay_windows (device_id, epoch, highest, bitmap, updated_at) VALUES (?, ?, ?, ?, ?)
ON CONFLICT (device_id, epoch) DO UPDATE SET highest = excluded.highest, bitmap = excluded.bitmap,
updated_at = excluded.updated_at"""
OPEN_INCIDENT = "SELECT id FROM incidents WHERE device_id = ? AND state != 'closed' ORDER BY id DESC LIMIT 1"
ADD_INCIDENT = "INSERT INTO incidents (id, device_id, state, opened_at, changed_at) VALUES (?, ?, 'open', ?, ?)"
TOUCH = "UPDATE incidents SET changed_at = ? WHERE id = ?"
ADD_ALARM = """INSERT INTO alarms (device_id, activation, incident_id, pressed_at, received_at, bearer, epoch, counter,
lat_e7, lon_e7, accuracy_m, battery_mv) VALUES (?, ?, ?, ?, ?, 'wifi', ?, ?, ?, ?, ?, ?)"""
ADD_EVENT = "INSERT INTO events (incident_id, at, kind, actor, data) VALUES (?, ?, ?, ?, ?)"
ADD_DELIVERY = """INSERT INTO deliveries (id, destination, incident_id, kind, payload, state, next_at, created_at)
VALUES (?, 'backend:police', ?, ?, ?, 'pending', ?, ?)"""
HEARD = "UPDATE devices SET last_heard_at = ? WHERE id = ?"
COUNT = """INSERT INTO counts (name, value) VALUES ('ingest.alarms', 1)
ON CONFLICT (name) DO UPDATE SET value = value + 1"""


class Naive:
    """One connection to the broker, one to the database, one thread."""

    def __init__(self, port: int, database: str, police: str | None = None) -> None:
        self._police = police
        self._db = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON"):
            self._db.execute(f"PRAGMA {pragma}").fetchall()
        self._client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="naive", protocol=mqtt.MQTTv311)
        client.max_inflight_messages_set(0)
        client.on_socket_open = self._on_socket_open
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: print("ready", flush=True)
        client.on_message = self._on_message
        client.connect("127.0.0.1", port)

    def run(self) -> None:
        self._client.loop_forever()

    def _on_socket_open(self, _client: mqtt.Client, _data: object, sock: Any) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_connect(self, client: mqtt.Client, *_: object) -> None:
        client.subscribe(topics.ALL_UP, 1)

    def _on_message(self, _client: Any, _data: object, message: mqtt.MQTTMessage) -> None:
        frame = bytes(message.payload)
        header = unpack_header(frame)
        self._db.execute("BEGIN IMMEDIATE")
        device = self._db.execute(DEVICE, (header.device,)).fetchone()
        if device is None:
            self._db.execute("ROLLBACK")
            return
        key = root_key(header.device)
        _, body = open_frame(uplink_key(key, header.device), frame)
        alarm = unpack_alarm(body)
        new = self._is_new(header)
        if new:
            self._write(device, header, alarm)
        self._db.execute("COMMIT")
        answer = Header(STATUS, RECEIPT, header.device, header.epoch, header.counter)
        receipt = seal(downlink_key(key, header.device), answer, Status(alarm.activation).pack())
        self._client.publish(topics.down(topics.device_name(header.device)), receipt, qos=1)
        if new and self._police:
            requests.post(self._police, data=self._told, timeout=10)

    def _is_new(self, header: Header) -> bool:
        row = self._db.execute(WINDOW, (header.device, header.epoch)).fetchone()
        window = (
            ReplayWindow(width=WIDTH) if row is None else ReplayWindow(row[0], int.from_bytes(row[1], "big"), WIDTH)
        )
        if not window.check_and_set(header.counter):
            return False
        bitmap = window.bitmap.to_bytes(BITMAP_BYTES, "big")
        self._db.execute(KEEP_WINDOW, (header.device, header.epoch, window.highest, bitmap, time.time_ns() // 1000))
        return True

    def _write(self, device: tuple[Any, ...], header: Header, alarm: Alarm) -> None:
        now, db = time.time_ns() // 1000, self._db
        found = db.execute(OPEN_INCIDENT, (header.device,)).fetchone()
        if found is None:
            incident, kind = str(uuid.uuid4()), "opened"
            db.execute(ADD_INCIDENT, (incident, header.device, now, now))
        else:
            incident, kind = found[0], "alarm_joined"
            db.execute(TOUCH, (now, incident))
        at, where = now - alarm.age_ms * 1000, (alarm.lat_e7, alarm.lon_e7, alarm.accuracy_m)
        numbers = (header.epoch, header.counter, *where, alarm.battery_mv)
        db.execute(ADD_ALARM, (header.device, alarm.activation, incident, at, now, *numbers))
        data = {"activation": alarm.activation, "pressed_at": at, "lat_e7": alarm.lat_e7, "lon_e7": alarm.lon_e7}
        db.execute(ADD_EVENT, (incident, now, kind, f"device:{header.device:08x}", json.dumps(data)))
        delivery = str(uuid.uuid4())
        event = {
            "specversion": "1.0",
            "id": delivery,
            "source": "urn:sigap:gateway:naive",
            "type": f"id.sigap.incident.{kind}.v1",
            "subject": incident,
            "time": now,
            "data": {
                "incident": incident,
                "device": f"{header.device:08x}",
                "device_name": device[0],
                "owner": {"name": device[2], "registered_message": device[3]},
                "silent": bool(device[1]) or alarm.silent,
                "alarms": [{"alarm": alarm_id(header.device, alarm.activation), "pressed_at": at}],
                "position": {"lat": (alarm.lat_e7 or 0) / 1e7, "lon": (alarm.lon_e7 or 0) / 1e7},
            },
        }
        self._told = json.dumps(event)
        db.execute(ADD_DELIVERY, (delivery, incident, kind, self._told, now, now))
        db.execute(HEARD, (now, header.device))
        db.execute(COUNT)


if __name__ == "__main__":
    Naive(int(sys.argv[1]), *sys.argv[2:]).run()
