"""Shrinks a world that breaks a promise to a short scenario."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from simulator.scenario.model import Scenario
from simulator.scenario.run import Result

Run = Callable[[Scenario], Result]


def shrink(scenario: Scenario, promise: str, run: Run, most_runs: int = 80) -> tuple[Scenario, int]:
    """The shortest scenario found that still breaks the promise, and how many runs that took.

    Steps are left out in halves, quarters and singly (delta debugging: Zeller and Hildebrandt, 2002), then buttons.
    """
    runs = 0

    def fails(candidate: Scenario) -> bool:
        nonlocal runs
        runs += 1
        return any(each["promise"] == promise for each in run(candidate).broken)

    size = max(1, len(scenario.steps) // 2)
    while size and runs < most_runs:
        place = 0
        while place < len(scenario.steps) and runs < most_runs:
            kept = scenario.steps[:place] + scenario.steps[place + size :]
            candidate = scenario.model_copy(update={"steps": kept})
            if kept and fails(candidate):
                scenario = candidate
            else:
                place += size
        size //= 2
    for part in list(scenario.buttons):
        kept_buttons = [each for each in scenario.buttons if each is not part]
        steps = [step for step in scenario.steps if getattr(step, "who", "all") in ("all", *_names(kept_buttons))]
        candidate = scenario.model_copy(update={"buttons": kept_buttons, "steps": steps})
        if kept_buttons and runs < most_runs and fails(candidate):
            scenario = candidate
    return scenario, runs


def _names(buttons: list[Any]) -> list[str]:
    return [button.name for button in buttons]
