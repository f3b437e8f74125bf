"""One script, two brokers: the real Mosquitto with the generated configuration, and the model in virtual time.

A script sees a `Lab`: devices that write bytes, and the gateway's account. What each of them hears becomes a line of
text, so that both runs can be compared. Lines of one client are in order; between clients there is none.
"""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from gateway_lab import MOSQUITTO, free_port, wait_until

from gateway.broker.files import write_broker_files
from gateway.registry.devices import Device
from gateway.settings import BrokerSettings
from panic_wire import topics
from panic_wire.keys import broker_password
from simulator.virtual import mqtt
from simulator.virtual.broker import Broker, Message
from simulator.virtual.kernel import Kernel
from simulator.virtual.net import Connection
from simulator.virtual.trace import Trace

LIMIT_S = 9.0  # for what must come; Mosquitto notices silence within 6 s
CLOSED, NOTHING = "closed", "nothing"
ONE, TWO = Device(0x51, "one", bytes(16)), Device(0x52, "two", bytes(range(16)))
NAMES = {device.id: topics.device_name(device.id) for device in (ONE, TWO)}
PASSWORDS = {device.id: broker_password(device.root_key, device.id).encode() for device in (ONE, TWO)}
KINDS = dict(
    enumerate(
        [
            "0",
            "CONNECT",
            "CONNACK",
            "PUBLISH",
            "PUBACK",
            "PUBREC",
            "PUBREL",
            "PUBCOMP",
            "SUBSCRIBE",
            "SUBACK",
            "UNSUBSCRIBE",
        ]
    )
)
KINDS.update(enumerate(["UNSUBACK", "PINGREQ", "PINGRESP", "DISCONNECT", "15"], 11))


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
        if self.open and "CONNACK 00 00" in self.heard:
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
            client.writes(first).hears("CONNACK 00 00")
        return client


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


# Mosquitto


class Wire:
    """A real socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()
        self._deadline = 0.0

    def write(self, data: bytes) -> None:
        try:
            self._socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            return  # next() tells

    def next(self) -> mqtt.Packet | str:
        while (packet := mqtt.split(self._buffer)) is None:
            try:
                data = self._socket.recv(1 << 16)
            except TimeoutError:
                return NOTHING
            except ConnectionResetError:
                data = b""
            if not data:
                return CLOSED
            self._buffer += data
        return packet

    def hang_up(self) -> None:
        self._socket.close()


class RealGateway(Gateway):
    """Its own CONNECT, SUBSCRIBE and the answers are not told."""

    def __init__(self, port: int, settings: BrokerSettings) -> None:
        super().__init__()
        self._port, self._settings = port, settings
        self._line: Wire | None = None
        self._mids: list[int] = []
        self._early: deque[mqtt.Packet] = deque()

    def arrives(self) -> None:
        line = self._line = Wire(self._port)
        name = self._settings.username.encode()
        line.write(connect(name, name, self._settings.password.encode(), clean=False))
        line.write(subscribe(1, (topics.ALL_UP, 1), (topics.ALL_STATE, 1)))
        self._early = deque(self._until(mqtt.SUBACK))  # what waited comes before

    def leaves(self) -> None:
        assert self._line is not None
        self._line.hang_up()
        self._line, self._mids = None, []
        self._early.clear()

    def acknowledges(self) -> None:
        assert self._line is not None
        for mid in self._mids:
            self._line.write(mqtt.pack(mqtt.PUBACK, mid.to_bytes(2, "big")))
        self._mids = []

    def publishes(self, topic: str, payload: bytes) -> None:
        assert self._line is not None
        self._line.write(mqtt.pack_publish(topic, payload, 1, 9))
        self._early += self._until(mqtt.PUBACK)

    def settle(self) -> None:
        if self._line is not None:
            self._line.write(mqtt.pack(mqtt.PINGREQ))
            for packet in [*self._early, *self._until(mqtt.PINGRESP)]:
                self.heard.append(self._tell(packet))
            self._early.clear()

    def _until(self, kind: int) -> Iterator[mqtt.Packet]:
        """What is published before the packet of that kind."""
        assert self._line is not None
        while not isinstance(packet := self._line.next(), str) and packet.kind != kind:
            if packet.kind == mqtt.PUBLISH:
                yield packet
        assert not isinstance(packet, str), f"the gateway's connection: {packet}"

    def _next(self) -> str:
        assert self._line is not None
        packet = self._early.popleft() if self._early else self._line.next()
        return packet if isinstance(packet, str) else self._tell(packet)

    def _tell(self, packet: mqtt.Packet) -> str:
        fields, qos = mqtt.Reader(packet.body), packet.flags >> 1 & 3
        topic = fields.text()
        if qos:
            self._mids.append(fields.number())
        return told_publish(topic, fields.rest(), qos, packet.flags & 1, packet.flags & 8)


@contextmanager
def mosquitto(folder: Path) -> Iterator[Lab]:
    """A new Mosquitto with the files that the gateway writes for two devices."""
    assert MOSQUITTO, "mosquitto is not installed"
    settings = BrokerSettings(port=free_port(), password=secrets.token_hex(16))
    config = write_broker_files(folder / "broker", settings, [ONE, TWO])
    log = folder / "broker.log"
    with log.open("wb") as output:
        process = subprocess.Popen([MOSQUITTO, "-c", str(config)], stdout=output, stderr=output)

    def listens() -> bool:
        assert process.poll() is None, log.read_text()
        with closing(socket.socket()) as probe:
            return probe.connect_ex(("127.0.0.1", settings.port)) == 0

    lines: list[Wire] = []

    def dial() -> Wire:
        lines.append(Wire(settings.port))
        return lines[-1]

    try:
        wait_until(listens, "the broker's start")
        gateway = RealGateway(settings.port, settings)
        yield Lab(dial, gateway, time.monotonic)
        if gateway._line is not None:
            gateway.leaves()
    finally:
        for line in lines:
            line.hang_up()
        process.kill()
        process.wait()


# The model


class Recorder(Connection):
    """A Connection of which only the service's side is there: send() and close() are kept."""

    def __init__(self, kernel: Kernel, broker: Broker) -> None:
        self._kernel, self._broker = kernel, broker
        self._buffer, self._closed = bytearray(), False
        self.peer = broker.service.open(self)

    def send(self, data: bytes) -> None:
        assert not self._closed, "written after the end"
        self._buffer += data

    def close(self, error: int = 0) -> None:
        self._closed = True

    def write(self, data: bytes) -> None:
        assert self.peer is not None
        self.peer.receive(data)
        self._kernel.run(self._kernel.now_us + 1_000)

    def next(self) -> mqtt.Packet | str:
        limit_us = self._kernel.now_us + int(LIMIT_S * 1e6)
        while (packet := mqtt.split(self._buffer)) is None:
            if self._closed:
                return CLOSED
            if self._kernel.now_us >= limit_us:
                return NOTHING
            self._kernel.run(self._kernel.now_us + 1_000)
        return packet

    def hang_up(self) -> None:
        assert self.peer is not None
        self.peer.closed()
        self._kernel.run(self._kernel.now_us + 1_000)


class ModelGateway(Gateway):
    def __init__(self, kernel: Kernel, broker: Broker) -> None:
        super().__init__()
        self._kernel, self._broker = kernel, broker
        self._came: deque[Message] = deque()
        self._mids: list[int] = []

    def arrives(self) -> None:
        self._broker.attach(self._came.append)

    def leaves(self) -> None:
        self._broker.detach()
        self._came.clear()
        self._mids = []

    def acknowledges(self) -> None:
        for mid in self._mids:
            self._broker.acknowledge(mid)
        self._mids = []

    def publishes(self, topic: str, payload: bytes) -> None:
        assert self._broker.publish(topic, payload)

    def settle(self) -> None:
        self._kernel.run(self._kernel.now_us + 1_000)
        while self._came:
            self.heard.append(self._next())

    def _next(self) -> str:
        limit_us = self._kernel.now_us + int(LIMIT_S * 1e6)
        while not self._came:
            if self._kernel.now_us >= limit_us:
                return NOTHING
            self._kernel.run(self._kernel.now_us + 1_000)
        message = self._came.popleft()
        if message.qos:
            self._mids.append(message.mid)
        return told_publish(message.topic, message.payload, message.qos, message.retain, message.dup)


def model() -> Lab:
    """The model with the same two devices."""
    kernel = Kernel()
    broker = Broker(kernel, Trace(), {NAMES[device.id]: PASSWORDS[device.id] for device in (ONE, TWO)})
    return Lab(lambda: Recorder(kernel, broker), ModelGateway(kernel, broker), lambda: kernel.now_us / 1e6)


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
