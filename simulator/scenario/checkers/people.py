"""Promises to people: the light tells the truth, and a test sends nobody out."""

from __future__ import annotations

from typing import Any

from simulator.scenario.checkers.base import Checker
from simulator.scenario.model import part_names

# word of the light -> the gateway's events of which one must have come before
CAUSES = {
    "received": ("opened", "alarm_joined"),
    "acknowledged": ("acknowledged",),
    "dispatched": ("dispatched", "on_scene"),
    "test received": ("opened", "alarm_joined"),
}
READING_US = 250_000  # by so much a light that was cut short may be read as longer (simulator/observe.py)


class ShownIsTrue(Checker):
    """The light is read from its pin, knowing nothing of the firmware; the truth is the store's events."""

    name = "shown-is-true"
    promise = "The light never says more than has happened"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._events: dict[str, list[tuple[str, int]]] = {}

    def see(self, entry: dict[str, Any]) -> None:
        if entry["who"] == "gateway" and "device" in entry:
            self._events.setdefault(entry["device"], []).append((entry["what"], entry["at_us"]))

    def end(self) -> None:
        for button in self.stage.buttons:
            happened = self._events.get(button, [])
            for word, at_ms in self.stage.said(button):
                if word not in CAUSES:
                    continue
                self.seen += 1
                causes = [at_us for what, at_us in happened if what in CAUSES[word]]
                if not any(at_us <= at_ms * 1000 + READING_US for at_us in causes):
                    self.fail(f"{button} showed {word!r} before it was true", int(at_ms * 1000))


class NoTestIsDispatched(Checker):
    name = "tests-send-nobody"
    promise = "No test alarm is dispatched, and only relatives who asked are told of one"

    def __init__(self, stage: Any) -> None:
        super().__init__(stage)
        self._acted: list[tuple[str, int, int]] = []
        self._wanting = {name for part in stage.scenario.buttons if part.wants_tests for name in part_names(part)}

    def see(self, entry: dict[str, Any]) -> None:
        if entry["who"] == "gateway" and entry["what"] in ("dispatched", "on_scene"):
            self._acted.append((entry["what"], entry["incident"], entry["at_us"]))

    def end(self) -> None:
        alarms = self.stage.store.alarms()
        tests = {each["incident"]: each["device"] for each in alarms if each["test"]}
        self.seen += len(tests)
        for what, incident, at_us in self._acted:
            if incident in tests:
                self.fail(f"the test of {tests[incident]} was {what}", at_us)
        for at_us, task in self.stage.told():
            button = tests.get(task.incident)
            if task.to == "relative" and button and button not in self._wanting:
                self.fail(f"a relative was told of the test of {button}", at_us)
