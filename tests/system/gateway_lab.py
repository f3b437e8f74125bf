"""A real Mosquitto, a real `sigap gateway` process and a button made of paho and panic_wire, for tests."""

from __future__ import annotations

import base64
import contextlib
import json
import queue
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from standardwebhooks import Webhook

from gateway.broker.files import MOST_IN_FLIGHT
from gateway.clock import now_us
from gateway.registry.devices import Device, add_device
from gateway.store.engine import open_store
from panic_wire import topics
from panic_wire.bodies import unpack_time
from panic_wire.frames import (
    ALARM,
    COMMAND,
    HEARTBEAT,
    SET_TIME,
    STAGE_NAMES,
    Alarm,
    Command,
    Header,
    Heartbeat,
    unpack_command,
    unpack_status,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from sigap.processes import free_port

MOSQUITTO = shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin:/usr/bin:/opt/homebrew/sbin")
PASSWORD = "a long enough password"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
CALLBACK_SECRET = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()
LIMIT_S = 10.0
START_LIMIT_S = 30.0  # a process with all its imports, beside other tests


def wait_until(holds: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline, f"{what} did not happen within {limit_s:g} s"
        time.sleep(0.01)


class Broker:
    """Mosquitto that lets anybody do anything: what its access list would stop must not harm the gateway
    either."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.log = folder / "mosquitto.log"
        self.config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\n"
            f"max_inflight_messages {MOST_IN_FLIGHT}\nmax_queued_messages 0\n"
        )
        self.process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        assert MOSQUITTO, "mosquitto is not installed"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen([MOSQUITTO, "-c", str(self.config)], stdout=log, stderr=log)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        wait_until(listens, "the broker's start")

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()


class GatewayProcess:
    """`sigap gateway` as it is shipped, with its own database: SQLite, or that of `store_url`."""

    def __init__(self, folder: Path, broker: Broker, store_url: str = "") -> None:
        self.folder, self.http_port = folder, free_port()
        self.config, self.log = folder / "sigap.toml", folder / "gateway.log"
        database, _, master_key = store_url.partition("?master_key=")
        self.config.write_text(
            f'[gateway]\ndata_dir = "var"\n[broker]\nport = {broker.port}\npassword = "{PASSWORD}"\n'
            f'[http]\nport = {self.http_port}\n[store]\nurl = "{database}"\n'
            f'master_key = "{master_key}"\n'
            # A police system that is down all the time, and yet calls back.
            f'[[backends]]\nname = "police"\nurl = "http://127.0.0.1:{free_port()}/"\n'
            f'secret = "{SECRET}"\ncallback_secret = "{CALLBACK_SECRET}"\n'
        )
        self.config.chmod(0o600)
        self.store = open_store(store_url or f"sqlite:///{folder / 'var' / 'sigap.db'}")
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "sigap.cli", "gateway", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def wait_healthy(self) -> dict[str, Any]:
        wait_until(lambda: self.health().get("ok", False), "a healthy gateway", START_LIMIT_S)
        return self.health()

    def health(self) -> dict[str, Any]:
        assert self.process is not None
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/health", timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def say(self, incident: str, status: str, **more: Any) -> dict[str, Any]:
        """The police system's signed callback."""
        event = {
            "specversion": "1.0",
            "id": secrets.token_hex(8),
            "source": "urn:test:police",
            "type": "id.sigap.incident.status.v1",
            "data": {"incident": incident, "status": status, **more},
        }
        body, at = json.dumps(event), datetime.now(UTC)
        headers = {
            "content-type": "application/cloudevents+json",
            "webhook-id": event["id"],
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": Webhook(CALLBACK_SECRET).sign(event["id"], at, body),
        }
        url = f"http://127.0.0.1:{self.http_port}/v1/backends/police/status"
        with urllib.request.urlopen(urllib.request.Request(url, body.encode(), headers), timeout=LIMIT_S) as answer:
            return json.load(answer)

    def stop(self, number: int = signal.SIGTERM) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(10)

    def add_device(self, name: str) -> Device:
        with self.store.write() as conn:
            return add_device(conn, name=name, now_us=now_us())

    def rows(self, table: Any) -> list[dict[str, Any]]:
        with self.store.read() as conn:
            return [dict(row) for row in conn.execute(table.select()).mappings()]

    def command(self, *arguments: str) -> Any:
        """A sigap subcommand with --json; its one document."""
        done = subprocess.run(
            [sys.executable, "-m", "sigap.cli", *arguments, "--json", "--config", str(self.config)],
            capture_output=True,
            text=True,
            timeout=30,
            check=True,
        )
        return json.loads(done.stdout)


class Button:
    """A device's side of the contract: seals frames, opens what comes down."""

    def __init__(self, device: Device, port: int) -> None:
        self.device, self.name = device, topics.device_name(device.id)
        self.epoch, self.counter, self.activation = secrets.randbits(32), 0, 0
        self.frames: list[bytes] = []  # everything that came down, as it came
        self.heard: queue.Queue[tuple[str, int, int]] = queue.Queue()
        self.commands: queue.Queue[tuple[Header, Command]] = queue.Queue()
        self.times: queue.Queue[tuple[int, int, int]] = queue.Queue()  # what unpack_time says
        self.client = client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.name, protocol=mqtt.MQTTv311)
        client.reconnect_delay_set(0.05, 0.2)  # pyright: ignore[reportArgumentType]
        client.max_inflight_messages_set(0)
        up = threading.Event()
        client.on_connect = lambda *_: client.subscribe(topics.down(self.name), 1)
        client.on_subscribe = lambda *_: up.set()
        client.on_message = self._on_message
        client.on_socket_open = lambda _c, _d, s: s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.connect_async("127.0.0.1", port, 30)
        client.loop_start()
        assert up.wait(LIMIT_S), "the button could not subscribe"

    def _on_message(self, _client: Any, _data: Any, message: mqtt.MQTTMessage) -> None:
        self.frames.append(message.payload)
        header, body = open_frame(downlink_key(self.device.root_key, self.device.id), message.payload)
        if header.type == COMMAND:
            command = unpack_command(body)
            if command.code == SET_TIME:
                self.times.put(unpack_time(command.content))
            else:
                self.commands.put((header, command))
            return
        self.heard.put((STAGE_NAMES[header.stage], unpack_status(body).activation, header.counter))

    def frame(self, kind: int, body: bytes, *, key: bytes | None = None, counter: int | None = None) -> bytes:
        if counter is None:
            counter = self.counter = self.counter + 1
        header = Header(kind, 0, self.device.id, self.epoch, counter)
        return seal(key or uplink_key(self.device.root_key, self.device.id), header, body)

    def press(self, **fields: Any) -> int:
        """A new alarm; returns its activation."""
        self.activation += 1
        self.repeat(self.activation, **fields)
        return self.activation

    def repeat(self, activation: int, **fields: Any) -> bytes:
        frame = self.frame(ALARM, Alarm(activation, **fields).pack())
        self.send(frame)
        return frame

    def heartbeat(self, **fields: Any) -> None:
        self.send(self.frame(HEARTBEAT, Heartbeat(**fields).pack()))

    def send(self, payload: bytes, qos: int = 1, topic: str | None = None) -> mqtt.MQTTMessageInfo:
        return self.client.publish(topic or topics.up(self.name), payload, qos=qos)

    def expect(self, stage: str, activation: int, counter: int | None = None) -> None:
        """The next thing heard is this."""
        heard = self.heard.get(timeout=LIMIT_S)
        assert heard == (stage, activation, self.counter if counter is None else counter), heard

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()


Lab = tuple[Broker, GatewayProcess, Callable[[str], Button]]


@contextlib.contextmanager
def lab(folder: Path, store_url: str = "") -> Iterator[Lab]:
    """broker, gateway (not started), and a function that registers and connects a button."""
    broker = Broker(folder)
    gateway = GatewayProcess(folder, broker, store_url)
    buttons: list[Button] = []

    def button(name: str) -> Button:
        buttons.append(Button(gateway.add_device(name), broker.port))
        return buttons[-1]

    try:
        yield broker, gateway, button
    finally:
        for each in buttons:
            each.close()
        for process in (gateway.process, broker.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        gateway.store.close()
