"""A board in deep sleep: no process, no RAM; the RTC keeps its memory, its clock, a timer and one pin."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PIN_WAKE, TIMER_WAKE = 2, 4  # machine.PIN_WAKE, TIMER_WAKE


@dataclass
class Nap:
    """until_us: when its timer ends it (None: never); pin, level: what else does (None: nothing)."""

    until_us: int | None
    pin: int | None = None
    level: int = 0

    @classmethod
    def of(cls, message: dict[str, Any], now_us: int) -> Nap:
        """From what the board said when it went to sleep."""
        pin, level = message["wake"] or (None, 0)
        return cls(None if message["sleep_ms"] is None else now_us + message["sleep_ms"] * 1000, pin, level)

    def ends_by(self, pin: int, level: int) -> bool:
        """Whether this level of this pin ends it."""
        return pin == self.pin and level == self.level
