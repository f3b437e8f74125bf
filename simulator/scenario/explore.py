"""Random worlds with random faults, from seeds; a failing one is shrunk to a short scenario."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulator.scenario.model import Scenario
from simulator.scenario.run import Result

LEAST_S, MOST_S = 120.0, 420.0
HEAL_S = 150.0  # at the end all is well for so long, so that everything must have arrived
SITE = (-6.9932, 110.4203)
KINDS = [*["press"] * 5, *["power"] * 3, *["reset"] * 2, *["network"] * 2, "wifi", "names", "hold", "sky", "operator"]
Run = Callable[[Scenario], Result]


def draw(seed: int) -> Scenario:
    """The world of a seed: one to four buttons, three to sixteen things that happen, and time to mend."""
    chance = random.Random(f"explore/{seed}")
    busy_s = chance.uniform(LEAST_S, MOST_S)
    buttons = [_button(chance, number) for number in range(chance.randint(1, 4))]
    names = [button["name"] for button in buttons]
    steps: list[dict[str, Any]] = []
    for _ in range(chance.randint(3, 16)):
        steps += _step(chance, chance.choice(names), chance.uniform(8.0, busy_s))
    steps.append({"at_s": chance.uniform(10, busy_s), "do": "press", "who": chance.choice(names), "hands": "steady"})
    healed = [{"at_s": busy_s + 1, "do": "power", "who": "all", "up": True}]
    healed += [{"at_s": busy_s + 1, "do": "wifi", "who": "all", "up": True}]
    healed += [{"at_s": busy_s + 1, "do": "network", "who": "all", "up": True, "down": True, "loss": 0, "delay_ms": 5}]
    healed += [{"at_s": busy_s + 1, "do": "names", "who": "all"}]
    steps += _services(chance, busy_s)
    value = {
        "title": f"A world drawn from seed {seed}",
        "story": "Made by `sigap scenario explore`; see docs/simulator.md.",
        "length_s": round(busy_s + HEAL_S, 3),
        "buttons": buttons,
        "steps": sorted(_rounded(steps), key=lambda step: step["at_s"]) + _rounded(healed),
    }
    return Scenario.model_validate(value)


def _rounded(steps: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{**step, "at_s": round(step["at_s"], 3)} for step in steps]


def _button(chance: random.Random, number: int) -> dict[str, Any]:
    button: dict[str, Any] = {"name": f"b{number + 1}", "site": SITE}
    if chance.random() < 0.25:
        button |= {"site": None, "track": [(0.0, *SITE)], "sky": chance.choice(["open", "street", "none"])}
    if chance.random() < 0.2:
        button["silent"] = True
    if chance.random() < 0.15:
        button["ticks_ms"] = (1 << 30) - chance.randrange(5_000, 200_000)
    if chance.random() < 0.2:
        button["by_name"] = True
    if chance.random() < 0.3:
        button["heartbeat_s"] = chance.choice([10, 20, 300])
    if chance.random() < 0.3:
        button |= {"power": "light", "heartbeat_s": chance.choice([20, 60, 300])}
    return button


def _step(chance: random.Random, who: str, at_s: float) -> list[dict[str, Any]]:
    kind = chance.choice(KINDS)
    step: dict[str, Any] = {"at_s": at_s, "do": kind, "who": who}
    later_s = at_s + chance.choice([0.3, 2.0, 15.0, 60.0])
    if kind == "press":
        step |= {"hands": chance.choice(["clean", "steady", "frightened"]), "presses": chance.choice([3, 3, 3, 4, 6])}
        extra = []
        if chance.random() < 0.5:  # something goes wrong just then
            what = chance.choice(["power", "reset"])
            moment = at_s + chance.uniform(0.3, 1.2)
            extra = [{"at_s": moment, "do": what, "who": who, **({"up": False} if what == "power" else {})}]
            if what == "power":
                extra.append({"at_s": moment + chance.uniform(0.1, 20), "do": "power", "who": who, "up": True})
        return [step, *extra]
    if kind == "power":
        return [{**step, "up": False}, {**step, "at_s": later_s, "up": True}]
    if kind == "wifi":
        return [{**step, "up": False}, {**step, "at_s": later_s, "up": True}]
    if kind == "network":
        bad = chance.choice([{"loss": 0.4}, {"up": False}, {"down": False}, {"delay_ms": 1500.0}])
        return [{**step, **bad, "for_s": chance.choice([1.0, 8.0, 45.0, 120.0])}]
    if kind == "names":
        return [{**step, "stall_s": chance.choice([0.1, 1.0, 8.0]), "fails": chance.random() < 0.5}]
    if kind == "hold":
        return [{**step, "for_s": chance.choice([5.5, 10.5, 35.0])}]
    if kind == "sky":
        return [{**step, "view": chance.choice(["open", "none", "jammed", "indoors"])}]
    if kind == "operator":
        return [{**step, "stage": chance.choice(["acknowledged", "dispatched", "closed"])}]
    return [step]


def _services(chance: random.Random, busy_s: float) -> list[dict[str, Any]]:
    """Faults of broker and gateway, each ended before the healing."""
    steps: list[dict[str, Any]] = []
    at_s = 10.0
    while chance.random() < 0.6 and at_s < busy_s - 20:
        at_s += chance.uniform(0.0, busy_s / 2)
        back_s = min(at_s + chance.choice([0.5, 3.0, 20.0, 70.0]), busy_s)
        begin, end, part = chance.choice(
            [
                ("kill", "start", "gateway"),
                ("stop", "continue", "gateway"),
                ("disk-full", "disk-free", "gateway"),
                ("kill", "start", "broker"),
                ("stop", "continue", "broker"),
            ]
        )
        if at_s >= busy_s:
            break
        steps += [{"at_s": at_s, "do": part, "what": begin}, {"at_s": back_s, "do": part, "what": end}]
        at_s = back_s + 3
    return steps


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
