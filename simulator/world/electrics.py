"""What is soldered around a virtual board's chip: battery, divider, radio, PMU and the supplies that it switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.radio.air import Air, Place
from simulator.radio.wired import Wired
from simulator.world.axp192 import Axp192, Fault, Nak
from simulator.world.wiring import BOARDS

ENODEV = 19
FRESH_MV = 3900  # a cell that has been used a little


class Electrics:
    """kind: a name of boards.json. battery_mv: None is a fresh battery where the board has one. usb: a plug is in."""

    def __init__(self, kind: str, battery_mv: int | None = None, usb: bool = False) -> None:
        self.wired = BOARDS[kind]
        battery = self.wired["battery"]
        self.battery_mv = (FRESH_MV if battery else 0) if battery_mv is None else battery_mv
        pmu = self.wired["pmu"]
        self.pmu = Axp192(pmu["rails"], self.battery_mv, usb) if pmu else None
        self._irq_said = False
        self.radio: Wired | None = None

    def fit_radio(self, name: str, kind: str, air: Air, place: Place, tell: Callable[[int, int], None]) -> None:
        """Put its LoRa chip on the air, where the board has one. kind: sx1262 or sx1276; "": what it is sold with."""
        if self.wired["lora"]:
            self.radio = Wired(name, self.wired["lora"], kind or self.wired["lora"]["chips"][0], air, place, tell)

    def power_on(self) -> None:
        """The supply of the whole board came; a reset of the chip alone leaves the PMU as it is."""
        if self.pmu:
            self.pmu.power_on()
        self.start()

    def start(self) -> None:
        """The processor starts: it drives no pin."""
        if self.radio:
            self.radio.let_go()
            self.radio.supply(self.feeds("lora"))

    def power_off(self) -> None:
        """The supply of the whole board went."""
        if self.radio:
            self.radio.supply(False)

    def setup(self) -> dict[str, Any]:
        """What the board's process must know at its start; nothing for a board without any of this."""
        found: dict[str, Any] = {}
        if self.pmu:
            pmu = self.wired["pmu"]
            found["i2c"] = [[pmu["sda"], pmu["scl"]]]
        if self.radio:
            found["spi"] = self.wired["lora"]["rst"]
        if (at_pin := self._at_pin()) is not None:
            found["adc"] = {str(at_pin["adc"]): at_pin["uv"]}
        return found

    def levels(self) -> dict[int, int]:
        """{pin: level} that this drives when the board starts."""
        self._irq_said = bool(self.pmu and self.pmu.irq)
        irq = {self.wired["pmu"]["irq"]: int(not self._irq_said)} if self.pmu else {}
        return irq | (self.radio.levels() if self.radio else {})

    def feeds(self, part: str) -> bool:
        """chip, gps, lora: it has its supply."""
        return self.pmu is None or self.pmu.feeds(part)

    def surround(self, battery_mv: int | None = None, usb: bool | None = None) -> dict[str, Any] | None:
        """Change what is around it; returns a message for the board, if it must be told."""
        self.battery_mv = self.battery_mv if battery_mv is None else battery_mv
        if self.pmu:
            self.pmu.surround(battery_mv, usb)
        return self._at_pin() if battery_mv is not None else None

    def irq_moved(self) -> tuple[int, int] | None:
        """(pin, level) when the PMU's interrupt line has changed since it was last asked."""
        if self.pmu is None or self.pmu.irq == self._irq_said:
            return None
        self._irq_said = self.pmu.irq
        return self.wired["pmu"]["irq"], int(not self._irq_said)

    def transfer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a board's {"i2c": [sda, scl], "address", "write": hex, "read": count}."""
        pmu = self.wired["pmu"]
        try:
            if self.pmu is None or message["i2c"] != [pmu["sda"], pmu["scl"]]:
                raise Nak
            data = self.pmu.transfer(message["address"], bytes.fromhex(message["write"]), message["read"])
        except Nak:
            return {"i2c": {"errno": ENODEV}}
        except Fault as fault:
            return {"i2c": {"fault": str(fault)}}
        if self.radio:
            self.radio.supply(self.feeds("lora"))
        return {"i2c": {"data": data.hex()}}

    def _at_pin(self) -> dict[str, Any] | None:
        """The battery behind its divider, as a message."""
        battery = self.wired["battery"]
        if not battery or not battery["divider"]:
            return None
        top, bottom = battery["divider"]["top_ohm"], battery["divider"]["bottom_ohm"]
        return {"adc": battery["divider"]["pin"], "uv": self.battery_mv * 1000 * bottom // (top + bottom)}
