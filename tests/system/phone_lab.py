"""For tests: a phone without a browser: enrols by HTTP, speaks MQTT 5 over the broker's WebSocket, and HTTPS' POST."""

from __future__ import annotations

import base64
import json
import queue
import secrets
import threading
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from gateway.ingest import phone as contract
from panic_wire.keys import broker_password
from sigap.local import Local

LIMIT_S = 10.0


def ask(one: Local, path: str, body: bytes) -> tuple[int, dict[str, Any]]:
    """(status, answer) of a POST to the SOS page's routes."""
    asked = urllib.request.Request(f"http://127.0.0.1:{one.ports.gateway}/sos/{path}", body, method="POST")
    try:
        with urllib.request.urlopen(asked, timeout=LIMIT_S) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


class Phone:
    """Enrolled anew by an invitation."""

    def __init__(self, one: Local, owner: str = "") -> None:
        self._one = one
        self.root = secrets.token_bytes(16)
        self.invitation = urlsplit(one.invitation()).fragment.removeprefix("i=")
        status, said = self.enrol(owner or f"Warga {secrets.token_hex(4)}")
        assert status == 201, said
        self.name, self.device_name = said["phone"], said["name"]
        self.id = int(self.name, 16)
        self.epoch, self.counter = secrets.randbits(32), 0
        self.heard: queue.Queue[dict[str, Any]] = queue.Queue()
        self.client: mqtt.Client | None = None

    def enrol(self, owner: str) -> tuple[int, dict[str, Any]]:
        body = {
            "invitation": self.invitation,
            "root_key": base64.urlsafe_b64encode(self.root).decode(),
            "person": {"name": owner, "telephone": "+62 24 7654321"},
        }
        return ask(self._one, "enrol", json.dumps(body).encode())

    def message(self, kind: str = "alarm", counter: int | None = None, **more: Any) -> bytes:
        """The next message, signed."""
        if counter is None:
            counter = self.counter = self.counter + 1
        said = {"v": 1, "type": kind, "phone": self.name, "epoch": self.epoch, "counter": counter, **more}
        return contract.signed(contract.mac_key(self.root, self.id, "up"), json.dumps(said).encode())

    def post(self, jws: bytes) -> tuple[int, list[dict[str, Any]]]:
        """(status, what came down)."""
        status, said = ask(self._one, f"up?phone={self.name}", jws)
        return status, [self.opened(each.encode()) for each in said.get("down", [])]

    def opened(self, jws: bytes) -> dict[str, Any]:
        return json.loads(contract.opened(contract.mac_key(self.root, self.id, "down"), jws))

    def connect(self, also: str | None = None) -> mqtt.Client:
        """Connected and subscribed; `also`: one more topic, for a client that wants what is not its own."""
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=self.name, transport="websockets", protocol=mqtt.MQTTv5
        )
        client.username_pw_set(self.name, broker_password(self.root, self.id))
        client.ws_set_options(path="/")
        up = threading.Event()
        wanted = [(topic, _qos1()) for topic in (contract.down(self.name), also) if topic]
        client.on_connect = lambda c, *_: c.subscribe(wanted)
        client.on_subscribe = lambda *_: up.set()
        client.on_message = lambda _c, _d, message: self.heard.put(
            {"topic": message.topic, **self.opened(message.payload)}
        )
        client.connect("127.0.0.1", self._one.ports.phone, 30)
        client.loop_start()
        assert up.wait(LIMIT_S), "the phone could not subscribe"
        self.client = client
        return client

    def publish(self, jws: bytes, topic: str | None = None) -> int:
        """The broker's reason: 0, or 135 when its access list refuses (MQTT 5, 3.4.2.1)."""
        assert self.client is not None
        reasons: queue.Queue[int] = queue.Queue()
        self.client.on_publish = lambda _c, _d, _mid, reason, _p: reasons.put(reason.value)
        self.client.publish(topic or contract.up(self.name), jws, qos=1)
        return reasons.get(timeout=LIMIT_S)

    def close(self) -> None:
        if self.client is not None:
            self.client.disconnect()
            self.client.loop_stop()


def _qos1() -> Any:
    return mqtt.SubscribeOptions(qos=1)
