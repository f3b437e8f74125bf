"""The few MQTT 3.1.1 packets that the load needs, as bytes: nothing between it and the socket is to be measured."""

from __future__ import annotations

import socket
from collections.abc import Iterator

PUBACK, PUBLISH = 0x40, 0x30
CONNECT_LIMIT_S = 10.0


def _field(data: bytes) -> bytes:
    return len(data).to_bytes(2, "big") + data


def _packet(first: int, body: bytes) -> bytes:
    if len(body) > 127:
        raise ValueError(f"a packet of the load has at most 127 bytes, not {len(body)}")
    return bytes((first, len(body))) + body


def publish(topic: str, payload: bytes, packet_id: int) -> bytes:
    """PUBLISH with QoS 1."""
    return _packet(0x32, _field(topic.encode()) + packet_id.to_bytes(2, "big") + payload)


def connect(port: int, client_id: str) -> socket.socket:
    """A clean session at the broker on this machine, TCP_NODELAY; blocking."""
    sock = socket.create_connection(("127.0.0.1", port), CONNECT_LIMIT_S)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(_packet(0x10, _field(b"MQTT") + b"\x04\x02\x00\x00" + _field(client_id.encode())))
    _expect(sock, b"\x20\x02\x00\x00")
    return sock


def subscribe(sock: socket.socket, topic: str) -> None:
    """Subscribe with QoS 1, as a button does."""
    sock.sendall(_packet(0x82, b"\x00\x01" + _field(topic.encode()) + b"\x01"))
    _expect(sock, b"\x90\x03\x00\x01\x01")


def _expect(sock: socket.socket, wanted: bytes) -> None:
    got = sock.recv(len(wanted), socket.MSG_WAITALL)
    if got != wanted:
        raise ConnectionError(f"the broker answered {got.hex()}")


class Reader:
    """Whole packets out of a stream of bytes."""

    def __init__(self) -> None:
        self._rest = b""

    def packets(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """(first byte, body) of each packet that is whole now. Feed all bytes, take all packets."""
        data = self._rest + data
        at, end = 0, len(data)
        while at + 2 <= end:
            size, shift, start = 0, 0, at + 1
            while start < end:
                byte = data[start]
                size |= (byte & 127) << shift
                start, shift = start + 1, shift + 7
                if byte < 128:
                    break
            else:
                break
            if start + size > end:
                break
            yield data[at], data[start : start + size]
            at = start + size
        self._rest = data[at:]


def payload_of(first: int, body: bytes) -> tuple[bytes, bytes | None]:
    """(payload, the PUBACK that it wants or None) of a PUBLISH."""
    at = 2 + int.from_bytes(body[:2], "big")
    if not first & 6:
        return body[at:], None
    return body[at + 2 :], b"\x40\x02" + body[at : at + 2]
