"""Notices that a destination is down, so that a hundred deliveries do not each wait for its time limit."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

OPEN_AFTER = 5  # failures in a row
PROBE_EVERY_S = 3.0


class Breaker:
    """Closed: everything that is due is tried. Open (the destination is down): one delivery at a time is
    tried as a probe, every few seconds for as long as it takes; a success closes it. A pause that the
    destination asked for (Retry-After) holds everything back. Its clock is monotonic, in seconds.
    """

    def __init__(
        self, monotonic: Callable[[], float] = time.monotonic, chance: Callable[[], float] = random.random
    ) -> None:
        self._monotonic, self._chance = monotonic, chance
        self._failures = 0
        self._probe_at = 0.0
        self._paused_until = 0.0

    @property
    def is_open(self) -> bool:
        return self._failures >= OPEN_AFTER

    @property
    def state(self) -> str:
        """ "ok", "paused" (it asked for a pause) or "down" (only probes)."""
        if self.is_open:
            return "down"
        return "paused" if self._monotonic() < self._paused_until else "ok"

    def wait_s(self) -> float:
        """Seconds until something may be tried; 0 when now."""
        until = max(self._paused_until, self._probe_at if self.is_open else 0.0)
        return max(0.0, until - self._monotonic())

    def began(self) -> None:
        """An attempt begins: while it runs as a probe, no second one does for a while."""
        if self.is_open:
            self._probe_at = self._monotonic() + PROBE_EVERY_S

    def failed(self) -> bool:
        """The destination could not be reached or is in trouble. True when this failure opens the breaker."""
        was_open = self.is_open
        self._failures += 1
        if self.is_open:
            self._probe_at = self._monotonic() + PROBE_EVERY_S * (1 - 0.2 * self._chance())
        return self.is_open and not was_open

    def answered(self) -> bool:
        """The destination is there. True when this closes an open breaker."""
        was_open = self.is_open
        self._failures = 0
        return was_open

    def reset(self) -> None:
        """Somebody knows that it is back, whatever it said or did before."""
        self._failures, self._paused_until = 0, 0.0

    def pause(self, seconds: float) -> None:
        """It asked to be left alone for so long."""
        self._paused_until = self._monotonic() + seconds
