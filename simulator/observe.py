"""Reads the light language from a board's pin log: from the light alone, knowing nothing of the firmware.

The language (ms): sending on 80 off 170; received on 1000 off 1000; acknowledged on 200 off 200 on 200 off
1000; dispatched steady on; not received, still trying on 600 off 200; cancelled on 100 off 100 on 100 off 700. In test
mode: on 60 off 940; a test sending on 500 off 500; a test received on 300 off 150, on 300 off 150, on 300 off 900. All
repeat. The buzzer says received and cancelled with one tone, acknowledged with two, dispatched with three, a test
received with four.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

LED_PIN, BUZZER_PIN = 26, 25
STEADY_MS = 2200  # longer than any light of two patterns that touch: "received" said twice is 1000 + 80 + 1000
IDLE_MS = 1700  # dark for so long: nothing is being said any more
TONE_GAP_MS = 500  # tones closer than this belong together

# word -> (light and dark periods, the first light one may have begun within another word)
PATTERNS: dict[str, tuple[tuple[int, ...], bool]] = {
    "acknowledged": ((200, 200, 200, 1000), True),
    "received": ((1000, 1000), True),
    "cancelled": ((100, 100, 100, 700), True),
    "sending": ((80, 170), False),
    "not received": ((600, 200), False),
}
# The light of a button in test mode speaks these only.
TEST_PATTERNS: dict[str, tuple[tuple[int, ...], bool]] = {
    "test received": ((300, 150, 300, 150, 300, 900), True),
    "test sending": ((500, 500), True),
    "test mode": ((60, 940), False),
}
EVERY_PATTERN = {**PATTERNS, **TEST_PATTERNS}  # in this order: what fits a real word is one
WORDS = ("sending", "received", "acknowledged", "dispatched", "not received", "cancelled")


class Said(NamedTuple):
    """One word of the light, and when it began (Unix ms)."""

    word: str
    at: float


def translated(pins: Iterable[dict[str, Any]], led: int, active_high: bool, buzzer: int | None) -> list[dict[str, Any]]:
    """The pin log of a board that is wired otherwise, as if its LED and buzzer were at LED_PIN and BUZZER_PIN."""
    found = []
    for entry in pins:
        if entry.get("pin") == led and entry["by"] != "world":
            lit = bool(entry["value"]) == active_high and entry["by"] != "power"
            found.append({**entry, "pin": LED_PIN, "value": int(lit)})
        elif "pwm" in entry and entry["pwm"] == buzzer:
            found.append({**entry, "pwm": BUZZER_PIN})
        elif entry.get("pin") not in (LED_PIN, BUZZER_PIN):
            found.append(entry)
    return found


class Phase(NamedTuple):
    """The light was on, or off, from `at` for `ms`."""

    on: bool
    at: float
    ms: float


def phases(pins: Iterable[dict[str, Any]], pin: int = LED_PIN, until: float | None = None) -> list[Phase]:
    """What the pin did as a list of phases, oldest first.

    The last one lasts to `until` (else to the log's last entry).
    """
    changes: list[tuple[float, bool]] = []
    last = until or 0.0
    for entry in pins:
        last = max(last, entry["at"]) if until is None else last
        if entry.get("pin") == pin and entry["by"] != "world":
            level = bool(entry["value"])
            if changes and changes[-1][0] >= entry["at"]:
                changes.pop()  # it lasted no time at all: nobody saw it
            if not changes or changes[-1][1] != level:
                changes.append((entry["at"], level))
    ends = ([at for at, _ in changes[1:]] + [last])[: len(changes)]
    return [Phase(on, at, end - at) for (at, on), end in zip(changes, ends, strict=True) if end > at]


def _near(ms: float, nominal: int) -> bool:
    """Within 25 ms and a fifth of the nominal length: what a busy host adds."""
    slack = 25 + nominal / 5
    return nominal - slack <= ms <= nominal + slack


def _fits(light: list[Phase], index: int, pattern: tuple[int, ...], may_merge: bool) -> bool:
    """The pattern is at `index`, whole. The last dark period of a slow one may be longer."""
    if index + len(pattern) > len(light):
        return False
    first, *rest = pattern
    ms = light[index].ms
    if not (_near(ms, first) or (may_merge and first < ms <= first + 1000 + 25 + first / 5)):
        return False
    for place, nominal in enumerate(rest, index + 1):
        ms = light[place].ms
        longer = may_merge and place == index + len(rest) and ms >= nominal
        if not (longer or _near(ms, nominal)):
            return False
    return True


def _is_dark_of(pattern: tuple[int, ...], phase: Phase) -> bool:
    """The word was not cut short in this dark phase: what lit up after it may have been the word itself."""
    return any(_near(phase.ms, nominal) for nominal in pattern[1::2])


def words(
    pins: Iterable[dict[str, Any]],
    pin: int = LED_PIN,
    until: float | None = None,
    patterns: dict[str, tuple[tuple[int, ...], bool]] = PATTERNS,
) -> list[Said]:
    """[(word, at)]: each change of what the light says.

    `at` is the first edge of the word's first whole pattern.

    When a word begins while the light is on for another one, there is no edge. Then `at` is the pattern's
    length before its falling edge; for the steady light it is the moment when the other word's light would
    have gone out. So `at` is never before the word was said.
    """
    light = phases(pins, pin, until)
    said: list[Said] = []
    index, word = 0, None
    while index < len(light):
        phase = light[index]
        if not phase.on:
            if phase.ms >= IDLE_MS:
                word = None
            index += 1
            continue
        found, used, at = None, 1, phase.at
        if phase.ms >= STEADY_MS:
            found = "dispatched"
            if word in patterns and index and _is_dark_of(patterns[word][0], light[index - 1]):
                at = phase.at + patterns[word][0][0]
        else:
            for name, (pattern, may_merge) in patterns.items():
                if _fits(light, index, pattern, may_merge):
                    found, used = name, len(pattern)
                    at = max(phase.at, phase.at + phase.ms - pattern[0]) if may_merge else phase.at
                    break
        if found and found != word:
            said.append(Said(found, at))
        word = found or word
        index += used
    return said


def said_by(pins: list[dict[str, Any]], now: float) -> float | None:
    """`until` for who reads the light at `now`: a dark phase counts when it has ended, for it may become longer."""
    light = phases(pins, until=now)
    return now if light and light[-1].on else None


def says_now(pins: Iterable[dict[str, Any]], now: float) -> str | None:
    """What the light says at `now` (Unix ms), also in test mode; None while it is dark for longer than any word is."""
    entries = list(pins)
    idle = [phase.at for phase in phases(entries, until=now) if not phase.on and phase.ms >= IDLE_MS]
    said = words(entries, until=said_by(entries, now), patterns=EVERY_PATTERN)
    return said[-1].word if said and said[-1].at >= max(idle, default=0.0) else None


def first(
    pins: list[dict[str, Any]],
    since: float = 0.0,
    until: float | None = None,
    patterns: dict[str, tuple[tuple[int, ...], bool]] = PATTERNS,
) -> dict[str, float]:
    """{word: when it was first said}, of what began at `since` (Unix ms) or later.

    A receipt may come within the first flash of "sending", which then never gets its dark part. So a light that goes
    on before the buzzer's first tone counts as "sending" too: it is the one word that sounds no tone.
    """
    times: dict[str, float] = {}
    for word, at in words(pins, until=until, patterns=patterns):
        if at >= since:
            times.setdefault(word, at)
    lit = [phase.at for phase in phases(pins) if phase.on and phase.at >= since]
    sounded = [at for at, _ in tones(pins) if at >= since]
    if lit and sounded and lit[0] < sounded[0]:
        times.setdefault("sending", lit[0])
    return times


def tones(pins: Iterable[dict[str, Any]], pin: int = BUZZER_PIN) -> list[tuple[float, float | None]]:
    """[(at, ms)] of every tone; ms is None for one that still sounds."""
    found: list[tuple[float, float | None]] = []
    for entry in pins:
        if entry.get("pwm") != pin:
            continue
        sounding = bool(found) and found[-1][1] is None
        if entry["duty"] and not sounding:
            found.append((entry["at"], None))
        elif not entry["duty"] and sounding:
            found[-1] = (found[-1][0], entry["at"] - found[-1][0])
    return found


def buzzes(pins: Iterable[dict[str, Any]], pin: int = BUZZER_PIN) -> list[tuple[int, float]]:
    """[(how many tones in a row, when the first began)]."""
    groups: list[tuple[int, float]] = []
    end = 0.0
    for at, ms in tones(pins, pin):
        if groups and at - end <= TONE_GAP_MS:
            groups[-1] = (groups[-1][0] + 1, groups[-1][1])
        else:
            groups.append((1, at))
        end = at + (ms or 0.0)
    return groups


def quiet(pins: Iterable[dict[str, Any]], led: int = LED_PIN, buzzer: int = BUZZER_PIN) -> bool:
    """True when neither the light nor the buzzer was ever driven on: what a silent device promises."""
    return not any(
        entry["by"] == "board"
        and ((entry.get("pin") in (led, buzzer) and entry["value"]) or (entry.get("pwm") == buzzer and entry["duty"]))
        for entry in pins
    )
