"""One script, two brokers: the real Mosquitto with the generated configuration, and the model in virtual time.

A script sees a `Lab`: devices that write bytes, and the gateway's account. What each of them hears becomes a line of
text, so that both runs can be compared. Lines of one client are in order; between clients there is none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateway.registry.devices import Device
from panic_wire import topics
from panic_wire.keys import broker_password
from simulator.virtual import mqtt

LIMIT_S = 9.0  # for what must come; Mosquitto notices silence within 6 s
CLOSED, NOTHING = "closed", "nothing"
ONE, TWO = Device(0x51, "one", bytes(16)), Device(0x52, "two", bytes(range(16)))
NAMES = {device.id: topics.device_name(device.id) for device in (ONE, TWO)}
UP, STATE, DOWN = (of(NAMES[ONE.id]) for of in (topics.up, topics.state, topics.down))
UP_2, STATE_2, DOWN_2 = (of(NAMES[TWO.id]) for of in (topics.up, topics.state, topics.down))
PASSWORDS = {device.id: broker_password(device.root_key, device.id).encode() for device in (ONE, TWO)}
KINDS = {
    mqtt.CONNACK: "CONNACK",
    mqtt.PUBACK: "PUBACK",
    mqtt.PUBREC: "PUBREC",
    mqtt.PUBREL: "PUBREL",
    mqtt.PUBCOMP: "PUBCOMP",
    mqtt.SUBACK: "SUBACK",
    mqtt.UNSUBACK: "UNSUBACK",
    mqtt.PINGRESP: "PINGRESP",
}


Script = Callable[["Lab"], None]


class Silent(Exception):
    """What a script waits for does not come: the rest of it makes no sense."""


class Line(Protocol):
    """A client's connection. next() gives the next packet, CLOSED, or NOTHING when none came in LIMIT_S."""

    def write(self, data: bytes) -> None: ...
    def next(self) -> mqtt.Packet | str: ...
    def hang_up(self) -> None: ...


class Heard:
    """What one client was told, and what the script says that it must be."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.heard: list[str] = []
        self.expected: list[str] = []

    def _hear(self, expected: tuple[str, ...], following: Callable[[], str]) -> None:
        self.expected += expected
        for _ in expected:
            self.heard.append(following())
            if self.heard[-1] in (NOTHING, CLOSED):
                break
        if self.heard[-1:] == [NOTHING]:
            raise Silent


class Client(Heard):
    """A device, byte by byte."""

    def __init__(self, name: str, line: Line, device: Device) -> None:
        super().__init__(name)
        self._line, self.device = line, device
        self.open = True

    def writes(self, *chunks: bytes) -> Client:
        """Each chunk for itself."""
        for chunk in chunks:
            self._line.write(chunk)
        return self

    def hears(self, *expected: str) -> Client:
        self._hear(expected, self._next)
        return self

    def hangs_up(self) -> None:
        """Without DISCONNECT."""
        self.open = False
        self._line.hang_up()

    def _next(self) -> str:
        packet = self._line.next()
        if packet == CLOSED:
            self.open = False
        return told(packet)

    def settle(self) -> None:
        """Whatever still came before the answer to a ping."""
        if self.open and ACCEPTED in self.heard:
            self._line.write(mqtt.pack(mqtt.PINGREQ))
            while (line := self._next()) not in ("PINGRESP", NOTHING):
                self.heard.append(line)
                if line == CLOSED:
                    break


class Gateway(Heard, ABC):
    """The gateway's account: a kept session that acknowledges when it is told to."""

    def __init__(self) -> None:
        super().__init__("gateway")

    def hears(self, *expected: str) -> Gateway:
        """expected: as `told_publish` writes it, without packet ids."""
        self._hear(expected, self._next)
        return self

    @abstractmethod
    def arrives(self) -> None: ...
    @abstractmethod
    def leaves(self) -> None:
        """The connection is gone, the session stays."""

    @abstractmethod
    def acknowledges(self) -> None:
        """All that it heard on this connection."""

    @abstractmethod
    def publishes(self, topic: str, payload: bytes) -> None:
        """With QoS 1; the broker has it."""

    @abstractmethod
    def settle(self) -> None:
        """Hear whatever still came."""

    @abstractmethod
    def _next(self) -> str: ...


@dataclass
class Lab:
    """What a script plays with."""

    dial: Callable[[], Line]
    gateway: Gateway
    now_s: Callable[[], float]
    clients: list[Client] = field(default_factory=list)

    def client(self, device: Device = ONE, first: bytes | None = None) -> Client:
        """One more connection. first: its CONNECT has been written and accepted."""
        client = Client(f"client {len(self.clients)}", self.dial(), device)
        self.clients.append(client)
        if first is not None:
            client.writes(first).hears(ACCEPTED)
        return client


def play(script: Script, lab: Lab) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Who heard what, and who should have."""
    with suppress(Silent):  # it is in what was heard
        script(lab)
        for client in lab.clients:
            client.settle()
        lab.gateway.settle()
    everyone = [*lab.clients, lab.gateway]
    return {each.name: each.heard for each in everyone}, {each.name: each.expected for each in everyone}


def told(packet: mqtt.Packet | str) -> str:
    """A packet as a line."""
    if isinstance(packet, str):
        return packet
    if packet.kind == mqtt.PUBLISH:
        fields, qos = mqtt.Reader(packet.body), packet.flags >> 1 & 3
        topic = fields.text()
        mid = f" {fields.number()}" if qos else ""
        return told_publish(topic, fields.rest(), qos, packet.flags & 1, packet.flags & 8, mid)
    flags = f" flags {packet.flags}" if packet.flags else ""
    return f"{KINDS[packet.kind]}{flags} {packet.body.hex(' ')}".strip()


def told_publish(topic: str, payload: bytes, qos: int, retain: int, dup: int, mid: str = "") -> str:
    shown = payload.decode() if len(payload) < 40 else f"{len(payload)} bytes"
    return f"{topic} {shown!r} q{qos}{mid}{' retained' if retain else ''}{' again' if dup else ''}"


# What clients write


def connect(
    client_id: bytes = b"x",
    username: bytes | None = None,
    password: bytes | None = b"",
    *,
    clean: bool = True,
    keepalive_s: int = 30,
    will: tuple[str, bytes, int, bool] | None = None,
    level: int = 4,
    name: bytes = b"MQTT",
    more_flags: int = 0,
) -> bytes:
    """A CONNECT, section 3.1."""
    flags = (2 if clean else 0) | more_flags
    body = field_of(client_id)
    if will is not None:
        topic, payload, qos, retain = will
        flags |= 4 | qos << 3 | (32 if retain else 0)
        body += field_of(topic.encode()) + field_of(payload)
    if username is not None:
        flags, body = flags | 128, body + field_of(username)
    if password is not None:
        flags, body = flags | 64, body + field_of(password)
    return mqtt.pack(mqtt.CONNECT, field_of(name) + bytes([level, flags]) + keepalive_s.to_bytes(2, "big") + body)


def field_of(data: bytes) -> bytes:
    """A length and the bytes, section 1.5.3."""
    return len(data).to_bytes(2, "big") + data


def subscribe(mid: int, *filters: tuple[str, int]) -> bytes:
    """A SUBSCRIBE, section 3.8."""
    body = b"".join(field_of(name.encode()) + bytes([qos]) for name, qos in filters)
    return mqtt.pack(mqtt.SUBSCRIBE, mid.to_bytes(2, "big") + body, 2)


def unsubscribe(mid: int, *filters: str) -> bytes:
    """An UNSUBSCRIBE, section 3.10."""
    return mqtt.pack(mqtt.UNSUBSCRIBE, mid.to_bytes(2, "big") + b"".join(field_of(one.encode()) for one in filters), 2)


def hello(device: Device = ONE, **more: Any) -> bytes:
    """A CONNECT as the firmware's: its name as client id, clean. more: as `connect` takes it."""
    name = NAMES[device.id].encode()
    return connect(**{"client_id": name, "username": name, "password": PASSWORDS[device.id], **more})


def publish(topic: str, payload: bytes = b"x", qos: int = 1, mid: int = 7, **more: bool) -> bytes:
    return mqtt.pack_publish(topic, payload, qos, mid, **more)


def acknowledge(mid: int) -> bytes:
    return mqtt.pack(mqtt.PUBACK, mid.to_bytes(2, "big"))


ACCEPTED = "CONNACK 00 00"
PING, BYE = mqtt.pack(mqtt.PINGREQ), mqtt.pack(mqtt.DISCONNECT)
WILL = (STATE, b"offline", 1, True)
GONE = f"{WILL[0]} 'offline' q1"  # the will, as the gateway hears it
