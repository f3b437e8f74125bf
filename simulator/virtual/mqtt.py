"""MQTT 3.1.1 packets as the modelled broker reads and writes them (OASIS mqtt-v3.1.1-os, sections 2 and 3).

Written from the standard and not from firmware/mqtt, so that the two check one another.
"""

from __future__ import annotations

from dataclasses import dataclass

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
MOST_BYTES = 4095  # max_packet_size 4096 of the generated configuration: Mosquitto counts the content and one byte


class Malformed(ValueError):
    """The bytes are no packet; the broker closes the connection [MQTT-4.8.0-1]."""


class Refused(Exception):
    """A CONNECT that is answered with a code of section 3.2.2.3, and closed."""

    def __init__(self, code: int) -> None:
        super().__init__(f"refused with code {code}")
        self.code = code


@dataclass
class Packet:
    kind: int
    flags: int
    body: bytes


def split(buffer: bytearray) -> Packet | None:
    """Take the first whole packet off the buffer; None when there is none yet."""
    size, shift, place = 0, 0, 1
    while True:
        if place >= len(buffer):
            return None
        size |= (buffer[place] & 127) << shift
        shift += 7
        place += 1
        if not buffer[place - 1] & 128:
            break
        if shift > 21:
            raise Malformed("a remaining length of more than four bytes [2.2.3]")
    if size > MOST_BYTES:
        raise Malformed(f"a packet of {size} bytes")
    if len(buffer) < place + size:
        return None
    packet = Packet(buffer[0] >> 4, buffer[0] & 15, bytes(buffer[place : place + size]))
    del buffer[: place + size]
    return packet


class Reader:
    """Fields of a body, in order."""

    def __init__(self, body: bytes) -> None:
        self._body, self._place = body, 0

    def take(self, count: int) -> bytes:
        part = self._body[self._place : self._place + count]
        if len(part) < count:
            raise Malformed("a packet that ends too early")
        self._place += count
        return part

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        return int.from_bytes(self.take(2), "big")

    def field(self) -> bytes:
        return self.take(self.number())

    def mid(self) -> int:
        """A packet identifier; zero is none [MQTT-2.3.1-1]."""
        number = self.number()
        if not number:
            raise Malformed("a packet identifier of zero")
        return number

    def text(self) -> str:
        """UTF-8 [MQTT-1.5.3-1] without U+0000 [MQTT-1.5.3-2]. Mosquitto refuses as well what that section only advises
        against: control characters, and code points that are no character."""
        try:
            text = self.field().decode()
        except UnicodeDecodeError as error:
            raise Malformed(f"no UTF-8: {error.reason}") from None
        if any(_forbidden(ord(one)) for one in text):
            raise Malformed("a character that may not be in a text")
        return text

    def rest(self) -> bytes:
        part = self._body[self._place :]
        self._place = len(self._body)
        return part

    @property
    def left(self) -> int:
        return len(self._body) - self._place


def _forbidden(code: int) -> bool:
    return code < 32 or 127 <= code < 160 or code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF


@dataclass
class Publish:
    """mid: 0 with QoS 0."""

    topic: str
    payload: bytes
    qos: int
    retain: bool
    mid: int = 0


@dataclass
class Connect:
    client_id: str
    clean: bool
    keepalive_s: int
    will: Publish | None
    username: str | None
    password: bytes | None


def read_connect(packet: Packet) -> Connect:
    """The fields of a CONNECT, section 3.1. Refused: a level that is not spoken, a client id that is missing."""
    fields = Reader(packet.body)
    if packet.flags or fields.text() != "MQTT":
        raise Malformed("no CONNECT of MQTT 3.1.1 [MQTT-3.1.2-1]")
    level = fields.byte()
    if level == 5:
        raise Malformed("MQTT 5 is not modelled")
    if level != 4:
        raise Refused(1)  # [MQTT-3.1.2-2]
    flags = fields.byte()
    if flags & 1:
        raise Malformed("the reserved connect flag is set [MQTT-3.1.2-3]")
    if flags & 64 and not flags & 128:
        raise Malformed("a password without a user name [MQTT-3.1.2-22]")
    if flags & 24 == 24 or (not flags & 4 and flags & 56):
        raise Malformed("will flags that contradict each other [MQTT-3.1.2-11, 13, 14, 15]")
    keepalive_s, client_id, will = fields.number(), fields.text(), None
    if not client_id and not flags & 2:
        raise Refused(2)  # [MQTT-3.1.3-8]
    if flags & 4:
        will = Publish(_topic(fields.text()), fields.field(), flags >> 3 & 3, bool(flags & 32))
    username = fields.text() if flags & 128 else None
    password = fields.field() if flags & 64 else None
    if fields.left:
        raise Malformed("a CONNECT with more than it says")
    return Connect(client_id, bool(flags & 2), keepalive_s, will, username, password)


def read_publish(packet: Packet) -> Publish:
    """Section 3.3. A DUP flag tells nothing here; Mosquitto takes it even with QoS 0, against [MQTT-3.3.1-2]."""
    fields, qos = Reader(packet.body), packet.flags >> 1 & 3
    if qos == 3:
        raise Malformed("QoS 3 [MQTT-3.3.1-4]")
    topic = _topic(fields.text())
    mid = fields.mid() if qos else 0
    return Publish(topic, fields.rest(), qos, bool(packet.flags & 1), mid)


def read_subscribe(packet: Packet) -> tuple[int, list[tuple[str, int]]]:
    """The packet identifier, and pairs of filter and QoS; section 3.8."""
    fields = _answered(packet)
    mid, wanted = fields.mid(), []
    while fields.left or not wanted:  # one at least [MQTT-3.8.3-3]
        wanted.append((_filter(fields.text()), fields.byte()))
        if wanted[-1][1] > 2:
            raise Malformed("a QoS that there is not [MQTT-3.8.3-4]")
    return mid, wanted


def read_unsubscribe(packet: Packet) -> tuple[int, list[str]]:
    """The packet identifier and the filters; section 3.10."""
    fields = _answered(packet)
    mid, names = fields.mid(), []
    while fields.left or not names:  # one at least [MQTT-3.10.3-2]
        names.append(_filter(fields.text()))
    return mid, names


def read_mid(packet: Packet) -> int:
    """What a PUBACK or a PUBREL answers."""
    return (_answered(packet) if packet.kind == PUBREL else Reader(packet.body)).mid()


def _answered(packet: Packet) -> Reader:
    """SUBSCRIBE, UNSUBSCRIBE and PUBREL have the flags 0010 [MQTT-3.8.1-1, 3.10.1-1, 3.6.1-1]."""
    if packet.flags != 2:
        raise Malformed(f"flags {packet.flags} in a packet of kind {packet.kind}")
    return Reader(packet.body)


def _topic(name: str) -> str:
    """Something [MQTT-4.7.3-1] without wildcards [MQTT-3.3.2-2]."""
    if not name or "+" in name or "#" in name:
        raise Malformed(f"{name!r} is no topic")
    return name


def _filter(name: str) -> str:
    """Something; + is a level of its own [MQTT-4.7.1-3], # as well and the last one [MQTT-4.7.1-2]."""
    levels = name.split("/")
    if not name or "#" in levels[:-1] or any(len(one) > 1 and ("+" in one or "#" in one) for one in levels):
        raise Malformed(f"{name!r} is no topic filter")
    return name


def pack(kind: int, body: bytes = b"", flags: int = 0) -> bytes:
    """One packet."""
    size, head = len(body), bytearray([kind << 4 | flags])
    while True:
        size, digit = size >> 7, size & 127
        head.append(digit | (128 if size else 0))
        if not size:
            return bytes(head) + body


def pack_publish(topic: str, payload: bytes, qos: int, mid: int, *, retain: bool = False, dup: bool = False) -> bytes:
    """A PUBLISH, section 3.3."""
    name = topic.encode()
    body = len(name).to_bytes(2, "big") + name + (mid.to_bytes(2, "big") if qos else b"") + payload
    return pack(PUBLISH, body, (8 if dup else 0) | qos << 1 | (1 if retain else 0))


def matches(pattern: str, topic: str) -> bool:
    """Does a topic filter take this topic; section 4.7. A wildcard in front takes no $ [MQTT-4.7.2-1]."""
    left, right = pattern.split("/"), topic.split("/")
    if topic.startswith("$") and left[0] in ("+", "#"):
        return False
    for place, part in enumerate(left):
        if part == "#":
            return True
        if place >= len(right) or part not in ("+", right[place]):
            return False
    return len(left) == len(right)
