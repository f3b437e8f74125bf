"""What realtime can do of a story, and what it cannot: said by name and line."""

from __future__ import annotations

from sigap.problem import USAGE, Problem
from simulator.scenario import load, model

MOST_S = 900.0
MOST_BUTTONS = 100

Loc = tuple[int | str, ...]
Found = tuple[Loc, str] | None


def why_not(scenario: model.Scenario) -> Found:
    """(where in the file, why) of the first thing that realtime cannot do; None when it can do all."""
    if scenario.length_s > MOST_S:
        return ("length_s",), f"it lasts {scenario.length_s:g} s, and realtime stories last {MOST_S:g} at most"
    if (count := len(scenario.names())) > MOST_BUTTONS:
        return ("buttons",), f"it has {count} buttons, and one machine runs {MOST_BUTTONS} in realtime"
    if scenario.bases:
        return ("bases",), "LoRa stories are told in virtual time"
    for number, part in enumerate(scenario.buttons):
        if found := _button(part):
            return ("buttons", number, found[0]), found[1]
    for number, step in enumerate(scenario.steps):
        if why := _step(step):
            return ("steps", number), why
    return None


def said(name: str) -> str | None:
    """The same as a line with its place in the file of a scenario, or None."""
    found = why_not(load.load(name))
    return None if found is None else f"{load.where(name, found[0])}: {found[1]}"


def require(name: str) -> None:
    """Problem for a story that is not for realtime."""
    if why := said(name):
        todo = "Run it without --realtime; `sigap scenario list` shows which can"
        raise Problem(f"not for realtime: {why}", todo, USAGE)


def _button(part: model.ButtonPart) -> tuple[str, str] | None:
    if part.battery is not None:
        return "battery", "no battery drains in realtime"
    if part.by_name:
        return "by_name", "names are looked up by this machine, not by the story"
    if part.wear_limit != model.ButtonPart.model_fields["wear_limit"].default:
        return "wear_limit", "blocks do not wear out in realtime"
    return None


def _step(step: model.Step) -> str | None:
    if isinstance(step, model.BaseStep | model.AirStep):
        return f"do: {step.do}: LoRa stories are told in virtual time"
    if isinstance(step, model.Crash):
        return "do: crash: a board in realtime has the memory that it has"
    if isinstance(step, model.Names):
        return "do: names: names are looked up by this machine, not by the story"
    if isinstance(step, model.Replay):
        return "do: replay: nobody but a button itself may send its frames to Mosquitto"
    if isinstance(step, model.GatewayStep) and step.what.startswith("disk"):
        return f"do: gateway, what: {step.what}: the disk is this machine's"
    if isinstance(step, model.Network) and step.up != step.down:
        return "do: network: one way alone cannot be closed; the proxy closes both"
    if isinstance(step, model.See) and any(step.spoof_m):
        return "do: sky, spoof_m: receivers cannot be deceived in realtime"
    return None
