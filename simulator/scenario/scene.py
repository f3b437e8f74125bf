"""A story as a person watches it: where its buttons are, what they show, what happens. Made from the trace alone."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, field
from typing import Any

from simulator import observe
from simulator.scenario.checkers.device import ALARM, MERGED
from simulator.scenario.hands import gestures
from simulator.scenario.model import ButtonPart, Scenario, part_names
from simulator.world.gps import METRES_PER_DEGREE, Receiver

STAGES = ("accepted", "acknowledged", "dispatched", "on_scene", "closed")
SERVICES = ("broker", "gateway", "police", "relatives")
SERVICE_STATES = {
    **dict.fromkeys(("started", "starts", "continued", "up", "disk-free"), "running"),
    "stopped": "stopped",
    "killed": "gone",
    "down": "gone",
    "disk-full": "full",
}
PINS_KEPT = 200  # of a board: more than its light does in any word
PRESSES_KEPT = 400  # levels of a thumb, chatter and all
READ_US = 5_000_000  # so long after its last change a light still says something new: a steady one
QUIET_US = 3_000_000  # a hand that rests so long and presses again is said again
APART_M = 60.0  # buttons of one place are drawn so far from one another, on a spiral
LINE: dict[str, Any] = {"up": True, "down": True, "loss": 0, "delay_us": 0}  # of a link that is well
SLOW_US = 100_000  # a delay that a person would call bad
GOLDEN = math.pi * (3 - math.sqrt(5))

# Every key that an event may have; simulator/panel/words.py has the words.
KEYS = (
    *("press", "alarm", "test", "merged", "crashed", "told", "revoked", "nothing-there", "replayed"),
    *(f"stage.{stage}" for stage in ("received", "joined", *STAGES)),
    *(f"{service}.{state}" for service in SERVICES for state in ("running", "gone")),
    *("broker.stopped", "gateway.stopped", "gateway.full"),
    *("power.up", "power.down", "reset", "reset.itself", "battery", "worn", "gave-up"),
    *("wifi.up", "wifi.down", "wifi.other", "line.bad", "line.well", "names.bad", "names.well"),
    *(f"sky.{view}" for view in ("open", "street", "indoors", "none", "jammed", "spoofed")),
)

Event = dict[str, Any]  # {"at_s", "key", "who", and what the key's words need}


@dataclass
class _Shown:
    """One button."""

    receiver: Receiver | None
    site: tuple[float, float] | None
    apart: tuple[float, float]  # degrees, for the eye
    facts: dict[str, Any]
    pins: deque[dict[str, Any]] = field(default_factory=lambda: deque(maxlen=PINS_KEPT))
    thumb: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=PRESSES_KEPT))
    changed_us: int = 0
    incidents: dict[int, float] = field(default_factory=dict)  # of its first alarm: when it was pressed (s)
    fresh: bool = False  # its light has changed since it was read


class Scene:
    """see() each entry of the trace in order; it returns what is worth saying of it. boards(), services: as of then."""

    def __init__(self, scenario: Scenario) -> None:
        self.services: dict[str, str] = dict.fromkeys(SERVICES, "running")
        self._boards = {
            name: _Shown(_receiver(part), part.site, _apart(part, number), _facts(part, name))
            for part in scenario.buttons
            for number, name in enumerate(part_names(part))
        }

    def boards(self, now_us: int) -> list[dict[str, Any]]:
        """What is to be shown of each: {"name", "state", "led", "word", "wifi", "position", "stages"} and more."""
        return [self._board(one, now_us) for one in self._boards.values()]

    def _board(self, one: _Shown, now_us: int) -> dict[str, Any]:
        if one.facts["state"] != "running":
            one.facts["word"] = None
        elif one.fresh:
            one.facts["word"] = observe.says_now(one.pins, now_us / 1000)
            one.fresh = now_us - one.changed_us < READ_US
        where = one.receiver.position(now_us / 1e6) if one.receiver else one.site
        position = where and [round(each + off, 6) for each, off in zip(where, one.apart, strict=True)]
        return {**one.facts, "position": position, "stages": dict(one.facts["stages"])}

    def see(self, entry: dict[str, Any]) -> Event | None:
        """What is worth saying of it, or None."""
        found = self._seen(entry)
        if found is None:
            return None
        key, more = found
        return {"at_s": round(entry["at_us"] / 1e6, 3), "key": key, "who": entry["who"], **more}

    def _seen(self, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        who, what = entry["who"], entry["what"]
        if what in ("revoked", "nothing-there"):
            return what, {"who": entry["button"]}
        if who in SERVICES:
            return self._service(who, what, entry)
        one = self._boards.get(who)
        return None if one is None else self._of_board(one, what, entry)

    def _service(self, who: str, what: str, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        if who == "gateway" and "device" in entry:
            return self._stage(what, entry)
        if what == "told":
            return ("told", {}) if entry["to"] == "relative" else None
        if what in SERVICE_STATES:
            self.services[who] = SERVICE_STATES[what]
            return f"{who}.{self.services[who]}", {}
        return None

    def _stage(self, what: str, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        one, at_us, button = self._boards.get(entry["device"]), entry["at_us"], entry["device"]
        if what in ("opened", "alarm_joined"):
            if one is not None and not one.incidents:
                pressed = [at_ms / 1000 for _, at_ms in gestures(list(one.thumb)) if at_ms * 1000 <= at_us]
                one.incidents[entry["incident"]] = pressed[-1] if pressed else at_us / 1e6
                one.facts["stages"]["received"] = round(at_us / 1e6 - one.incidents[entry["incident"]], 3)
            return f"stage.{'received' if what == 'opened' else 'joined'}", {"who": button}
        if what not in STAGES:
            return None
        if one is not None and (pressed_s := one.incidents.get(entry["incident"])) is not None:
            one.facts["stages"].setdefault(what, round(at_us / 1e6 - pressed_s, 3))
        return f"stage.{what}", {"who": button}

    def _of_board(self, one: _Shown, what: str, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        if what in ("pin", "pwm"):
            self._light(one, entry)
            return None
        if what == "thumb":
            return self._thumb(one, entry)
        if what == "console":
            return _line(entry["text"])
        if what == "boot":
            one.facts["state"] = "running"
            return None
        if what == "power":
            one.facts.update(state="starting" if entry["on"] else "off", led=False, tone_hz=0, word=None)
            one.pins.clear()
            return (f"power.{'up' if entry['on'] else 'down'}", {}) if entry.get("cause", "power") == "power" else None
        if what == "reset":
            return ("reset" if entry["why"] == "planned" else "reset.itself"), {}
        if what == "gave-up":
            one.facts["state"] = "failed"
        return self._around(one, what, entry)

    def _around(self, one: _Shown, what: str, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        """Its surroundings have changed."""
        if what == "wifi":
            one.facts["wifi"] = entry.get("up", one.facts["wifi"])
            return (f"wifi.{'up' if entry['up'] else 'down'}" if "up" in entry else "wifi.other"), {}
        if what == "network":
            quality = one.facts["line"] = {**one.facts["line"], **{key: entry[key] for key in LINE if key in entry}}
            one.facts["line_is_bad"] = any(quality[key] != well for key, well in LINE.items() if key != "delay_us")
            one.facts["line_is_bad"] |= quality["delay_us"] >= SLOW_US
            return f"line.{'bad' if one.facts['line_is_bad'] else 'well'}", {}
        if what == "sky":
            one.facts["sky"] = entry["view"]
            return ("sky.spoofed" if any(entry["spoof_m"]) else f"sky.{entry['view']}"), {}
        if what == "names":
            return f"names.{'bad' if entry['bad'] else 'well'}", {}
        return (what, {}) if what in ("battery", "worn", "gave-up", "replayed") else None

    def _light(self, one: _Shown, entry: dict[str, Any]) -> None:
        at_us = entry["at_us"]
        one.pins.append({**entry, "by": "board", "at": at_us / 1000})
        one.changed_us, one.fresh = at_us, True
        if entry.get("pin") == observe.LED_PIN:
            one.facts["led"] = bool(entry["value"])
        elif entry.get("pwm") == observe.BUZZER_PIN:
            one.facts["tone_hz"] = entry["freq"] if entry["duty"] else 0

    def _thumb(self, one: _Shown, entry: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
        at_ms, level = entry["at_us"] / 1000, entry["level"]
        rested = not one.thumb or at_ms - one.thumb[-1][0] > QUIET_US / 1000
        one.thumb.append((at_ms, level))
        one.facts["is_down"] = level == 0
        return ("press", {}) if level == 0 and rested else None


def _line(text: str) -> tuple[str, dict[str, Any]] | None:
    if found := ALARM.match(text):
        return ("test" if found[1] else "alarm"), {"number": int(found[2])}
    if found := MERGED.match(text):
        return "merged", {"number": int(found[1])}
    return ("crashed", {}) if text.startswith("Traceback") else None


def _receiver(part: ButtonPart) -> Receiver | None:
    return Receiver(track=part.track) if part.track else None


def _facts(part: ButtonPart, name: str) -> dict[str, Any]:
    return {
        "name": name,
        "state": "off",
        "led": False,
        "tone_hz": 0,
        "is_down": False,
        "word": None,
        "wifi": True,
        "line": dict(LINE),
        "line_is_bad": False,
        "sky": part.sky if part.track else None,
        "silent": part.silent,
        "stages": {},
    }


def _apart(part: ButtonPart, number: int) -> tuple[float, float]:
    """Buttons of one place would cover each other: where this one is drawn, in degrees from there."""
    far_m = APART_M * math.sqrt(number) if part.count > 1 else 0.0
    return (
        far_m * math.cos(number * GOLDEN) / METRES_PER_DEGREE,
        far_m * math.sin(number * GOLDEN) / METRES_PER_DEGREE,
    )
