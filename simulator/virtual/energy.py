"""The energy ledger of a board: what each of its parts does over time, times what that draws, is mAh; and a battery.

Fed by what the board tells its world anyway (simulator/PROTOCOL.md), so the firmware that is measured is the real one.
Figures are per board (hardware/boards): mA at the battery, everything that is on the board and not only the chip.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from collections.abc import Mapping
from typing import Any

from simulator.world.wiring import BOARDS, DEFAULT

HOUR_US = 3_600_000_000
# Air time of a frame's bytes at 1 Mb/s (the slowest, as far stations have it), with preamble and acknowledgement.
TX_BYTE_US, TX_FRAME_US = 8, 700
HEADERS_BYTES = 90  # 802.11, LLC, IP, TCP around what the firmware sends
REST_COMMAND = "\xb5\x62\x02\x41"  # UBX-RXM-PMREQ: the receiver goes to backup

# Open-circuit voltage of a lithium-ion cell (NMC, 4.2 V) by the share that is left, in mV: the usual table of cell
# vendors. Cells differ by some 50 mV; what the inner resistance takes (0.1 V at 1 A) is left out: boards draw a tenth.
CURVE: tuple[tuple[float, int], ...] = (
    (0.0, 3000), (0.05, 3450), (0.1, 3680), (0.2, 3740), (0.3, 3770), (0.4, 3790), (0.5, 3820),
    (0.6, 3870), (0.7, 3920), (0.8, 3980), (0.9, 4060), (1.0, 4200),
)  # fmt: skip
EMPTY_MV = CURVE[0][1]


# What each state of a part is called in a board's description. joining and acquiring end by themselves.
STATES = {
    ("cpu", "awake"): "cpu",
    ("cpu", "light"): "light_sleep",
    ("cpu", "deep"): "deep_sleep",
    ("wifi", "idle"): "wifi_idle",
    ("wifi", "joining"): "wifi_connect",
    ("gps", "acquiring"): "gps_acquire",
    ("gps", "tracking"): "gps_track",
    ("gps", "rest"): "gps_rest",
    ("led", "on"): "led",
    ("buzzer", "on"): "buzzer",
}
COLD_START_US, HOT_START_US = 27_000_000, 1_000_000  # of the receiver: u-blox MAX-M8 data sheet, 1.3

Figures = Mapping[str, float]  # state -> mA: cpu, light_sleep and deep_sleep whole, the others on top


def used_mah(lasted_us: Mapping[str, int], figures: Figures) -> float:
    """States times currents. A state for which the board has no figure draws nothing."""
    return sum(us * figures.get(state, 0.0) for state, us in lasted_us.items()) / HOUR_US


def curve_mv(left: float) -> int:
    """Voltage of a cell of which the share `left` (0 to 1) is left, in mV."""
    if left >= 1:
        return CURVE[-1][1]
    if left <= 0:
        return EMPTY_MV
    place = bisect_right(CURVE, (left, 1 << 30))
    (low, low_mv), (high, high_mv) = CURVE[place - 1], CURVE[place]
    return round(low_mv + (high_mv - low_mv) * (left - low) / (high - low))


class Ledger:
    """hear(at_us, message) for all that a board says; switch(at_us, part, state) for what is done to it.

    capacity_mah: what its battery holds at the start; None: it hangs on mains. drain_ma: a mean current in place of
    the figures, while it is on.
    """

    def __init__(self, capacity_mah: float | None = None, drain_ma: float | None = None) -> None:
        self.capacity_mah, self.drain_ma = capacity_mah, drain_ma
        self.wire(BOARDS[DEFAULT])
        self.lasted_us: Counter[str] = Counter()  # state, as a figure is named -> how long
        self.join_us: int | None = 1_500_000  # what joining takes; None: there is nothing to join
        self.has_gps = False
        self._rested = False
        self._states: dict[str, tuple[str, int, int]] = {}  # part -> state, since when, booked until

    def wire(self, wired: Mapping[str, Any]) -> None:
        """What it hangs on: an entry of simulator/world/boards.json."""
        self.figures: Figures = wired["energy_ma"]
        self._led: tuple[int, int] = wired["led"]["pin"], int(wired["led"]["active_high"])

    # What happens

    def power(self, at_us: int, on: bool) -> None:
        """The supply: everything starts, or is off."""
        for part in list(self._states):
            self.switch(at_us, part, "off")
        self._rested = False
        if on:
            self.switch(at_us, "cpu", "awake")
            if self.has_gps:
                self.switch(at_us, "gps", "acquiring")

    def sleep_deep(self, at_us: int) -> None:
        """The chip and all that hangs on its pins is off; the receiver stays as it is."""
        for part in ("wifi", "led", "buzzer"):
            self.switch(at_us, part, "off")
        self.switch(at_us, "cpu", "deep")

    def hear(self, at_us: int, message: dict[str, Any]) -> None:
        """One message of the board."""
        if "cpu" in message:
            self.switch(at_us, "cpu", message["cpu"])
        elif "radio" in message:
            self.switch(at_us, "wifi", message["radio"])
        elif "pwm" in message:
            self.switch(at_us, "buzzer", "on" if message["duty"] else "off")
        elif message.get("pin") == self._led[0]:
            self.switch(at_us, "led", "on" if message["value"] == self._led[1] else "off")
        elif "uart" in message and self.has_gps:
            rests = message["data"].startswith(REST_COMMAND)
            self.switch(at_us, "gps", "rest" if rests else "acquiring")
            self._rested = True
        elif "net" in message:
            size = len(message.get("data", "")) // 2 + HEADERS_BYTES
            self.lasted_us["wifi_tx"] += TX_FRAME_US + size * TX_BYTE_US

    def switch(self, at_us: int, part: str, state: str) -> None:
        """A part goes to another state; a board that ran ahead of the cut of its supply has not used more."""
        at_us = self._book(part, at_us)
        self._states[part] = (state, at_us, at_us)

    def _book(self, part: str, until_us: int) -> int:
        """Count what a part did since it was last looked at; returns until when, which never goes back."""
        state, since_us, booked_us = self._states.get(part, ("off", until_us, until_us))
        until_us = max(until_us, booked_us)
        self._states[part] = (state, since_us, until_us)
        ends = {
            "joining": ("idle", self.join_us),
            "acquiring": ("tracking", HOT_START_US if self._rested else COLD_START_US),
        }
        after, lasts_us = ends.get(state, (state, None))
        change_us = until_us if lasts_us is None else min(until_us, max(booked_us, since_us + lasts_us))
        for each, for_us in ((state, change_us - booked_us), (after, until_us - change_us)):
            if for_us and each != "off":
                self.lasted_us[STATES[part, each]] += for_us
        return until_us

    # What came of it

    def settle(self, at_us: int) -> None:
        """Book everything up to now."""
        for part in list(self._states):
            self._book(part, at_us)

    def mah(self, at_us: int) -> float:
        """Used so far."""
        self.settle(at_us)
        if self.drain_ma is not None:
            on_us = sum(self.lasted_us[state] for state in ("cpu", "light_sleep", "deep_sleep"))
            return self.drain_ma * on_us / HOUR_US
        return used_mah(self.lasted_us, self.figures)

    def left(self, at_us: int) -> float:
        """The share of the battery that is left, 0 to 1; 1 on mains."""
        return 1.0 if self.capacity_mah is None else max(0.0, 1 - self.mah(at_us) / self.capacity_mah)

    def mv(self, at_us: int) -> int:
        """What a measurement of the battery says, in mV; 0 on mains."""
        return 0 if self.capacity_mah is None else curve_mv(self.left(at_us))

    def most_ma(self) -> float:
        """No board draws more than this; so long the battery lasts at least."""
        if self.drain_ma is not None:
            return self.drain_ma
        return sum(self.figures.values())
