"""Promises of the button: its gestures, its journal, its numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from panic_wire.frames import is_downlink
from simulator.scenario.checkers.base import Checker, read_header, read_status
from simulator.scenario.watched import Gesture

ALARM = re.compile(r"sigap: (test )?alarm (\d+)$")
MERGED = re.compile(r"sigap: alarm (\d+) takes one more")
FAILED = re.compile(r"sigap: journal: cannot")
BURST_US = 1_000_000  # presses with less between them are one burst
NOTICE_US = 2_000_000  # from the third press to the alarm's line on the console


class EveryGestureIsAnAlarm(Checker):
    """The console's line comes when the alarm is on flash; the thumb's edges are the world's own."""

    name = "every-gesture"
    promise = "Three presses on a button that has power become an alarm"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._said: dict[str, list[int]] = {}
        self._booted: dict[str, list[tuple[int, bool]]] = {}
        self._busy: dict[str, list[tuple[int, int]]] = {}

    def see(self, entry: dict[str, Any]) -> None:
        who, at_us = entry["who"], entry["at_us"]
        if entry["what"] == "console" and (ALARM.match(entry["text"]) or MERGED.match(entry["text"])):
            self._said.setdefault(who, []).append(at_us)
        elif entry["what"] == "stalled":
            self._busy.setdefault(who, []).append((at_us, at_us + entry["value"]))
        elif entry["what"] in ("boot", "power"):
            alive = entry["what"] == "boot"
            self._booted.setdefault(who, []).append((at_us, alive))

    def _lived(self, button: str, begin_us: int, end_us: int) -> bool:
        """The firmware ran, without a reset, from before the first press until the alarm was due."""
        changes = self._booted.get(button, [])
        alive = False
        for at_us, after in changes:
            if at_us > begin_us:
                break
            alive = after and begin_us - at_us > 300_000
        return alive and not any(begin_us < at_us <= end_us for at_us, _ in changes)

    def _busy_until(self, button: str, begin_us: int, end_us: int) -> int:
        """While a name is looked up or TLS shakes hands an ESP32 runs nothing; its counter sees the presses, and they
        become an alarm when it ends. Several in one stall are one. 0: nothing kept it."""
        stalls = self._busy.get(button, [])
        return max((end for begin, end in stalls if begin <= end_us and begin_us <= end), default=0)

    def end(self) -> None:
        last: Gesture | None = None
        began_us = 0
        for gesture in self.stage.gestures():
            # Of a thumb that goes on pressing, a board that missed one press counts other threes than we do.
            goes_on = last and last.button == gesture.button and gesture.began_us - last.at_us <= BURST_US
            began_us = began_us if goes_on else gesture.began_us
            last = gesture
            busy_us = self._busy_until(gesture.button, began_us, gesture.at_us)
            due_us = max(gesture.at_us, busy_us) + NOTICE_US
            if due_us > self.stage.now_us or not self._lived(gesture.button, began_us, due_us):
                continue
            self.seen += 1
            said = self._said.get(gesture.button, [])
            found = next((at_us for at_us in said if gesture.at_us <= at_us <= due_us), None)
            if found is None:
                self.fail(f"{gesture.button} was pressed three times and made no alarm", gesture.at_us)
            elif not busy_us:
                said.remove(found)


class UnreceiptedStaysInJournal(Checker):
    name = "journal-keeps"
    promise = "Nothing leaves the journal before its receipt"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._open: dict[str, set[int]] = {}
        self._dying: set[str] = set()

    def see(self, entry: dict[str, Any]) -> None:
        who = entry["who"]
        if entry["what"] == "console":
            found = ALARM.match(entry["text"])
            if found and not found[1]:
                self._open.setdefault(who, set()).add(int(found[2]))
            elif FAILED.match(entry["text"]):
                self._dying.add(who)  # its flash takes nothing: it sends from RAM, and says so
        elif entry["what"] == "worn":
            self._dying.add(who)
        elif entry["what"] == "power" and not entry["on"]:
            self._look(who, self.stage.journal)

    def downlink(self, button: str, frame: bytes) -> None:
        status = read_status(self.stage, button, frame)
        if status and status[1]:
            self._open.get(button, set()).discard(status[1])

    def _look(self, button: str, journal: Callable[[str], list[str]]) -> None:
        if button in self._dying or not self._open.get(button):
            return
        names = journal(button)
        for activation in sorted(self._open[button]):
            self.seen += 1
            if f"u{activation:08x}" not in names:
                self.fail(f"{button}: alarm {activation} has no receipt and is not in the journal ({', '.join(names)})")

    def end(self) -> None:
        for button in self.stage.buttons:
            self._look(button, self.stage.journal_at_end)


class IdentitiesNeverReused(Checker):
    name = "identity-once"
    promise = "An alarm's identity is never used again"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._used: set[tuple[str, int]] = set()

    def see(self, entry: dict[str, Any]) -> None:
        found = ALARM.match(entry["text"]) if entry["what"] == "console" else None
        if found:
            self.seen += 1
            identity = (entry["who"], int(found[2]))
            if identity in self._used:
                self.fail(f"{entry['who']} used activation {identity[1]} twice")
            self._used.add(identity)


class CountersNeverBack(Checker):
    """Frames may overtake one another on their way; what was made after a start is above all that came before it."""

    name = "counter-forward"
    promise = "A frame's counter never repeats with other bytes, and never goes back over a restart"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._seen: dict[tuple[str, int], dict[int, bytes]] = {}
        self._floor: dict[tuple[str, int], int] = {}

    def see(self, entry: dict[str, Any]) -> None:
        if entry["what"] == "boot":
            for key, frames in self._seen.items():
                if key[0] == entry["who"]:
                    self._floor[key] = max(frames)

    def uplink(self, button: str, frame: bytes) -> None:
        header = read_header(frame)
        if header is None or is_downlink(header.type):
            return
        self.seen += 1
        key = (button, header.epoch)
        frames = self._seen.setdefault(key, {})
        known = frames.setdefault(header.counter, frame)
        if known is not frame and known != frame:
            self.fail(f"{button} used counter {header.counter} of epoch {header.epoch:08x} for two frames")
        elif known is frame and header.counter <= self._floor.get(key, -1):
            self.fail(f"{button} sent counter {header.counter} after a start, and {self._floor[key]} before it")
