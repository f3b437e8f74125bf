"""What hands did and what lights said, from the entries of a story, in either kind of time."""

from __future__ import annotations

from typing import Any

from simulator import observe
from simulator.scenario.hands import RESTART, gestures
from simulator.scenario.watched import Gesture
from simulator.world.presses import Script


class Seen:
    """note() each entry."""

    def __init__(self) -> None:
        self._levels: dict[str, Script] = {}
        self._modes: dict[str, list[tuple[float, Any]]] = {}

    def gestures(self) -> list[Gesture]:
        """Every third press that a contact has seen so far, whoever's hands they were."""
        return [
            Gesture(button, int(began * 1000), int(at * 1000))
            for button, levels in self._levels.items()
            for began, at in gestures(levels)
        ]

    def said(self, button: str, pins: list[dict[str, Any]], now_us: int) -> list[observe.Said]:
        """What the button's light has said, in order: in test mode it speaks another language. pins: its log, in ms."""
        modes = [(0.0, observe.PATTERNS), *self._modes.get(button, [])]
        ends = [at_ms for at_ms, _ in modes[1:]] + [now_us / 1000]
        found: list[observe.Said] = []
        for (begin, patterns), end in zip(modes, ends, strict=True):
            part = [entry for entry in pins if begin <= entry["at"] < end]
            found += observe.words(part, until=end, patterns=patterns)
        return found

    def note(self, entry: dict[str, Any]) -> None:
        if entry["what"] == "thumb":
            self._levels.setdefault(entry["who"], []).append((entry["at_us"] / 1000, entry["level"]))
            return
        if entry["what"] == "boot":
            self._levels.setdefault(entry["who"], []).append((entry["at_us"] / 1000, RESTART))
        if entry["what"] == "power" or (entry["what"] == "console" and entry["text"] == "sigap: test mode ends"):
            patterns = observe.PATTERNS
        elif entry["what"] == "console" and entry["text"] == "sigap: test mode":
            patterns = observe.TEST_PATTERNS
        else:
            return
        self._modes.setdefault(entry["who"], []).append((entry["at_us"] / 1000, patterns))
