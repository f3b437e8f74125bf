"""Draws worlds from seeds: buttons, hands and faults, several at once, and time to mend at the end.

What is drawn is what hurts: hands press while something is wrong, two things are wrong together, and some worlds are
a night long. A world must end well: whatever was broken is whole HEAL_S before the end, so everything must have
arrived by then.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

from simulator.scenario.model import Scenario

HEAL_S = 150.0
SHORT_S, NIGHT_S = (120.0, 420.0), (1800.0, 6 * 3600.0)
NIGHTS = 0.08  # so many of the worlds are as long as a night
SITE = (-6.9932, 110.4203)
PRESSED_MEANWHILE = 0.6  # so often a hand presses while a fault lasts
TWO_AT_ONCE = 0.4
LASTS_S = (0.3, 2.0, 15.0, 60.0)

Draw = random.Random
Steps = list[dict[str, Any]]
Fault = Callable[[Draw, str, float, float], Steps]  # (chance, button, from, to)


def draw(seed: int) -> Scenario:
    """The world of a seed."""
    chance = random.Random(f"explore/{seed}")
    is_night = chance.random() < NIGHTS
    busy_s = chance.uniform(*(NIGHT_S if is_night else SHORT_S))
    buttons = [_button(chance, number) for number in range(chance.randint(1, 2 if is_night else 4))]
    names = [button["name"] for button in buttons]
    steps: Steps = []
    for _ in range(chance.randint(2, 8)):
        steps += _trouble(chance, names, busy_s, 60.0 if is_night else 1.0)
    for _ in range(chance.randint(1, 3)):
        steps.append(_press(chance, chance.choice([*names, "all"]), chance.uniform(6, busy_s)))
    if chance.random() < 0.4:
        steps.append(_operator(chance, chance.choice(names), chance.uniform(20, busy_s)))
    well_s = busy_s + 1
    healed = [{"at_s": well_s, "do": "power", "who": "all", "up": True}]
    healed += [{"at_s": well_s, "do": "wifi", "who": "all", "up": True}]
    healed += [{"at_s": well_s, "do": "network", "who": "all", **WELL}]
    healed += [{"at_s": well_s, "do": "names", "who": "all"}]
    healed += [{"at_s": well_s, "do": what, "up": True} for what in ("police", "relatives")]
    steps += _services(chance, names, busy_s)
    value = {
        "title": f"A world drawn from seed {seed}",
        "story": "Made by `sigap scenario explore`; see docs/simulator.md.",
        "length_s": round(busy_s + HEAL_S, 3),
        "buttons": buttons,
        "steps": sorted(_rounded(steps), key=lambda step: step["at_s"]) + _rounded(healed),
    }
    return Scenario.model_validate(value)


def _rounded(steps: Steps) -> Steps:
    return [{**step, "at_s": round(step["at_s"], 3)} for step in steps]


def _button(chance: Draw, number: int) -> dict[str, Any]:
    button: dict[str, Any] = {"name": f"b{number + 1}", "site": SITE}
    if chance.random() < 0.25:
        button |= {"site": None, "track": [(0.0, *SITE)], "sky": chance.choice(["open", "street", "none"])}
    if chance.random() < 0.2:
        button["silent"] = True
    if chance.random() < 0.15:
        button["ticks_ms"] = (1 << 30) - chance.randrange(5_000, 200_000)
    if chance.random() < 0.3:
        button["by_name"] = True
    if chance.random() < 0.3:
        button["heartbeat_s"] = chance.choice([10, 20, 300])
    if chance.random() < 0.2:
        button["join_ms"] = chance.choice([0, 200, 8_000])
    if chance.random() < 0.1:
        button["powered"] = False
    return button


# Hands


def _press(chance: Draw, who: str, at_s: float) -> dict[str, Any]:
    return {
        "at_s": at_s,
        "do": "press",
        "who": who,
        "hands": chance.choice(["clean", "steady", "frightened"]),
        "presses": chance.choice([3, 3, 3, 4, 6, 9]),
    }


def _operator(chance: Draw, who: str, at_s: float) -> dict[str, Any]:
    stage = chance.choice(["acknowledged", "dispatched", "on_scene", "closed"])
    return {"at_s": at_s, "do": "operator", "who": who, "stage": stage}


# Faults of one button, each from a moment to another


def _power(_chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    step = {"do": "power", "who": who}
    return [{**step, "at_s": begin_s, "up": False}, {**step, "at_s": end_s, "up": True}]


def _flicker(chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    """The supply comes and goes, most often before the firmware is there."""
    step, found, at_s = {"do": "power", "who": who}, [], begin_s
    for _ in range(chance.randint(2, 5)):
        found += [{**step, "at_s": at_s, "up": False}, {**step, "at_s": at_s + chance.uniform(0.05, 0.6), "up": True}]
        at_s += chance.uniform(0.8, 3.0)
    return [*found, {**step, "at_s": max(end_s, at_s), "up": True}]


def _reset(chance: Draw, who: str, begin_s: float, _end_s: float) -> Steps:
    return [{"do": "reset", "who": who, "at_s": begin_s + chance.uniform(0, 1.2)}]


def _wifi(_chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    step = {"do": "wifi", "who": who}
    return [{**step, "at_s": begin_s, "up": False}, {**step, "at_s": end_s, "up": True}]


BAD_LINES: tuple[dict[str, Any], ...] = (
    {"loss": 0.4},
    {"up": False},
    {"down": False},
    {"delay_ms": 1500.0},
    {"delay_ms": 400.0, "jitter_ms": 300.0, "loss": 0.2},
)
WELL = {"up": True, "down": True, "loss": 0, "delay_ms": 5, "jitter_ms": 0}


def _network(chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    step = {"do": "network", "who": who}
    return [{**step, **chance.choice(BAD_LINES), "at_s": begin_s}, {**step, **WELL, "at_s": end_s}]


def _names(chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    """Look-ups that fail or hang; and the line breaks, so that there is one."""
    step = {"do": "names", "who": who}
    bad = {**step, "at_s": begin_s, "stall_s": chance.choice([0.1, 1.0, 8.0]), "fails": chance.random() < 0.5}
    return [bad, {**step, "at_s": end_s}, *_wifi(chance, who, begin_s, min(end_s, begin_s + 1.0))]


def _hold(chance: Draw, who: str, begin_s: float, _end_s: float) -> Steps:
    return [{"do": "hold", "who": who, "at_s": begin_s, "for_s": chance.choice([1.5, 5.5, 10.5, 35.0])}]


def _sky(chance: Draw, who: str, begin_s: float, end_s: float) -> Steps:
    step = {"do": "sky", "who": who}
    bad = {**step, "at_s": begin_s, "view": chance.choice(["none", "jammed", "indoors", "street"])}
    return [bad, {**step, "at_s": end_s, "view": "open"}]


OF_BUTTONS: tuple[Fault, ...] = (
    *(_power, _power, _flicker, _reset, _reset, _wifi, _network, _network, _network, _names, _names, _hold, _sky),
)


def _trouble(chance: Draw, names: list[str], busy_s: float, scale: float) -> Steps:
    """A fault of a button, or two at once; as a rule a hand presses meanwhile."""
    who, begin_s = chance.choice(names), chance.uniform(8.0, busy_s)
    end_s = min(busy_s, begin_s + chance.choice(LASTS_S) * scale)
    found = chance.choice(OF_BUTTONS)(chance, who, begin_s, end_s)
    if chance.random() < TWO_AT_ONCE:
        other_s = min(busy_s, max(0.0, begin_s + chance.uniform(-2.0, 4.0)))
        found += chance.choice(OF_BUTTONS)(chance, who, other_s, min(busy_s, other_s + chance.choice(LASTS_S)))
    if chance.random() < PRESSED_MEANWHILE:
        moment_s = chance.choice([begin_s - chance.uniform(0.3, 1.2), chance.uniform(begin_s, end_s)])
        found.append(_press(chance, who, max(0.0, moment_s)))
    return [{**step, "at_s": min(step["at_s"], busy_s)} for step in found]


# Faults that every button feels

OF_ALL = (
    ({"do": "gateway", "what": "kill"}, {"do": "gateway", "what": "start"}),
    ({"do": "gateway", "what": "stop"}, {"do": "gateway", "what": "continue"}),
    ({"do": "gateway", "what": "disk-full"}, {"do": "gateway", "what": "disk-free"}),
    ({"do": "broker", "what": "kill"}, {"do": "broker", "what": "start"}),
    ({"do": "broker", "what": "stop"}, {"do": "broker", "what": "continue"}),
    ({"do": "police", "up": False}, {"do": "police", "up": True}),
    ({"do": "relatives", "up": False}, {"do": "relatives", "up": True}),
)


def _services(chance: Draw, names: list[str], busy_s: float) -> Steps:
    """Faults of broker, gateway and whom it tells; two parts may be down together, one part only once at a time."""
    steps: Steps = []
    free_s: dict[str, float] = {}
    at_s = 10.0
    while chance.random() < 0.6 and at_s < busy_s - 20:
        at_s += chance.uniform(0.0, busy_s / 2)
        begin, end = chance.choice(OF_ALL)
        begin_s = max(at_s, free_s.get(begin["do"], 0.0))
        end_s = min(begin_s + chance.choice([0.5, 3.0, 20.0, 70.0]), busy_s)
        if begin_s >= busy_s:
            break
        free_s[begin["do"]] = end_s + 3
        steps += [{**begin, "at_s": begin_s}, {**end, "at_s": end_s}]
        if chance.random() < PRESSED_MEANWHILE:
            steps.append(_press(chance, chance.choice(names), max(0.0, chance.uniform(begin_s - 1, end_s))))
    return steps
