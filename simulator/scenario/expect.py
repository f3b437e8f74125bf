"""Judges what a scenario expects, at its end."""

from __future__ import annotations

import math
from typing import Any

from simulator import observe
from simulator.scenario.checkers.base import Broken
from simulator.scenario.model import Expect
from simulator.scenario.watched import Watched
from simulator.world.gps import METRES_PER_DEGREE

PROMISE = "expected"
STAGES = ("accepted", "acknowledged", "dispatched", "on_scene", "closed")


def stages_of(stage: Watched, events: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """{button: {stage: seconds from the third press of its first real alarm}}; a stage that did not come is absent.

    The third press is the thumb's when a hand was there, else what the gateway worked out.
    """
    found: dict[str, dict[str, float]] = {}
    gestures = stage.gestures()
    for alarm in stage.store.alarms():
        button = alarm["device"]
        if alarm["test"] or button in found:
            continue
        thumbs = [each.at_us for each in gestures if each.button == button]
        pressed_us = min(thumbs, key=lambda at_us: abs(at_us - alarm["pressed_us"]), default=alarm["pressed_us"])
        times = {"received": alarm["received_us"]}
        for event in events:
            if event.get("incident") == alarm["incident"] and event["what"] in STAGES:
                times.setdefault(event["what"], event["at_us"])
        found[button] = {what: round((at_us - pressed_us) / 1e6, 3) for what, at_us in times.items()}
    return found


class Judge:
    """find(expect) returns what does not hold. stages: what stages_of says."""

    def __init__(self, stage: Watched, events: list[dict[str, Any]]) -> None:
        self._stage, self._events = stage, events
        self._alarms = stage.store.alarms()
        self.stages = stages_of(stage, events)

    def find(self, expect: Expect) -> list[Broken]:
        broken: list[str] = []
        names = self._stage.who(expect.who)
        if not names:
            broken.append(f"no button is named {expect.who}")
        for name in names:
            broken += self._one(name, expect)
        if expect.refused is not None:
            counts = self._stage.store.counts()
            refused = sum(number for what, number in counts.items() if what.startswith("quarantine."))
            if refused < expect.refused:
                broken.append(f"{refused} frames were refused, at least {expect.refused} expected")
        return [Broken(PROMISE, self._stage.now_us, why) for why in broken]

    def _one(self, name: str, expect: Expect) -> list[str]:
        mine = [each for each in self._alarms if each["device"] == name]
        real = [each for each in mine if not each["test"]]
        tests = [each for each in mine if each["test"]]
        seen: list[tuple[str, object, object]] = []
        if expect.alarms is not None:
            seen.append(("alarms", len(real), expect.alarms))
        if expect.tests is not None:
            seen.append(("test alarms", len(tests), expect.tests))
        if expect.incidents is not None:
            seen.append(("incidents", len({each["incident"] for each in real}), expect.incidents))
        if expect.state is not None:
            seen.append(("state", real[-1]["state"] if real else None, expect.state))
        if expect.dark is not None:
            seen.append(("dark", observe.quiet(self._stage.pins(name)), expect.dark))
        if expect.unreceipted is not None:
            names = self._stage.journal_at_end(name)
            seen.append(("unreceipted alarms", sum(each.startswith("u") for each in names), expect.unreceipted))
        if expect.online is not None:
            seen.append(("online", bool(self._stage.store.devices()[name]["online"]), expect.online))
        if expect.no_position is not None and real:
            seen.append(("without a position", real[-1]["position"] is None, expect.no_position))
        if expect.cancelled is not None:
            seen.append(("cancelled", _cancelled(real), expect.cancelled))
        if expect.way is not None:
            seen.append(("the way it came", real[-1]["bearer"] if real else None, expect.way))
        if expect.moved is not None:
            seen.append(("moved", bool(real and real[-1]["moved"]), expect.moved))
        seen += self._upkeep(name, expect)
        said = [f"{name}: {what} is {is_}, expected {wanted}" for what, is_, wanted in seen if is_ != wanted]
        said += self._more(name, expect, real)
        return said

    def _upkeep(self, name: str, expect: Expect) -> list[tuple[str, object, object]]:
        wanted = (expect.troubles, expect.had_troubles, expect.answers, expect.crashes)
        if all(each is None for each in wanted):
            return []
        known = self._stage.store.upkeep(name)
        seen: list[tuple[str, object, object]] = []
        if expect.troubles is not None:
            lasting = [each for each in known["troubles"] if each != "silent"]
            seen.append(("troubles that last", sorted(lasting), sorted(expect.troubles)))
        if expect.had_troubles is not None:
            rest = iter(known["had"])
            found = [each for each in expect.had_troubles if each in rest]
            seen.append(("troubles that it had", found, expect.had_troubles))
        if expect.answers is not None:
            seen.append(("answers", [each["state"] for each in known["commands"]], expect.answers))
        if expect.crashes is not None:
            seen.append(("texts of crashes", len(known["crashes"]), expect.crashes))
        return seen

    def _more(self, name: str, expect: Expect, real: list[dict[str, Any]]) -> list[str]:
        said = []
        if expect.stage is not None:
            took = self.stages.get(name, {}).get(expect.stage)
            if took is None:
                said.append(f"{name}: no alarm was {expect.stage}")
            elif expect.within_s is not None and took > expect.within_s:
                said.append(f"{name}: {expect.stage} after {took:g} s, expected within {expect.within_s:g} s")
        if expect.shown is not None:
            words = [word for word, _ in self._stage.said(name)]
            shown = iter(words)
            if not all(word in shown for word in expect.shown):
                listed = ", ".join(words)
                said.append(f"{name}: the light said {listed or 'nothing'}, expected {', '.join(expect.shown)}")
        if expect.near is not None:
            position = real[-1]["position"] if real else None
            away = math.inf if position is None else _metres(position, expect.near)
            if away > expect.within_m:
                said.append(f"{name}: its position is {away:.0f} m away, expected within {expect.within_m:g} m")
        if expect.relatives_told is not None:
            incidents = {each["incident"] for each in self._alarms if each["device"] == name}
            told = sum(task.to == "relative" and task.incident in incidents for _, task in self._stage.told())
            if told < expect.relatives_told:
                said.append(f"{name}: relatives were told {told} times, expected {expect.relatives_told}")
        if expect.resets is not None and self._unasked(name) > expect.resets:
            said.append(f"{name}: {self._unasked(name)} resets that nobody planned, expected {expect.resets} at most")
        if expect.heartbeats is not None:
            beats = self._stage.store.counts().get("ingest.heartbeats", 0)
            if beats < expect.heartbeats:
                said.append(f"{beats} heartbeats in all, expected at least {expect.heartbeats}")
        return said

    def _unasked(self, name: str) -> int:
        return sum(
            each["who"] == name and each["what"] == "reset" and each["why"] != "planned" for each in self._events
        )


def _cancelled(real: list[dict[str, Any]]) -> str:
    if not real or real[-1]["cancelled_us"] is None:
        return "no"
    return "duress" if real[-1]["duress"] else "mistake"


def _metres(a: tuple[float, float], b: tuple[float, float]) -> float:
    east = (a[1] - b[1]) * math.cos(math.radians(a[0]))
    return math.hypot(a[0] - b[0], east) * METRES_PER_DEGREE
