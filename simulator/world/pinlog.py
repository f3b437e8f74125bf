"""What happened at a board's pins: a bounded log, newest last."""

from __future__ import annotations

from collections import deque
from itertools import count
from typing import Any

LIMIT = 20_000


class PinLog:
    """Entries {"seq", "pin", "value", "at", "t_ms", "by"}; or "pwm", "freq", "duty" for pin and value.

    at: Unix ms (float) of the edge by the board's own clock reading, not of its arrival. t_ms: the board's
    ticks_ms, None when the board did not make the edge. by: "board", "world" (a thumb) or "power" (it went).
    """

    def __init__(self, limit: int = LIMIT) -> None:
        self._entries: deque[dict[str, Any]] = deque(maxlen=limit)
        self._numbers = count(1)
        self._pins: dict[int, int] = {}
        self._pwms: dict[int, int] = {}
        self.dropped = 0

    def add(self, entry: dict[str, Any]) -> dict[str, Any]:
        if len(self._entries) == self._entries.maxlen:
            self.dropped += 1
        if "pwm" in entry:
            self._pwms[entry["pwm"]] = entry["duty"]
        elif entry["by"] != "world":
            self._pins[entry["pin"]] = entry["value"]
        entry = {"seq": next(self._numbers), **entry}
        self._entries.append(entry)
        return entry

    def since(self, seq: int = 0) -> list[dict[str, Any]]:
        return [entry for entry in self._entries if entry["seq"] > seq]

    def darkening(self, at: float) -> list[dict[str, Any]]:
        """The entries for a supply that goes at `at` (Unix ms): every pin that was driven is dark. Not added yet."""
        gone = {"t_ms": None, "by": "power", "at": at}
        pins, pwms = self.driven()
        return [{"pin": pin, "value": 0, **gone} for pin in pins] + [
            {"pwm": pwm, "freq": 0, "duty": 0, **gone} for pwm in pwms
        ]

    def driven(self) -> tuple[dict[int, int], dict[int, int]]:
        """({pin: level}, {pwm pin: duty}) that are not zero: what goes dark when the supply does."""
        return {n: v for n, v in self._pins.items() if v}, {n: v for n, v in self._pwms.items() if v}
