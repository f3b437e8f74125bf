"""A model of an MQTT 3.1.1 broker, behaving as Mosquitto does where the standard leaves it open.

Sessions of boards end with their connection (the firmware connects clean); the gateway's is kept, and queues
QUEUE_LIMIT messages, then drops, silently, as Mosquitto does (max_queued_messages). Killed, it forgets everything
that was not acknowledged to it by the gateway: Mosquitto saves at intervals, long after its PUBACK. Each identity
writes and reads its own topics only; a publish that the rules deny is acknowledged and dropped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.virtual import mqtt
from simulator.virtual.kernel import Kernel
from simulator.virtual.net import ECONNRESET, Connection, Service
from simulator.virtual.trace import Trace

QUEUE_LIMIT = 1_000
HOP_US = 300  # between broker and gateway, on one machine
GRACE = 1.5  # of the keepalive [MQTT-3.1.2-24]


@dataclass
class Message:
    """One message for the gateway. mid: what it acknowledges."""

    mid: int
    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    dup: bool = False


@dataclass
class Broker:
    """accounts: {username: password}; take(message): the gateway, while it is connected."""

    kernel: Kernel
    trace: Trace
    accounts: dict[str, bytes]
    take: Callable[[Message], None] | None = None
    sessions: dict[str, Session] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.service = Service(self._open)
        self.retained: dict[str, bytes] = {}
        self.waiting: dict[int, Message] = {}  # not acknowledged by the gateway, in order
        self.dropped = 0
        self.most_waiting = 0
        self._mid = 0
        self._stopped: list[Callable[[], None]] = []

    def _open(self, connection: Connection) -> Session:
        return Session(self, connection)

    # The gateway's side: a kept session, QoS 1, manual acknowledgement.

    def attach(self, take: Callable[[Message], None]) -> None:
        """The gateway connects: what is retained, and what it has not acknowledged comes (again)."""
        self.take = take
        for topic, payload in self.retained.items():
            self._to_gateway(topic, payload, 1, retain=True)
        for message in list(self.waiting.values()):
            if not message.retain:
                message.dup = True
                self._hand(message)

    def detach(self) -> None:
        self.take = None
        self.waiting = {mid: one for mid, one in self.waiting.items() if not one.retain}

    def acknowledge(self, mid: int) -> None:
        self.waiting.pop(mid, None)

    def publish(self, topic: str, payload: bytes) -> bool:
        """From the gateway to whoever subscribes. False: the broker is gone or stopped."""
        if not self.service.listening or self.service.silent:
            return False
        for session in list(self.sessions.values()):
            session.deliver(topic, payload)
        return True

    def route(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """A message from a board."""
        if retain:
            if payload:
                self.retained[topic] = payload
            else:
                self.retained.pop(topic, None)
        self._to_gateway(topic, payload, qos)

    def _to_gateway(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        if self.take is None and (qos == 0 or len(self.waiting) >= QUEUE_LIMIT):
            self.dropped += 1
            self.trace.add(self.kernel.now_us, "broker", "dropped", topic=topic)
            return
        self._mid += 1
        message = Message(self._mid, topic, payload, qos, retain)
        if qos:
            self.waiting[message.mid] = message
            self.most_waiting = max(self.most_waiting, len(self.waiting))
        self._hand(message)

    def _hand(self, message: Message) -> None:
        take = self.take
        if take is not None:
            self.kernel.after(HOP_US, lambda: take(message) if self.take is take else None)

    # Faults

    def stop(self) -> None:
        """SIGSTOP: connections stay, nothing is read."""
        self.service.silent = True
        self.trace.add(self.kernel.now_us, "broker", "stopped")

    def go_on(self) -> None:
        """SIGCONT."""
        self.service.silent = False
        self.trace.add(self.kernel.now_us, "broker", "continued")
        held, self._stopped = self._stopped, []
        for action in held:
            action()

    def when_running(self, action: Callable[[], None]) -> None:
        """Now, or when it goes on."""
        if self.service.silent:
            self._stopped.append(action)
        else:
            action()

    def kill(self) -> None:
        """kill -9: connections break, and what was only in memory is gone, retained messages and the queue too."""
        self.service.listening = False
        self.service.silent = False
        self._stopped = []
        self.trace.add(self.kernel.now_us, "broker", "killed", waiting=len(self.waiting))
        for session in list(self.sessions.values()):
            session.drop(ECONNRESET)
        self.sessions, self.retained, self.waiting = {}, {}, {}
        self.take = None

    def start(self) -> None:
        self.service.listening = True
        self.trace.add(self.kernel.now_us, "broker", "started")


class Session:
    """One board's connection."""

    def __init__(self, broker: Broker, connection: Connection) -> None:
        self._broker, self._connection = broker, connection
        self._buffer = bytearray()
        self._connect: mqtt.Connect | None = None
        self._filters: list[str] = []
        self._heard_us = broker.kernel.now_us
        self._mid = 0
        self._over = False

    def receive(self, data: bytes) -> None:
        self._broker.when_running(lambda: self._receive(data))

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        self._heard_us = self._broker.kernel.now_us
        try:
            while not self._over and (packet := mqtt.split(self._buffer)) is not None:
                self._take(packet)
        except (mqtt.Malformed, UnicodeDecodeError) as error:
            self._broker.trace.add(self._broker.kernel.now_us, "broker", "malformed", why=str(error))
            self.drop(ECONNRESET)

    def closed(self) -> None:
        """The board closed without DISCONNECT: its last will is due."""
        self._broker.when_running(lambda: self._end(True))

    def drop(self, error: int = 0) -> None:
        """The broker closes; the last will is due."""
        if not self._over:
            self._connection.close(error)
            self._end(self._broker.service.listening)

    def deliver(self, topic: str, payload: bytes) -> None:
        if any(mqtt.matches(one, topic) for one in self._filters):
            self._mid = self._mid % 65535 + 1
            self._send(mqtt.pack_publish(topic, payload, 1, self._mid))

    def _send(self, data: bytes) -> None:
        if not self._over:
            self._connection.send(data)

    def _take(self, packet: mqtt.Packet) -> None:
        if self._connect is None:
            if packet.kind != mqtt.CONNECT:
                raise mqtt.Malformed("the first packet is no CONNECT [MQTT-3.1.0-1]")
            self._welcome(mqtt.read_connect(packet))
        elif packet.kind == mqtt.PUBLISH:
            self._publish(packet)
        elif packet.kind == mqtt.SUBSCRIBE:
            self._subscribe(packet)
        elif packet.kind == mqtt.PINGREQ:
            self._send(mqtt.pack(mqtt.PINGRESP))
        elif packet.kind == mqtt.DISCONNECT:
            self._end(False)
            self._connection.close()
        elif packet.kind != mqtt.PUBACK:
            raise mqtt.Malformed(f"a packet of kind {packet.kind}")

    def _welcome(self, connect: mqtt.Connect) -> None:
        broker = self._broker
        expected = broker.accounts.get(connect.username or "")
        if expected is None or connect.password != expected:
            self._send(mqtt.pack(mqtt.CONNACK, bytes([0, 5])))  # not authorized, section 3.2.2.3
            broker.trace.add(broker.kernel.now_us, "broker", "refused", client=connect.client_id)
            self._connection.close()
            self._over = True
            return
        old = broker.sessions.get(connect.client_id)
        if old is not None:
            broker.trace.add(broker.kernel.now_us, "broker", "took-over", client=connect.client_id)
            old.drop()  # [MQTT-3.1.4-2]
        self._connect = connect
        broker.sessions[connect.client_id] = self
        broker.trace.add(broker.kernel.now_us, "broker", "connected", client=connect.client_id)
        self._send(mqtt.pack(mqtt.CONNACK, b"\0\0"))
        if connect.keepalive_s:
            self._watch(int(connect.keepalive_s * GRACE * 1e6))

    def _watch(self, limit_us: int) -> None:
        kernel = self._broker.kernel

        def look() -> None:
            if self._over:
                return
            if kernel.now_us - self._heard_us >= limit_us:
                self._broker.trace.add(kernel.now_us, "broker", "timed-out", client=self._name())
                self.drop()
            else:
                kernel.at(self._heard_us + limit_us, look)

        kernel.after(limit_us, look)

    def _name(self) -> str:
        return self._connect.client_id if self._connect else "?"

    def _may(self, topic: str, kinds: tuple[str, ...]) -> bool:
        name = self._connect.username if self._connect else None
        return topic in [f"sigap/v1/d/{name}/{kind}" for kind in kinds]

    def _publish(self, packet: mqtt.Packet) -> None:
        fields, qos = mqtt.Reader(packet.body), packet.flags >> 1 & 3
        if qos > 1:
            raise mqtt.Malformed("QoS 2 is not modelled")
        topic = fields.text()
        mid = fields.take(2) if qos else b""
        payload = fields.rest()
        if self._may(topic, ("up", "state")):
            self._broker.route(topic, payload, qos, bool(packet.flags & 1))
        else:
            self._broker.trace.add(self._broker.kernel.now_us, "broker", "denied", client=self._name(), topic=topic)
        if qos:
            self._send(mqtt.pack(mqtt.PUBACK, mid))

    def _subscribe(self, packet: mqtt.Packet) -> None:
        fields = mqtt.Reader(packet.body)
        mid, codes = fields.take(2), bytearray()
        while fields.left:
            wanted, qos = fields.text(), fields.byte()
            allowed = self._may(wanted, ("down",))
            codes.append(min(qos, 1) if allowed else 0x80)
            if allowed and wanted not in self._filters:
                self._filters.append(wanted)
        self._send(mqtt.pack(mqtt.SUBACK, mid + bytes(codes)))

    def _end(self, with_will: bool) -> None:
        if self._over:
            return
        self._over = True
        broker, connect = self._broker, self._connect
        if connect is None:
            return
        if broker.sessions.get(connect.client_id) is self:
            del broker.sessions[connect.client_id]
        broker.trace.add(broker.kernel.now_us, "broker", "disconnected", client=connect.client_id)
        if with_will and connect.will:
            topic, payload, qos, retain = connect.will
            if self._may(topic, ("up", "state")):
                broker.route(topic, payload, qos, retain)
