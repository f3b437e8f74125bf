"""MQTT 3.1.1 packets as the modelled broker reads and writes them (OASIS mqtt-v3.1.1-os, sections 2 and 3).

Written from the standard and not from firmware/mqtt, so that the two check one another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

CONNECT, CONNACK, PUBLISH, PUBACK = 1, 2, 3, 4
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT = 8, 9, 10, 11, 12, 13, 14
MOST_BYTES = 1 << 16


class Malformed(ValueError):
    """The bytes are no packet; the broker closes the connection [MQTT-4.8.0-1]."""


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

    def text(self) -> str:
        return self.field().decode()

    def rest(self) -> bytes:
        part = self._body[self._place :]
        self._place = len(self._body)
        return part

    @property
    def left(self) -> int:
        return len(self._body) - self._place


@dataclass
class Connect:
    client_id: str
    clean: bool
    keepalive_s: int
    will: tuple[str, bytes, int, bool] | None  # topic, payload, QoS, retain
    username: str | None
    password: bytes | None


def read_connect(packet: Packet) -> Connect:
    """The fields of a CONNECT, section 3.1."""
    fields = Reader(packet.body)
    if fields.text() != "MQTT" or fields.byte() != 4:
        raise Malformed("no MQTT 3.1.1")
    flags = fields.byte()
    if flags & 1:
        raise Malformed("the reserved connect flag is set [MQTT-3.1.2-3]")
    keepalive_s, client_id = fields.number(), fields.text()
    will = None
    if flags & 4:
        topic, payload = fields.text(), fields.field()
        will = (topic, payload, flags >> 3 & 3, bool(flags & 32))
    username = fields.text() if flags & 128 else None
    password = fields.field() if flags & 64 else None
    return Connect(client_id, bool(flags & 2), keepalive_s, will, username, password)


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
    """Does a topic filter take this topic; section 4.7."""
    left, right = pattern.split("/"), topic.split("/")
    for place, part in enumerate(left):
        if part == "#":
            return True
        if place >= len(right) or part not in ("+", right[place]):
            return False
    return len(left) == len(right)


def described(packet: Packet) -> dict[str, Any]:
    """For a trace: the kind's name."""
    return {"kind": packet.kind, "bytes": len(packet.body)}
