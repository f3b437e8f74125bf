"""The clock of a realtime world, for what is modelled on the kernel's clock in virtual time: the air and its radios."""

from __future__ import annotations

import asyncio
import heapq
import time
from collections.abc import Callable
from itertools import count


class WallClock:
    """now_us: microseconds of time.monotonic(); while an action runs, the moment that it was planned for.

    So the models see exact times in their order, however late this process comes to them. settle() before anything
    from outside reaches a model: what was due before has happened then.
    """

    def __init__(self) -> None:
        self._planned: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._moment: int | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def now_us(self) -> int:
        return time.monotonic_ns() // 1000 if self._moment is None else self._moment

    def after(self, delay_us: int, action: Callable[[], None]) -> None:
        """Let it happen, in the event loop."""
        heapq.heappush(self._planned, (self.now_us + max(delay_us, 0), next(self._order), action))
        if self._moment is None:
            self._wait()

    def settle(self) -> None:
        """Let everything happen that is due."""
        while self._planned and self._planned[0][0] <= time.monotonic_ns() // 1000:
            self._moment, _, action = heapq.heappop(self._planned)
            try:
                action()
            finally:
                self._moment = None
        self._wait()

    def _wait(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        if self._planned:
            delay_s = max(0.0, (self._planned[0][0] - time.monotonic_ns() // 1000) / 1e6)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.settle)
