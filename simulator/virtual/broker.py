"""A model of an MQTT 3.1.1 broker: what Mosquitto 2.0.11 does with the configuration that the gateway generates.

Each identity writes and reads its own topics only; a publish that the rules deny is acknowledged and dropped, and a
subscription to what may not be read is granted and brings nothing. A client's id is its user name. Killed, the broker
forgets all it had, the gateway's session too: Mosquitto saves once a minute, long after its PUBACK.
tests/system/test_model_broker.py plays the same bytes to both.

Deliberately different: the gateway has no connection here but attach(), detach(), acknowledge() and publish(); its
session is kept, with QoS 1, and as many messages as wait may be in flight. A device's session ends with its connection
(the firmware connects clean), and who asks for a kept one is cut off. MQTT 3.1 and 5, bridges, delivery with QoS 2 and
retained messages for devices, which may read none, are not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from simulator.virtual import mqtt
from simulator.virtual.kernel import Kernel
from simulator.virtual.net import ECONNRESET, Connection, Service
from simulator.virtual.trace import Trace

QUEUE_LIMIT = 100_000  # max_queued_messages of the generated configuration; beyond it Mosquitto drops, silently
HOP_US = 300  # between broker and gateway, on one machine
GRACE = 1.5  # of the keepalive [MQTT-3.1.2-24]
KEEPALIVE_S = 60  # until the CONNECT has said another
ROUND_US = 6_000_000  # Mosquitto looks for silent clients this often
UNANSWERED = (mqtt.SUBACK, mqtt.UNSUBACK, mqtt.PINGRESP)  # Mosquitto takes them from anybody


Watcher = Callable[[str, bytes], None]


@dataclass
class Message:
    """One message for the gateway. mid: what it acknowledges."""

    mid: int
    topic: str
    payload: bytes
    qos: int
    retain: bool = False
    dup: bool = False
    sent: bool = False


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
        self.retained: dict[str, tuple[bytes, int]] = {}  # payload and QoS
        self.waiting: dict[int, Message] = {}  # not acknowledged by the gateway, in order
        self.dropped = 0
        self.most_waiting = 0
        self._kept = False  # is there a session of the gateway: since its first SUBSCRIBE
        self._mid = 0
        self._stopped: list[Callable[[], None]] = []
        # Who watches the wire is shown (topic, payload): of what a device may publish, of what the gateway published.
        self.uplinks: list[Watcher] = []
        self.downlinks: list[Watcher] = []

    def _open(self, connection: Connection) -> Session:
        return Session(self, connection)

    # The gateway's side: a kept session, QoS 1, manual acknowledgement.

    def attach(self, take: Callable[[Message], None]) -> None:
        """The gateway connects and subscribes: what it has not acknowledged comes (again), then what is retained."""
        self.take, self._kept = take, True
        for message in self.waiting.values():
            message.dup = message.sent  # [MQTT-3.3.1-1]
            self._hand(message)
        for topic, (payload, qos) in self.retained.items():
            self._to_gateway(topic, payload, qos, retain=True)

    def detach(self) -> None:
        """Its connection is gone; the session stays."""
        self.take = None

    def acknowledge(self, mid: int) -> None:
        self.waiting.pop(mid, None)

    def publish(self, topic: str, payload: bytes) -> bool:
        """From the gateway to whoever subscribes. False: the broker is gone or stopped."""
        if not self.service.listening or self.service.silent:
            return False
        for session in list(self.sessions.values()):
            session.deliver(topic, payload)
        for watch in self.downlinks:
            watch(topic, payload)
        return True

    def route(self, topic: str, payload: bytes, qos: int, retain: bool) -> None:
        """A message from a board."""
        if retain and payload:
            self.retained[topic] = payload, qos
        elif retain:
            self.retained.pop(topic, None)  # [MQTT-3.3.1-10]
        self._to_gateway(topic, payload, qos)

    def _to_gateway(self, topic: str, payload: bytes, qos: int, retain: bool = False) -> None:
        qos = min(qos, 1)  # with which it subscribes
        full = len(self.waiting) >= QUEUE_LIMIT
        if not self._kept or (full if qos else self.take is None):
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
            message.sent = True
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
        self.take, self._kept = None, False

    def start(self) -> None:
        self.service.listening = True
        self.trace.add(self.kernel.now_us, "broker", "started")


class Session:
    """One board's connection."""

    def __init__(self, broker: Broker, connection: Connection) -> None:
        self._broker, self._connection = broker, connection
        self._buffer = bytearray()
        self._name: str | None = None  # its user name, once it is accepted
        self._will: mqtt.Publish | None = None
        self._filters: dict[str, int] = {}  # with their QoS
        self._unreleased: dict[int, mqtt.Publish] = {}  # QoS 2, before PUBREL
        self._heard_us = broker.kernel.now_us
        self._limit_us = int(KEEPALIVE_S * GRACE * 1e6)
        self._mid = 0
        self._over = False
        self._watch(None)

    def receive(self, data: bytes) -> None:
        self._broker.when_running(lambda: self._receive(data))

    def _receive(self, data: bytes) -> None:
        self._buffer += data
        try:
            while not self._over and self._buffer:
                if self._name is None and self._buffer[0] >> 4 != mqtt.CONNECT:
                    raise mqtt.Malformed("the first packet is no CONNECT [MQTT-3.1.0-1]")
                packet = mqtt.split(self._buffer)
                if packet is None:
                    return
                self._heard_us = self._broker.kernel.now_us  # whole packets only
                self._take(packet)
        except mqtt.Malformed as error:
            self._note("malformed", why=str(error))
            self.drop(ECONNRESET)
        except mqtt.Refused as refused:
            self._send(mqtt.pack(mqtt.CONNACK, bytes([0, refused.code])))
            now_us = self._broker.kernel.now_us
            self._broker.trace.add(now_us, "broker", "refused", client=refused.client, code=refused.code)
            self.drop()

    def closed(self) -> None:
        """The board closed without DISCONNECT: its last will is due."""
        self._broker.when_running(lambda: self._end(True))

    def drop(self, error: int = 0, *, with_will: bool = True) -> None:
        """The broker closes; the last will is due [MQTT-3.1.2-8]."""
        if not self._over:
            self._connection.close(error)
            self._end(with_will and self._broker.service.listening)

    def deliver(self, topic: str, payload: bytes) -> None:
        """A message of QoS 1, if it is subscribed to [MQTT-3.3.5-1] and may be read."""
        granted = [qos for one, qos in self._filters.items() if mqtt.matches(one, topic)]
        if granted and self._may(topic, ("down",)):
            qos = min(1, max(granted))
            self._mid = self._mid % 65535 + 1 if qos else self._mid
            self._send(mqtt.pack_publish(topic, payload, qos, self._mid))

    def _send(self, data: bytes) -> None:
        if not self._over:
            self._connection.send(data)

    def _answer(self, kind: int, mid: int, more: bytes = b"") -> None:
        self._send(mqtt.pack(kind, mid.to_bytes(2, "big") + more))

    def _note(self, what: str, **fields: object) -> None:
        self._broker.trace.add(self._broker.kernel.now_us, "broker", what, client=self._name or "?", **fields)

    def _take(self, packet: mqtt.Packet) -> None:
        if packet.kind == mqtt.CONNECT:
            self._welcome(packet)
        elif packet.kind == mqtt.PUBLISH:
            self._publish(mqtt.read_publish(packet))
        elif packet.kind == mqtt.PUBREL:
            self._release(mqtt.read_mid(packet))
        elif packet.kind == mqtt.SUBSCRIBE:
            mid, wanted = mqtt.read_subscribe(packet)
            self._filters.update(wanted)
            self._answer(mqtt.SUBACK, mid, bytes(qos for _, qos in wanted))
        elif packet.kind == mqtt.UNSUBSCRIBE:
            mid, names = mqtt.read_unsubscribe(packet)
            for name in names:
                self._filters.pop(name, None)
            self._answer(mqtt.UNSUBACK, mid)
        elif packet.kind == mqtt.PINGREQ:
            self._send(mqtt.pack(mqtt.PINGRESP))
        elif packet.kind == mqtt.DISCONNECT and not packet.flags and not packet.body:  # [MQTT-3.14.1-1]
            self.drop(with_will=False)
        elif packet.kind == mqtt.PUBACK:
            mqtt.read_mid(packet)  # nothing follows: only a new connection would get it again, and that is clean
        elif packet.kind not in UNANSWERED:
            raise mqtt.Malformed(f"a packet of kind {packet.kind}")

    def _welcome(self, packet: mqtt.Packet) -> None:
        if self._name is not None:  # [MQTT-3.1.0-2]; Mosquitto forgets the will, against [MQTT-3.1.2-8]
            self._note("malformed", why="a second CONNECT")
            self.drop(ECONNRESET, with_will=False)
            return
        connect, broker = mqtt.read_connect(packet), self._broker
        expected = broker.accounts.get(connect.username or "")
        if connect.username is None or expected is None or connect.password != expected:
            raise mqtt.Refused(5, connect.username or "?")  # not authorized, section 3.2.2.3
        if not connect.clean:
            raise mqtt.Malformed("a kept session of a device is not modelled")
        old = broker.sessions.get(connect.username)
        if old is not None:
            old._note("took-over")
            old.drop()  # [MQTT-3.1.4-2]
        self._name, self._will = connect.username, connect.will
        broker.sessions[self._name] = self
        self._note("connected")
        self._send(mqtt.pack(mqtt.CONNACK, b"\0\0"))
        self._limit_us = int(connect.keepalive_s * GRACE * 1e6)
        self._watch(self._name)

    def _watch(self, name: str | None) -> None:
        """Until the connection is over, or has got a name and with it another limit. 0: none [MQTT-3.1.2-24]."""
        kernel = self._broker.kernel

        def look() -> None:
            if self._over or self._name != name or not self._limit_us:
                return
            due_us = -(-(self._heard_us + self._limit_us) // ROUND_US) * ROUND_US
            if kernel.now_us >= due_us:
                self._note("timed-out")
                self.drop()
            else:
                kernel.at(due_us, lambda: self._broker.when_running(look))

        look()

    def _may(self, topic: str, kinds: tuple[str, ...]) -> bool:
        return topic in [f"sigap/v1/d/{self._name}/{kind}" for kind in kinds]

    def _publish(self, one: mqtt.Publish) -> None:
        if one.qos == 2:  # it counts when it is released: method A of section 4.3.3
            self._unreleased[one.mid] = one
            self._answer(mqtt.PUBREC, one.mid)
            return
        self._route(one)
        if one.qos:
            self._answer(mqtt.PUBACK, one.mid)

    def _release(self, mid: int) -> None:
        one = self._unreleased.pop(mid, None)
        if one is not None:
            self._route(one)
        self._answer(mqtt.PUBCOMP, mid)  # also of what it does not know, as it may have been released before

    def _route(self, one: mqtt.Publish) -> None:
        if self._may(one.topic, ("up", "state")):
            for watch in self._broker.uplinks:
                watch(one.topic, one.payload)
            self._broker.route(one.topic, one.payload, one.qos, one.retain)
        else:
            self._note("denied", topic=one.topic)

    def _end(self, with_will: bool) -> None:
        if self._over:
            return
        self._over = True
        if self._name is None:
            return
        if self._broker.sessions.get(self._name) is self:
            del self._broker.sessions[self._name]
        self._note("disconnected")
        if with_will and self._will:
            self._route(self._will)
