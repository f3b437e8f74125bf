"""One board as the panel shows it, kept new from the world's events."""

from __future__ import annotations

from collections import deque
from typing import Any

from simulator.observe import BUZZER_PIN, EVERY_PATTERN, LED_PIN, first, said_by, says_now
from simulator.panel.thumb import Thumb

PINS_KEPT = 200  # some 20 s of the light's fastest pattern
CONSOLE_KEPT = 200
LINE_LIMIT = 500  # characters of a console line
RUNNING = "running"


class Board:
    """take() for every entry of the pin log, in order; show() is what the page draws."""

    def __init__(self, summary: dict[str, Any]) -> None:
        self.summary = summary
        self.console: deque[str] = deque(maxlen=CONSOLE_KEPT)
        self.led, self.tone_hz, self.is_down = False, 0, False
        self._pins: deque[dict[str, Any]] = deque(maxlen=PINS_KEPT)
        self._thumb = Thumb()
        self._seq = 0

    @property
    def name(self) -> str:
        return self.summary["name"]

    @property
    def is_running(self) -> bool:
        return self.summary["state"] == RUNNING

    def print(self, text: str) -> str:
        """A line of its console; returns what is kept of it."""
        self.console.append(text[:LINE_LIMIT])
        return self.console[-1]

    def take(self, entry: dict[str, Any]) -> list[float]:
        """One entry of the pin log; returns the third presses that it completes (Unix ms). Old entries do nothing."""
        if entry["seq"] <= self._seq:
            return []
        self._seq = entry["seq"]
        if entry["by"] == "world":
            if entry.get("pin") != self.summary["button_pin"]:
                return []
            self.is_down = entry["value"] == 0
            return self._thumb.edge(entry["at"], self.is_down)
        self._pins.append(entry)
        if entry.get("pin") == LED_PIN:
            self.led = bool(entry["value"])
        elif entry.get("pwm") == BUZZER_PIN:
            self.tone_hz = entry["freq"] if entry["duty"] else 0
        return []

    def restarted(self) -> None:
        """Its supply went, or it was reset: what the light said before says nothing of now."""
        self._pins.clear()

    def settle(self, now: float) -> list[float]:
        """Time has come to `now` (Unix ms); returns as take()."""
        return self._thumb.settle(now)

    def lit_since(self, at: float, now: float) -> dict[str, float]:
        """{word: when the light first said it}, since `at` and as far back as pins are kept."""
        pins = list(self._pins)
        found = first(pins, at, said_by(pins, now), EVERY_PATTERN)
        before = says_now([entry for entry in pins if entry["at"] < at], at)
        if before and before.startswith("test"):
            found.pop("sending", None)  # guessed from a light before a tone; in test mode that is another word
        return found

    def show(self, now: float, known: dict[str, Any]) -> dict[str, Any]:
        """The board as JSON; its stage is read from its light alone. known: what the gateway has of it, or {}."""
        state = self.summary["state"]
        return {
            "name": self.name,
            "state": state,
            "resets": self.summary["resets"],
            "word": says_now(self._pins, now) if state == RUNNING else None,
            "led": self.led,
            "tone_hz": self.tone_hz,
            "is_down": self.is_down,
            "wifi": self.summary["wifi"] == "up",
            "gps": self.summary["gps"] is not None,
            "sky": self.summary["gps"] == "sky",
            "position": self.summary["position"],
            "owner": known.get("owner"),
            "silent": bool(known.get("silent")),
            "site": known.get("site"),
            "battery_mv": known.get("battery_mv"),
        }
