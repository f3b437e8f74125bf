"""A GPS receiver in virtual time: what it knows of a track under a sky, said as NMEA 0183 at a baud rate.

Each second RMC, GGA and GSA leave the receiver byte by byte; the ESP32's UART hands them on in parts of 120 bytes
(its receive threshold), so a sentence comes in pieces and late.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from simulator.virtual.energy import REST_COMMAND
from simulator.virtual.kernel import NEVER
from simulator.world.gps import METRES_PER_DEGREE, Receiver

BAUD = 9600
BITS_PER_BYTE = 10
HOT_START_US = 1_000_000  # u-blox MAX-M8 data sheet, 1.3
PART_BYTES = 120
START = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)  # of every virtual world
COLD_START_S = 27.0  # to the first fix without aid under open sky (u-blox MAX-M8 data sheet, 1.3: 26 s to 29 s)

# name -> (fix, HDOP, satellites, error in metres, one standard deviation)
SKIES: dict[str, tuple[bool, float, int, float]] = {
    "open": (True, 0.9, 11, 2.5),
    "street": (True, 2.2, 7, 12.0),  # between high houses
    "indoors": (True, 6.5, 4, 35.0),  # near a window
    "none": (False, 99.99, 0, 0.0),  # cellar, tunnel
    "jammed": (False, 99.99, 0, 0.0),
}


@dataclass
class Sky:
    """A receiver, its track (seconds since the world's start), and what it sees. spoof: metres north, east, added."""

    receiver: Receiver
    chance: random.Random
    view: str = "open"
    spoof: tuple[float, float] = (0.0, 0.0)
    cold_start_s: float = COLD_START_S
    next_us: int = NEVER
    _seen_since_us: int | None = field(default=None)
    _said: list[tuple[int, str]] = field(default_factory=list)

    def power_on(self, now_us: int) -> None:
        """The receiver starts cold."""
        self._seen_since_us = None
        self.next_us = now_us + 1_000_000

    def told(self, data: str, now_us: int) -> None:
        """Bytes to the receiver: UBX-RXM-PMREQ puts it to rest, anything else wakes it, and it starts hot."""
        if data.startswith(REST_COMMAND):
            self.next_us = NEVER
        elif self.next_us == NEVER:
            self.next_us = now_us + HOT_START_US

    def speak(self, until_us: int) -> Iterator[tuple[int, str]]:
        """(when, text) of each part that arrives up to `until_us`; call it with growing times."""
        while self.next_us <= until_us:
            at_us, text = self.next_us, self._second(self.next_us)
            self.next_us += 1_000_000
            for begin in range(0, len(text), PART_BYTES):
                part = text[begin : begin + PART_BYTES]
                at_us += len(part) * BITS_PER_BYTE * 1_000_000 // BAUD
                yield at_us, part

    def _second(self, now_us: int) -> str:
        fixes, hdop, satellites, error_m = SKIES[self.view]
        if not fixes:
            self._seen_since_us = None
        elif self._seen_since_us is None:
            self._seen_since_us = now_us
        seen = self._seen_since_us is not None and now_us - self._seen_since_us >= self.cold_start_s * 1e6
        receiver = self.receiver
        receiver.sky, receiver.hdop, receiver.satellites = seen, hdop, satellites
        elapsed_s = now_us / 1e6
        moment = START + timedelta(microseconds=now_us)
        if not seen or not receiver.track:
            return "".join(receiver.sentences(elapsed_s, moment))
        lat, lon = receiver.position(elapsed_s)
        north = self.spoof[0] + self.chance.gauss(0, error_m)
        east = self.spoof[1] + self.chance.gauss(0, error_m)
        lat += north / METRES_PER_DEGREE
        lon += east / (METRES_PER_DEGREE * math.cos(math.radians(lat)))
        there = Receiver(track=[(0.0, lat, lon)], hdop=hdop, satellites=satellites, talker=receiver.talker)
        return "".join(there.sentences(elapsed_s, moment))
