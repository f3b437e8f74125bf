"""The energy ledger of a board: what each of its parts does over time, times what that draws, is mAh; and a battery.

Fed by what the board tells its world anyway (simulator/PROTOCOL.md), so the firmware that is measured is the real one.
Figures are per board: mA at the battery, everything that is on the board and not only the chip.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, fields
from typing import Any

HOUR_US = 3_600_000_000
LED_PIN = 26
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


@dataclass(frozen=True)
class Figures:
    """What a board draws, in mA. cpu_*: the whole board, radio off. On top of that: wifi_*, gps_*, led, buzzer."""

    cpu_awake_ma: float
    cpu_light_ma: float
    cpu_deep_ma: float
    wifi_idle_ma: float  # associated, modem sleep between beacons
    wifi_joining_ma: float  # scanning, handshake, DHCP: the receiver is on
    wifi_tx_ma: float  # while it transmits
    gps_on_ma: float
    gps_rest_ma: float
    led_ma: float
    buzzer_ma: float

    @classmethod
    def of(cls, table: dict[str, Any]) -> Figures:
        """From a table with these names; others are passed over. Raises KeyError for one that is missing."""
        return cls(**{each.name: float(table[each.name]) for each in fields(cls)})


# ESP32 series data sheet, 5.4 and "power consumption by power modes": modem sleep at 160 MHz 27 to 44 mA, light sleep
# 0.8 mA, deep sleep with RTC memory 10 uA, receiving 95 to 100 mA, 802.11b at 19.5 dBm 240 mA. Associated, with modem
# sleep (the port's default), 45 mA in all were measured by others with ESP-IDF's power_save example. NEO-6M data sheet:
# 37 mA tracking, 22 uA in backup. LED and buzzer: hardware/boards/devkit.toml. The DevKitC's own regulator, USB bridge
# and power light draw 2.8 mA for ever (measured by others).
DEVKIT = Figures(
    cpu_awake_ma=32.8,
    cpu_light_ma=3.6,
    cpu_deep_ma=2.8,
    wifi_idle_ma=15.0,
    wifi_joining_ma=70.0,
    wifi_tx_ma=210.0,
    gps_on_ma=37.0,
    gps_rest_ma=0.02,
    led_ma=6.0,
    buzzer_ma=15.0,
)


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

    def __init__(
        self, figures: Figures = DEVKIT, capacity_mah: float | None = None, drain_ma: float | None = None
    ) -> None:
        self.figures, self.capacity_mah, self.drain_ma = figures, capacity_mah, drain_ma
        self.used_mah: defaultdict[str, float] = defaultdict(float)  # "cpu light" -> mAh
        self.lasted_us: Counter[str] = Counter()
        self.join_us: int | None = 1_500_000  # what joining takes; None: there is nothing to join
        self.has_gps = False
        self._states: dict[str, tuple[str, int]] = {"cpu": ("off", 0)}

    # What happens

    def power(self, at_us: int, on: bool) -> None:
        """The supply: everything starts, or is off."""
        for part in list(self._states):
            self.switch(at_us, part, "off")
        if on:
            self.switch(at_us, "cpu", "awake")
            if self.has_gps:
                self.switch(at_us, "gps", "on")

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
        elif message.get("pin") == LED_PIN:
            self.switch(at_us, "led", "on" if message["value"] else "off")
        elif "uart" in message and self.has_gps:
            self.switch(at_us, "gps", "rest" if message["data"].startswith(REST_COMMAND) else "on")
        elif "net" in message:
            size = len(message.get("data", "")) // 2 + HEADERS_BYTES
            self._book("wifi tx", TX_FRAME_US + size * TX_BYTE_US, self.figures.wifi_tx_ma)

    def switch(self, at_us: int, part: str, state: str) -> None:
        """A part goes to another state; a board that ran ahead of the cut of its supply has not used more."""
        before, since_us = self._states.get(part, ("off", 0))
        self._close(part, before, since_us, max(at_us, since_us))
        self._states[part] = (state, max(at_us, since_us))

    def _close(self, part: str, state: str, since_us: int, until_us: int) -> None:
        if state == "joining" and self.join_us is not None:
            joined_us = min(until_us, since_us + self.join_us)
            self._book("wifi joining", joined_us - since_us, self.figures.wifi_joining_ma)
            state, since_us = "idle", joined_us
        if state != "off":
            self._book(f"{part} {state}", until_us - since_us, self._current(part, state))

    def _current(self, part: str, state: str) -> float:
        name = f"{part}_ma" if part in ("led", "buzzer") else f"{part}_{state}_ma"
        return getattr(self.figures, name)

    def _book(self, what: str, for_us: int, ma: float) -> None:
        self.lasted_us[what] += for_us
        self.used_mah[what] += ma * for_us / HOUR_US

    # What came of it

    def settle(self, at_us: int) -> None:
        """Book everything up to now."""
        for part, (state, _) in list(self._states.items()):
            self.switch(at_us, part, state)

    def mah(self, at_us: int) -> float:
        """Used so far."""
        self.settle(at_us)
        if self.drain_ma is not None:
            on_us = sum(us for what, us in self.lasted_us.items() if what.startswith("cpu"))
            return self.drain_ma * on_us / HOUR_US
        return sum(self.used_mah.values())

    def left(self, at_us: int) -> float:
        """The share of the battery that is left, 0 to 1; 1 on mains."""
        return 1.0 if self.capacity_mah is None else max(0.0, 1 - self.mah(at_us) / self.capacity_mah)

    def mv(self, at_us: int) -> int:
        """What a measurement of the battery says, in mV; 0 on mains."""
        return 0 if self.capacity_mah is None else curve_mv(self.left(at_us))

    def most_ma(self) -> float:
        """No board draws more than this; so long the battery lasts at least."""
        each = self.figures
        if self.drain_ma is not None:
            return self.drain_ma
        parts = each.cpu_awake_ma + each.wifi_joining_ma + each.wifi_tx_ma + each.gps_on_ma
        return parts + each.led_ma + each.buzzer_ma
