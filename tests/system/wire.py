"""Reads the loopback interface as a network analyser does, so that a test sees what really went over the wire.

Needs Linux and the right to open a raw socket (root, or CAP_NET_RAW).
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass

ETH_P_IP = 0x0800
ETHERNET_BYTES = 14
OUTGOING = 4  # packet(7), PACKET_OUTGOING: on the loopback interface each packet passes twice
BUFFER_BYTES = 64 << 20
SO_TIMESTAMPNS = 35  # socket(7): the kernel says when a packet came, however late this thread looks
_TIMESPEC = struct.Struct("qq")


def may_listen() -> bool:
    """Whether this process may read the wire."""
    try:
        socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close()
    except (AttributeError, PermissionError):
        return False
    return True


@dataclass(frozen=True)
class Segment:
    """One TCP segment with content. at: Unix ms."""

    at: float
    source: int
    target: int
    sequence: int
    data: bytes


class Wire:
    """Keeps the segments for which `wanted(segment)` holds, and calls `on_segment(segment)` at once."""

    def __init__(self, wanted: Callable[[Segment], bool], on_segment: Callable[[Segment], None]) -> None:
        self._wanted, self._on_segment = wanted, on_segment
        self.segments: list[Segment] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(ETH_P_IP))
        self._socket.setsockopt(socket.SOL_SOCKET, 33, BUFFER_BYTES)  # SO_RCVBUFFORCE
        self._socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self._socket.bind(("lo", ETH_P_IP))
        self._socket.settimeout(0.1)
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._read, name="wire", daemon=True)

    def __enter__(self) -> Wire:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        self._socket.close()

    def stream(self, source: int, target: int) -> bytes:
        """What went from one port to the other, in order."""
        found = {one.sequence: one.data for one in self.segments if (one.source, one.target) == (source, target)}
        return b"".join(data for _, data in sorted(found.items()))

    def _read(self) -> None:
        while not self._ended.is_set():
            try:
                packet, told, _flags, address = self._socket.recvmsg(1 << 17, socket.CMSG_SPACE(_TIMESPEC.size))
            except TimeoutError:
                continue
            seconds, nanoseconds = _TIMESPEC.unpack(told[0][2])
            at = seconds * 1000 + nanoseconds / 1e6
            segment = None if address[2] == OUTGOING else parse(packet[ETHERNET_BYTES:], at)
            if segment is not None and self._wanted(segment):
                self.segments.append(segment)
                self._on_segment(segment)


def parse(packet: bytes, at: float) -> Segment | None:
    """An IPv4 packet (RFC 791) with TCP (RFC 9293) and content, or None. at: when it came, Unix ms."""
    if len(packet) < 40 or packet[0] >> 4 != 4 or packet[9] != socket.IPPROTO_TCP:
        return None
    header_bytes = (packet[0] & 15) * 4
    (length,) = struct.unpack_from(">H", packet, 2)
    source, target, sequence = struct.unpack_from(">HHI", packet, header_bytes)
    data = packet[header_bytes + (packet[header_bytes + 12] >> 4) * 4 : length or None]
    return Segment(at, source, target, sequence, data) if data else None
