"""An MQTT receiver: a broker of its own (Mosquitto) and a subscriber that replies to each event that it accepts it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from sigap.problem import missing

READY_LIMIT_S = 10.0
_SYSTEM = ("/usr/sbin", "/usr/local/sbin", "/opt/homebrew/sbin")


class Broker:
    """Mosquitto on one port of the loopback interface, open to everybody there; for trying only."""

    def __init__(self, port: int) -> None:
        path = os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM])
        program = shutil.which("mosquitto", path=path) or missing("Mosquitto", "Install the package mosquitto")
        self._folder = Path(tempfile.mkdtemp(prefix="sigap-receive-"))
        settings = self._folder / "mosquitto.conf"
        settings.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        self._process = subprocess.Popen([program, "-c", str(settings)], stderr=subprocess.DEVNULL)

    def close(self) -> None:
        self._process.terminate()
        self._process.wait()
        shutil.rmtree(self._folder, ignore_errors=True)


class Receiver:
    """heard: called with what came, {"id", "type", "subject", "mode", "answer"}."""

    def __init__(self, port: int, topic: str, heard: Callable[[dict[str, Any]], None], host: str = "127.0.0.1") -> None:
        self._heard, self._topic, self.reply = heard, topic, True
        self._up = threading.Event()
        self._client = paho.Client(CallbackAPIVersion.VERSION2, "police-receiver", protocol=paho.MQTTv5)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_connect = self._on_connect
        self._client.on_subscribe = lambda _c, _u, _m, _r, _p: self._up.set()
        self._client.on_message = self._on_message
        self._client.connect_async(host, port)
        self._client.loop_start()

    def wait(self, limit_s: float = READY_LIMIT_S) -> bool:
        """Until it is subscribed; False when it is not in time."""
        return self._up.wait(limit_s)

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def _on_connect(self, client: paho.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_message(self, client: paho.Client, _userdata: Any, message: paho.MQTTMessage) -> None:
        properties = message.properties
        content_type = getattr(properties, "ContentType", "")
        if content_type.startswith("application/cloudevents+json"):
            mode, attributes = "structured", _object(message.payload)
        else:
            mode, attributes = "binary", dict(getattr(properties, "UserProperty", []))
        heard = {name: attributes.get(name) for name in ("id", "type", "subject")}
        to = getattr(properties, "ResponseTopic", None)
        self._heard({**heard, "mode": mode, "answer": "accepted" if to and self.reply else None})
        if to and self.reply:
            replies = Properties(PacketTypes.PUBLISH)
            replies.CorrelationData = getattr(properties, "CorrelationData", b"")
            reference = f"M-{str(heard['subject'])[-6:]}"
            client.publish(to, json.dumps({"accepted": True, "reference": reference}), qos=1, properties=replies)


def _object(payload: bytes | bytearray) -> dict[str, Any]:
    try:
        found = json.loads(payload)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
