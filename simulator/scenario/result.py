"""What a run came to, and who works it out: every checker, and the judge of what the scenario expects."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from simulator.scenario.checkers import Broken, Checker
from simulator.scenario.expect import Judge
from simulator.scenario.watched import Watched

KEPT = ("opened", "alarm_joined", "accepted", "acknowledged", "dispatched", "on_scene", "closed", "reset")
CRASHED = "no-fault"
MOST_CRASHES = 3


@dataclass
class Result:
    """What a run came to.

    stages: {button: {stage: seconds from the press}}. digest: of the whole trace, in virtual time. checked: {promise:
    how often there was something to check}. expected: [{"what": the expectation as its file has it, "held"}].
    """

    scenario: str
    seed: int
    passed: bool
    broken: list[dict[str, Any]]
    stages: dict[str, dict[str, float]]
    virtual_s: float
    took_s: float
    digest: str = ""
    checked: dict[str, int] = field(default_factory=dict)
    expected: list[dict[str, Any]] = field(default_factory=list)
    realtime: bool = False
    trace: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Without the trace."""
        return {key: value for key, value in asdict(self).items() if key != "trace"}


class Observer:
    """see() each entry, uplink() and downlink() each frame; result() when the story is over."""

    def __init__(self, stage: Watched, checkers: tuple[type[Checker], ...]) -> None:
        self._stage = stage
        self._watching = [make(stage) for make in checkers]
        self._events: list[dict[str, Any]] = []
        self._crashed: list[Broken] = []

    def see(self, entry: dict[str, Any]) -> None:
        if entry["what"] in KEPT:
            self._events.append(entry)
        is_traceback = entry["what"] == "console" and entry["text"].startswith("Traceback")
        if (entry["what"] == "gave-up" or is_traceback) and len(self._crashed) < MOST_CRASHES:
            why = f"{entry['who']}: {entry.get('text') or 'resets in a row'}"
            self._crashed.append(Broken(CRASHED, entry["at_us"], why))
        for checker in self._watching:
            checker.see(entry)

    def uplink(self, button: str, frame: bytes) -> None:
        for checker in self._watching:
            checker.uplink(button, frame)

    def downlink(self, button: str, frame: bytes) -> None:
        for checker in self._watching:
            checker.downlink(button, frame)

    def result(self, name: str, seed: int, took_s: float, **more: Any) -> Result:
        """more: further fields of it."""
        for checker in self._watching:
            checker.end()
        scenario = self._stage.scenario
        judge = Judge(self._stage, self._events)
        broken = [each for checker in self._watching for each in checker.broken]
        broken = [each for each in [*broken, *self._crashed] if each.promise not in scenario.gives_up]
        judged = [(expect, judge.find(expect)) for expect in scenario.expect]
        broken += [each for _, found in judged for each in found]
        return Result(
            scenario=name,
            seed=seed,
            passed=not broken,
            broken=[{"promise": each.promise, "at_s": each.at_us / 1e6, "why": each.why} for each in broken],
            stages=judge.stages,
            virtual_s=scenario.length_s,
            took_s=round(took_s, 2),
            checked={checker.name: checker.seen for checker in self._watching},
            expected=[
                {"what": expect.model_dump(exclude_none=True, exclude_unset=True), "held": not found}
                for expect, found in judged
            ],
            **more,
        )
