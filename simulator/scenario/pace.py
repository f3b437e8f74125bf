"""Lets a story pass as fast as somebody wants to watch it. What happens in it stays the same, to the byte."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

LOOK_S = 0.1
BEHIND_S = 1.0  # the computer may be so much behind; then it goes on from where it is

PAUSED = 0.0


class Pace:
    """until(at_us) returns when that moment may be shown. speed: seconds of the story in one; None: as it goes.

    tick(now_us) is called in between, each LOOK_S, also while it stands still.
    """

    def __init__(self, speed: float | None, tick: Callable[[int], None]) -> None:
        self._speed, self._tick = speed, tick
        self._changed = threading.Condition()
        self._shown_us, self._began_s = 0, time.monotonic()

    @property
    def speed(self) -> float | None:
        return self._speed

    def set(self, speed: float | None) -> None:
        """From any thread; counts from now on."""
        with self._changed:
            self._begin(self._now_us())
            self._speed = speed
            self._changed.notify_all()

    def until(self, at_us: int) -> None:
        while True:
            with self._changed:
                now_us = self._now_us()
                if self._speed is None or (self._speed > PAUSED and now_us >= at_us):
                    if self._speed is None or now_us - at_us > BEHIND_S * self._speed * 1e6:
                        self._begin(at_us)
                    return
                wait_s = LOOK_S if self._speed == PAUSED else min(LOOK_S, (at_us - now_us) / 1e6 / self._speed)
                self._changed.wait(wait_s)
                now_us = min(self._now_us(), at_us)
            self._tick(now_us)

    def _begin(self, shown_us: int) -> None:
        self._shown_us, self._began_s = shown_us, time.monotonic()

    def _now_us(self) -> int:
        """How far it may be shown by now."""
        return self._shown_us + int((time.monotonic() - self._began_s) * (self._speed or 0.0) * 1e6)
