"""`sigap scenario run NAME --follow`: what happens in a story, as JSON lines on stderr; its speed from stdin.

{"at_s", "speed", "done": share, "boards": [those that have changed], "services": {name: state}}, ten times a second at
most, and {"event": {"at_s", "key", "who", ...}} for what a person would want to know. simulator/scenario/scene.py says
what is in them. With --steered a line {"speed": S} on stdin sets the speed (0: stand still, null: as fast as it goes),
and the end of stdin ends the story.
"""

from __future__ import annotations

import json
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import click

from simulator.scenario.model import Scenario
from simulator.scenario.pace import Pace
from simulator.scenario.scene import Scene

TELL_EVERY_S = 0.1
LINE_LIMIT = 200
MOST_SPEED = 1e6


class Following:
    """progress and watch are what simulator.scenario.run.run takes."""

    def __init__(self, scenario: Scenario, speed: float | None, is_steered: bool) -> None:
        self._scene, self._length_s = Scene(scenario), scenario.length_s
        self._pace = Pace(speed, self._tell)
        self._told: dict[str, Any] = {}
        self._told_at = 0.0
        self._tell(0)
        if is_steered:
            threading.Thread(target=self._steer, name="steer", daemon=True).start()

    def progress(self, share: float) -> None:
        at_us = int(share * self._length_s * 1e6)
        self._pace.until(at_us)
        self._tell(at_us)

    def watch(self, entry: dict[str, Any]) -> None:
        self._pace.until(entry["at_us"])
        event = self._scene.see(entry)
        if event is not None:
            _say({"event": event})
        if time.monotonic() - self._told_at > TELL_EVERY_S:
            self._tell(entry["at_us"])

    def end(self) -> None:
        """Nothing is left to say."""

    def _tell(self, now_us: int) -> None:
        self._told_at = time.monotonic()
        boards = self._scene.boards(now_us)
        fresh = [board for board in boards if self._told.get(board["name"]) != board]
        self._told = {board["name"]: board for board in boards}
        at_s = round(now_us / 1e6, 3)
        said = {"at_s": at_s, "speed": self._pace.speed, "done": round(at_s / self._length_s, 4)}
        _say({**said, "boards": fresh, "services": self._scene.services})

    def _steer(self) -> None:
        for line in _lines(sys.stdin.fileno()):
            try:
                speed = speed_of(json.loads(line)["speed"])
            except (ValueError, KeyError, TypeError) as error:
                click.echo(f"not a speed: {line!r} ({error})", err=True)
                continue
            self._pace.set(speed)
        os.kill(os.getpid(), signal.SIGTERM)  # who watched is gone


def _lines(descriptor: int) -> Iterator[bytes]:
    """Without sys.stdin: a thread that waits in its lock keeps the interpreter from ending."""
    rest = b""
    while chunk := os.read(descriptor, LINE_LIMIT):
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        rest = rest[:LINE_LIMIT]


def speed_of(value: object) -> float | None:
    """A speed from outside: a number from 0, or None. ValueError."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("a speed is a number, or null")
    if not 0 <= value <= MOST_SPEED:
        raise ValueError(f"a speed is from 0 to {MOST_SPEED:g}")
    return float(value)


def _say(what: dict[str, Any]) -> None:
    click.echo(json.dumps(what, separators=(",", ":")), err=True)
