"""Eyes on a realtime story: what the world and the store say becomes entries like those of virtual time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from sigap.problem import Problem
from sigap.store_view import View
from simulator.world.client import WorldClient, WorldLateError

LOOK_EVERY_S = 0.02
HEAR_S = 0.2
BUTTON_PIN = 27

Add = Callable[..., None]  # (at_us, who, what, **fields)


class Watch:
    """From start() until stop(); zero_ms: the story's start (Unix ms). is_planned(button): the reset that came was
    asked for by the story. A failure is raised by check()."""

    def __init__(
        self, world: WorldClient, store: View, zero_ms: float, add: Add, is_planned: Callable[[str], bool]
    ) -> None:
        self._world, self._store, self._zero_ms, self._add = world, store, zero_ms, add
        self._is_planned = is_planned
        self._ends = threading.Event()
        self._error: Exception | None = None
        self._event = 0
        jobs = ((self._hear, self._hear_the_rest), (self._look, self._look))
        self._threads = [threading.Thread(target=self._guarded, args=each, daemon=True) for each in jobs]

    def start(self) -> None:
        self._world.watch()
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """What has happened until now is told; nothing after it."""
        self._ends.set()
        for thread in self._threads:
            thread.join()

    def check(self) -> None:
        if self._error is not None:
            raise self._error

    def _guarded(self, job: Callable[[], None], at_end: Callable[[], None]) -> None:
        try:
            while not self._ends.is_set():
                job()
            at_end()
        except Exception as error:  # noqa: BLE001 (raised again in check)
            self._error = error

    def _look(self) -> None:
        """What is new in the store."""
        for event in self._store.events(self._event):
            self._event = event.pop("id")
            self._add(event.pop("at_us"), "gateway", event.pop("kind"), **event)
        self._ends.wait(LOOK_EVERY_S)

    def _hear(self) -> None:
        """The world's next event, if there is one for a moment."""
        with contextlib.suppress(WorldLateError):
            self._take(self._world.event(timeout_s=HEAR_S))

    def _hear_the_rest(self) -> None:
        self._world.boards()  # its answer comes behind every event until now
        with contextlib.suppress(WorldLateError):
            while True:
                self._take(self._world.event(timeout_s=0.0))

    def _take(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "too-slow":
            raise Problem("the world's events came faster than they were read", "Run fewer stories at once")
        who, at_us = event["board"], int((event["at"] - self._zero_ms) * 1000)
        if kind == "console":
            self._add(at_us, who, "console", text=event["text"])
        elif kind == "pin" and event["by"] == "world":
            if event["pin"] == BUTTON_PIN:
                self._add(at_us, who, "thumb", level=event["value"])
        elif kind in ("pin", "pwm"):
            kept = {key: event[key] for key in ("pin", "value", "pwm", "freq", "duty") if key in event}
            self._add(at_us, who, kind, **kept)
        elif kind == "boot":
            self._add(at_us, who, "boot")
        elif kind in ("reset", "died"):
            cause = event.get("cause", "died")
            self._add(at_us, who, "reset", cause=cause, why="planned" if self._is_planned(who) else cause)
        elif kind == "gave-up":
            self._add(at_us, who, "gave-up", why=event["reason"])
