"""The network between a board and the services of its world: TCP as a board feels it.

A link has delay and jitter (seeded), loss (a lost segment comes a retransmission time later: RFC 6298, 200 ms at
first, doubling), and may be cut: then what was written waits, as TCP's does, and flows when the link is back. A
connection whose other end has given up meanwhile is reset.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from simulator.virtual.kernel import LOOKAHEAD_US, Kernel, Runner

RTO_US = 200_000
RTO_MOST_US = 60_000_000
ECONNREFUSED, ECONNRESET = 111, 104
ACK_EVERY = 1_500  # bytes, before an acknowledgement goes down alone


class Peer(Protocol):
    """The service's end of a connection."""

    def receive(self, data: bytes) -> None: ...
    def closed(self) -> None: ...


@dataclass
class Quality:
    """How a link is. delay_us each way; loss: share of segments; up and down: does anything pass."""

    delay_us: int = 4_000
    jitter_us: int = 4_000
    loss: float = 0.0
    up: bool = True
    down: bool = True


@dataclass
class Service:
    """Something that listens. open(connection) gives its end, or None: refused."""

    open: Callable[[Connection], Peer | None]
    listening: bool = True
    silent: bool = False  # SIGSTOP: the kernel takes the connection, nobody reads


class _PortalPage:
    """A captive portal: to whatever is asked, its log-in page (RFC 8952, 1), and the end."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def receive(self, data: bytes) -> None:
        self._connection.send(PORTAL_ANSWER)
        self._connection.close()

    def closed(self) -> None:
        pass


PORTAL_ANSWER = b"HTTP/1.1 302 Found\r\nLocation: http://login.example.org/\r\nConnection: close\r\n\r\n"
PORTAL = Service(_PortalPage)


@dataclass
class Link:
    """One board's way into the network. tell(message, at_us): to the board."""

    kernel: Kernel
    chance: random.Random
    tell: Callable[[dict[str, object], int], None]
    services: dict[tuple[str, int], Service]
    runner: Runner
    quality: Quality = field(default_factory=Quality)
    points: list[dict[str, Any]] = field(default_factory=lambda: [{"up": True}])  # access points
    connections: dict[int, Connection] = field(default_factory=dict)

    def connect(self, number: int, host: str, port: int, point: int) -> None:
        self.connections[number] = Connection(self, number, (host, port), point)

    def passes(self, way: str, point: int) -> bool:
        """Does anything pass, through this access point."""
        return self.points[point].get("up", True) and (self.quality.up if way == "up" else self.quality.down)

    def trip_us(self) -> int:
        """One segment's way, with its retransmissions."""
        quality = self.quality
        trip = quality.delay_us + (self.chance.randrange(quality.jitter_us) if quality.jitter_us else 0)
        wait = RTO_US
        while quality.loss and self.chance.random() < quality.loss and wait < RTO_MOST_US:
            trip, wait = trip + wait, wait * 2
        return max(trip, LOOKAHEAD_US)

    def change(self, **fields: object) -> None:
        """Set parts of the quality, or points; what was held back flows when it can again."""
        for name, value in fields.items():
            setattr(self if name == "points" else self.quality, name, value)
        for connection in list(self.connections.values()):
            connection.flow()

    def power_off(self) -> None:
        """The board is gone without a word: the other ends find out by themselves."""
        for connection in self.connections.values():
            connection.forgotten = True
        self.connections = {}


class Connection:
    """One TCP connection of a board. The service calls send() and close()."""

    def __init__(self, link: Link, number: int, address: tuple[str, int], point: int) -> None:
        self.link, self.number, self.address, self.point = link, number, address, point
        self.peer: Peer | None = None
        self.forgotten = False  # the board lost its end without a word
        self._over = False  # the service closed its end
        self._up: list[bytes | None] = []  # None: the board closed
        self._down: list[dict[str, object]] = []
        self._up_free_us = self._down_free_us = 0  # in order: nothing overtakes
        self._unsaid = 0
        self._opened = False
        link.kernel.after(link.trip_us(), self._open)

    def _open(self) -> None:
        if self.forgotten or self._opened:
            return
        link = self.link
        if not link.passes("up", self.point) or not link.passes("down", self.point):
            link.kernel.after(RTO_US * 5, self._open)  # the SYN is sent again each second
            return
        service = PORTAL if link.points[self.point].get("portal") else link.services.get(self.address)
        if service is None or not service.listening:
            self._tell({"error": ECONNREFUSED})
            return
        self._opened = True
        self.peer = service.open(self)
        self._tell({"error": ECONNREFUSED} if self.peer is None else {"open": 1})

    # Uplink

    def written(self, data: bytes | None) -> None:
        """The board wrote, or closed (None)."""
        self._up.append(data)
        if data is None:
            self.link.connections.pop(self.number, None)
        self.flow()

    def flow(self) -> None:
        """Move what can move."""
        link, kernel = self.link, self.link.kernel
        if link.passes("up", self.point):
            waiting, self._up = self._up, []
            for data in waiting:
                self._up_free_us = max(self._up_free_us, kernel.now_us + link.trip_us())
                kernel.at(self._up_free_us, lambda data=data: self._arrive(data))
        if link.passes("down", self.point):
            messages, self._down = self._down, []
            for message in messages:
                self._tell(message)

    def _arrive(self, data: bytes | None) -> None:
        if self.peer is None:
            return
        if self._over:
            if data is not None:
                self._tell({"error": ECONNRESET})
            return
        if data is None:
            self._over = True
            self.peer.closed()
            return
        self._unsaid += len(data)
        self.peer.receive(data)
        if self._unsaid >= ACK_EVERY:
            self._tell({})

    # Downlink

    def send(self, data: bytes) -> None:
        if not self._over:
            self._tell({"data": data.hex()})

    def close(self, error: int = 0) -> None:
        """The service ends the connection: in order, or with a reset."""
        if not self._over:
            self._over = True
            self._tell({"error": error} if error else {"end": 1})

    def _tell(self, message: dict[str, object]) -> None:
        if self.forgotten:
            return
        link = self.link
        if not link.passes("down", self.point):
            self._down.append(message)
            return
        self._down_free_us = max(self._down_free_us, link.kernel.now_us + link.trip_us())
        sent, self._unsaid = self._unsaid, 0
        whole = {"net": self.number, **message, **({"sent": sent} if sent else {})}
        link.tell(whole, self._down_free_us)
