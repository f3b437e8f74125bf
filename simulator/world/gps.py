"""A GPS receiver: follows a track, and says it as NMEA 0183 does.

RMC, GGA and GSA once a second, as a u-blox does.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from sigap.problem import USAGE, Problem

METRES_PER_DEGREE = 111_195.0
KNOTS_PER_M_S = 1.943844


def checksum(body: str) -> str:
    """NMEA 0183: exclusive or of the characters between $ and *, two upper-case hex digits."""
    value = 0
    for byte in body.encode("ascii"):
        value ^= byte
    return f"{value:02X}"


def sentence(body: str) -> str:
    return f"${body}*{checksum(body)}\r\n"


def degrees_minutes(value: float, width: int) -> str:
    """Degrees and minutes of NMEA, without the sign: ddmm.mmmmm (width 2) or dddmm.mmmmm (width 3)."""
    units = round(abs(value) * 60 * 100_000)  # 1e-5 minutes, about 2 cm
    degrees, rest = divmod(units, 60 * 100_000)
    return f"{degrees:0{width}d}{rest // 100_000:02d}.{rest % 100_000:05d}"


@dataclass
class Receiver:
    """track: (seconds since power-on, latitude, longitude) in order; it stays at the last point.

    An empty track never has a fix.
    """

    track: Sequence[tuple[float, float, float]] = ()
    sky: bool = True
    hdop: float = 0.9
    satellites: int = 9
    first_fix_s: float = 0.0
    altitude_m: float = 12.0
    talker: str = "GN"
    uart: int = field(default=1)

    def has_fix(self, elapsed_s: float) -> bool:
        return bool(self.track) and self.sky and elapsed_s >= self.first_fix_s

    def position(self, elapsed_s: float) -> tuple[float, float]:
        """(latitude, longitude) at `elapsed_s`, on the straight line between two points of the track."""
        before = self.track[0]
        for point in self.track:
            if point[0] >= elapsed_s:
                span = point[0] - before[0]
                share = (elapsed_s - before[0]) / span if span > 0 else 1.0
                share = min(1.0, max(0.0, share))
                return (
                    before[1] + (point[1] - before[1]) * share,
                    before[2] + (point[2] - before[2]) * share,
                )
            before = point
        return self.track[-1][1], self.track[-1][2]

    def motion(self, elapsed_s: float) -> tuple[float, float]:
        """(speed in m/s, course in degrees) over the last second."""
        lat1, lon1 = self.position(max(0.0, elapsed_s - 1))
        lat2, lon2 = self.position(elapsed_s)
        north = (lat2 - lat1) * METRES_PER_DEGREE
        east = (lon2 - lon1) * METRES_PER_DEGREE * math.cos(math.radians(lat2))
        return math.hypot(north, east), math.degrees(math.atan2(east, north)) % 360

    def sentences(self, elapsed_s: float, now: datetime) -> list[str]:
        """RMC, GGA and GSA of this second; `now` is aware.

        Without a fix: status V, quality 0, mode 1, empty positions.
        """
        now = now.astimezone(UTC)
        clock = f"{now:%H%M%S}.{now.microsecond // 10_000:02d}"
        if not self.has_fix(elapsed_s):
            return [
                sentence(f"{self.talker}RMC,{clock},V,,,,,,,{now:%d%m%y},,,N"),
                sentence(f"{self.talker}GGA,{clock},,,,,0,00,99.99,,,,,,"),
                sentence(f"{self.talker}GSA,A,1,,,,,,,,,,,,,99.99,99.99,99.99"),
            ]
        lat, lon = self.position(elapsed_s)
        speed, course = self.motion(elapsed_s)
        knots, pdop, vdop = speed * KNOTS_PER_M_S, self.hdop * 1.8, self.hdop * 1.5
        north, east = "S" if lat < 0 else "N", "W" if lon < 0 else "E"
        place = f"{degrees_minutes(lat, 2)},{north},{degrees_minutes(lon, 3)},{east}"
        used = ",".join(f"{n:02d}" for n in range(1, min(12, self.satellites) + 1))
        blank = "," * (12 - min(12, self.satellites))
        return [
            sentence(f"{self.talker}RMC,{clock},A,{place},{knots:.3f},{course:.2f},{now:%d%m%y},,,A"),
            sentence(
                f"{self.talker}GGA,{clock},{place},1,{self.satellites:02d},{self.hdop:.2f},{self.altitude_m:.1f},M,25.0,M,,"
            ),
            sentence(f"{self.talker}GSA,A,3,{used}{blank},{pdop:.2f},{self.hdop:.2f},{vdop:.2f}"),
        ]


def receiver(settings: object) -> Receiver:
    """From a world file: {"site": [lat, lon]} or {"track": [[s, lat, lon], ...]}, and further fields."""
    if not isinstance(settings, dict):
        raise Problem("gps must be a table", "Write gps = { site = [-6.98, 110.41] }", USAGE)
    rest = dict(settings)
    site, track = rest.pop("site", None), rest.pop("track", None)
    known = {"sky", "hdop", "satellites", "first_fix_s", "altitude_m", "talker", "uart"}
    if unknown := set(rest) - known:
        raise Problem(f"gps does not know {', '.join(sorted(unknown))}", f"It knows {', '.join(sorted(known))}", USAGE)
    try:
        points = [(0.0, *site)] if site is not None else (track or [])
        fixed = [(float(t), float(lat), float(lon)) for t, lat, lon in points]
    except (TypeError, ValueError) as error:
        raise Problem(
            "gps site is [lat, lon], track is [[seconds, lat, lon], ...]", "Correct the numbers", USAGE
        ) from error
    if any(not (-90 <= lat <= 90 and -180 <= lon <= 180) for _, lat, lon in fixed):
        raise Problem("gps has a position outside the earth", "Latitude comes first, in degrees", USAGE)
    return Receiver(track=sorted(fixed), **rest)
