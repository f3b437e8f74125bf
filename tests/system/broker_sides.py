"""The two brokers that a script runs against: Mosquitto as a process, and the model under the virtual clock."""

from __future__ import annotations

import secrets
import socket
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from broker_lab import (
    CLOSED,
    LIMIT_S,
    NAMES,
    NOTHING,
    ONE,
    PASSWORDS,
    TWO,
    Gateway,
    Lab,
    connect,
    subscribe,
    told_publish,
)
from gateway_lab import MOSQUITTO, free_port, wait_until

from gateway.broker.files import write_broker_files
from gateway.settings import BrokerSettings
from panic_wire import topics
from simulator.virtual import mqtt
from simulator.virtual.broker import Broker, Message
from simulator.virtual.kernel import Kernel
from simulator.virtual.net import Connection
from simulator.virtual.trace import Trace

# Mosquitto


class Wire:
    """A real socket."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), LIMIT_S)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._buffer = bytearray()

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
        """Without DISCONNECT; until the broker has noticed."""
        self._socket.shutdown(socket.SHUT_WR)
        while self._socket.recv(1 << 16):
            continue

    def close(self) -> None:
        self._socket.close()


class RealGateway(Gateway):
    """Its own CONNECT, SUBSCRIBE and the answers are not told."""

    def __init__(self, dial: Callable[[], Wire], settings: BrokerSettings) -> None:
        super().__init__()
        self._dial, self._settings = dial, settings
        self._line: Wire | None = None
        self._mids: list[int] = []
        self._early: deque[mqtt.Packet] = deque()

    def arrives(self) -> None:
        line = self._line = self._dial()
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
        yield Lab(dial, RealGateway(dial, settings), time.monotonic)
    finally:
        for line in lines:
            line.close()
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


def broker_model() -> Broker:
    """The model with the same two devices, under a clock of its own."""
    return Broker(Kernel(), Trace(), {NAMES[device.id]: PASSWORDS[device.id] for device in (ONE, TWO)})


def model(broker: Broker | None = None) -> Lab:
    """broker: one that is there already."""
    broker = broker or broker_model()
    kernel = broker.kernel
    return Lab(lambda: Recorder(kernel, broker), ModelGateway(kernel, broker), lambda: kernel.now_us / 1e6)
