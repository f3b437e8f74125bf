"""What can be wrong with a link: plain values, that the proxy looks at anew for every piece it carries.

What loss means here: TCP never loses bytes, it sends them again later, and what came behind them waits. So a lost
piece is a stall: 200 ms, and twice as long each time it is lost again (RFC 6298, section 5.5: the timeout doubles). The
RFC asks for 1 s at the least (section 2.4); Linux takes 200 ms, and so does this. After MOST_LOSSES it gets through.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from random import Random
from typing import Any

from sigap.problem import USAGE, Problem

RETRANSMIT_S = 0.2
MOST_LOSSES = 6  # of one piece, in a row: 12.6 s together
MOST_MS = 600_000.0
MOST_BYTES = 1 << 40
HALF_OPEN, BLACK_HOLE, REFUSED = "half-open", "black-hole", "refused"
CUTS = (HALF_OPEN, BLACK_HOLE, REFUSED)
WAYS = ("up", "down")


@dataclass(frozen=True)
class Way:
    """One direction of a link; 0 means that this is not wrong with it.

    delay_ms, jitter_ms: every piece comes so much later, more or less by up to the jitter; order is kept.
    bandwidth_bps: bits a second, of each connection. loss, garbage: the chance (0 to 1) that a piece (at most 1,460
    bytes) is lost (see above), or comes with one wrong byte. reset_after, truncate_after: each connection lets so many
    bytes through, exactly; then both its sides get a RST, or an orderly end.
    """

    delay_ms: float = 0
    jitter_ms: float = 0
    bandwidth_bps: float = 0
    loss: float = 0
    garbage: float = 0
    reset_after: int = 0
    truncate_after: int = 0

    def late_s(self, draw: Random) -> float:
        """How much later one piece comes, in seconds."""
        late_s = max(0.0, self.delay_ms + draw.uniform(-self.jitter_ms, self.jitter_ms)) / 1000
        wait_s = RETRANSMIT_S
        for _ in range(MOST_LOSSES):
            if draw.random() >= self.loss:
                break
            late_s += wait_s
            wait_s *= 2
        return late_s

    def noise(self, piece: bytes, draw: Random) -> bytes:
        """The piece as it comes out: mostly as it went in."""
        if draw.random() >= self.garbage:
            return piece
        place = draw.randrange(len(piece))
        return piece[:place] + bytes([piece[place] ^ draw.randrange(1, 256)]) + piece[place + 1 :]


@dataclass(frozen=True)
class Faults:
    """Everything that is wrong with a link. up: towards whoever listens; down: back.

    cut: "", or one of CUTS. half-open: connections, and those that are made meanwhile, are silent for good, and neither
    side is told when the other ends, as when a router has forgotten them. black-hole: all are silent until it is over;
    then what was held flows, unless its receiver has given up. refused: the same, but new ones are refused.
    """

    up: Way = field(default_factory=Way)
    down: Way = field(default_factory=Way)
    cut: str = ""

    def changed(self, changes: Mapping[str, Any]) -> Faults:
        """With `changes`: {"delay_ms": 200} for both ways, {"up.loss": 0.1} for one, {"cut": "half-open"}.

        Values may be text. Raises Problem for what is not a fault, or out of its range.
        """
        ways, cut = {"up": self.up, "down": self.down}, self.cut
        for key, value in changes.items():
            if key == "cut":
                cut = _cut(value)
                continue
            way, _, name = key.rpartition(".")
            if name not in _LIMITS or way not in ("", *WAYS):
                raise Problem(f"there is no fault {key}", f"There are {', '.join(KEYS)}", USAGE)
            number = _number(key, value, _LIMITS[name])
            for each in [way] if way else WAYS:
                ways[each] = replace(ways[each], **{name: number})
        return Faults(ways["up"], ways["down"], cut)

    def told(self) -> dict[str, Any]:
        """What is wrong, as `changed` takes it; {} when nothing is."""
        said: dict[str, Any] = {"cut": self.cut} if self.cut else {}
        for one in fields(Way):
            up, down = getattr(self.up, one.name), getattr(self.down, one.name)
            if up == down:
                said |= {one.name: up} if up else {}
            else:
                said |= {f"{way}.{one.name}": value for way, value in (("up", up), ("down", down)) if value}
        return said


_LIMITS: dict[str, tuple[type, float]] = {
    "delay_ms": (float, MOST_MS),
    "jitter_ms": (float, MOST_MS),
    "bandwidth_bps": (float, 1e12),
    "loss": (float, 1.0),
    "garbage": (float, 1.0),
    "reset_after": (int, MOST_BYTES),
    "truncate_after": (int, MOST_BYTES),
}
KEYS = ("cut", *_LIMITS)


def _cut(value: object) -> str:
    if value in ("", None, *CUTS):
        return str(value or "")
    raise Problem(f"cut is {value!r}", f"It is one of {', '.join(CUTS)}, or empty", USAGE)


def _number(key: str, value: object, limits: tuple[type, float]) -> float:
    kind, most = limits
    try:
        if isinstance(value, bool) or (kind is int and isinstance(value, float)):
            raise TypeError
        number = kind(value)  # type: ignore[call-arg]
    except (TypeError, ValueError):
        number = -1
    if not 0 <= number <= most:  # NaN is not either
        what = "a whole number" if kind is int else "a number"
        raise Problem(f"{key} is {value!r}", f"It is {what} from 0 to {most:g}", USAGE)
    return number
