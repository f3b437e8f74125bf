"""Which cases there are: how many alarms a second, of how many devices, for which peers."""

from __future__ import annotations

from dataclasses import dataclass

from sigap.bench.load import FIRST_ID, Load
from sigap.bench.peers import NAIVE, NAMES, NODE_RED, SIGAP

FEW, MANY = "few", "many"
FEW_DEVICES, MANY_DEVICES = 500, 20_000
WARM_UP = (100, 200.0, 200)  # devices, alarms a second, alarms: not counted
ROUNDS = 2


@dataclass(frozen=True)
class Case:
    """kind: FEW devices that send much, or MANY that send one alarm each. peers: in this order, in each round."""

    kind: str
    per_s: float
    seconds: float
    peers: tuple[str, ...]

    @property
    def count(self) -> int:
        return round(self.per_s * self.seconds) if self.kind == FEW else MANY_DEVICES

    @property
    def devices(self) -> int:
        return min(FEW_DEVICES, self.count) if self.kind == FEW else MANY_DEVICES


CASES = (
    Case(FEW, 10, 4, NAMES),
    Case(FEW, 100, 3, NAMES),
    Case(FEW, 1_000, 3, NAMES),
    Case(FEW, 3_000, 4, NAMES),
    Case(MANY, 3_000, 0, (SIGAP, NAIVE, NODE_RED)),
    Case(FEW, 10_000, 2, NAMES),
    Case(MANY, 10_000, 0, (SIGAP,)),
)


class Devices:
    """Hands out devices that no load had before."""

    def __init__(self) -> None:
        self._next = FIRST_ID

    def load(self, devices: int, per_s: float, count: int) -> Load:
        load = Load(self._next, devices, per_s, count)
        self._next += devices
        return load


def devices_needed(cases: tuple[Case, ...], rounds: int) -> int:
    """How many devices each store must know."""
    return WARM_UP[0] + rounds * sum(case.devices for case in cases)
