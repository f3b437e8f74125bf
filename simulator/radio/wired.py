"""A radio chip soldered to a virtual board: select, reset, BUSY and interrupt line, supply."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.radio.air import Air, Place
from simulator.radio.chip import Fault
from simulator.radio.plans import Plans
from simulator.radio.sx126x import Sx126x
from simulator.radio.sx127x import Sx127x


class Wired:
    """pins: `lora` of simulator/world/boards.json. kind: one of its chips. tell(pin, level): the chip moved a pin.

    It has no supply before supply(True).
    """

    def __init__(
        self, name: str, pins: dict[str, Any], kind: str, air: Air, place: Place, tell: Callable[[int, int], None]
    ) -> None:
        self._pins, self._tell = pins, tell
        self.chip: Sx126x | Sx127x
        if kind == "sx1262":
            self.chip = Sx126x(name, air, tcxo=pins["tcxo_mv"] is not None, dio2_switch=pins["dio2_switch"])
            irq = pins["dio1"]
        else:
            self.chip = Sx127x(name, air)
            irq = pins["dio0"]
        air.join(name, place, self.chip)
        self.chip.on_pin = lambda level: tell(irq, int(level))
        self._busy_pin: int | None = pins["busy"] if kind == "sx1262" else None
        self._falls = Plans(air.clock)
        self._selected = self._used = self._powered = False
        self._reset = True  # the line has a pull-up on the module
        self.chip.reset(False)

    @property
    def select(self) -> int:
        """The pin that selects it."""
        return self._pins["cs"]

    def levels(self) -> dict[int, int]:
        """{pin: level} that the chip drives now."""
        irq = self._pins["dio0" if self._busy_pin is None else "dio1"]
        busy = {} if self._busy_pin is None else {self._busy_pin: int(self._is_busy())}
        return {irq: int(self.chip.line), **busy}

    def supply(self, on: bool) -> None:
        """Its supply comes or goes."""
        if on != self._powered:
            self._powered = on
            self.chip.reset(on and self._reset)

    def choose(self, level: int) -> None:
        """The board drives `select`."""
        self._selected, self._used = not level, False

    def reset(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a board's {"line": [reset pin, level]}: the pins that follow at once."""
        self._reset = bool(message["line"][1])
        self.chip.reset(self._powered and self._reset)
        if self._busy_pin is None:
            return {"line": []}
        self._plan_fall()
        return {"line": [[self._busy_pin, int(self._is_busy())]]}

    def let_go(self) -> None:
        """The board's processor was reset: it drives nothing."""
        self._selected, self._reset = False, True
        self.chip.reset(self._powered)

    def transfer(self, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a board's {"spi": [sck, mosi, miso], "write": hex}."""
        sent = bytes.fromhex(message["write"])
        if message["spi"] != [self._pins[name] for name in ("sck", "mosi", "miso")] or not self._selected:
            return {"spi": {"data": "ff" * len(sent)}}  # nobody drives the line
        if self._used:
            return {"spi": {"fault": "a second transfer in one selection of the radio"}}
        self._used = True
        try:
            answer: dict[str, Any] = {"data": self.chip.transfer(sent).hex()}
        except Fault as fault:
            return {"spi": {"fault": str(fault)}}
        if self._busy_pin is not None:
            answer["busy"] = [self._busy_pin, int(self._is_busy())]
            self._plan_fall()
        return {"spi": answer}

    def _is_busy(self) -> bool:
        return isinstance(self.chip, Sx126x) and self.chip.busy

    def _plan_fall(self) -> None:
        assert self._busy_pin is not None
        assert isinstance(self.chip, Sx126x)
        self._falls.step()
        if (left_us := self.chip.busy_us) is not None:
            self._falls.plan(left_us, lambda: self._tell(self._busy_pin or 0, int(self._is_busy())))
