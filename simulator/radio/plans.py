"""What is to happen in virtual time unless something newer comes before."""

from __future__ import annotations

from collections.abc import Callable

from simulator.radio.air import Clock


class Plans:
    """plan() as often as wanted; step() takes back all that was planned."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self._step = 0

    def plan(self, delay_us: int, action: Callable[[], None]) -> None:
        """Let it happen, unless a newer step comes before."""
        step = self._step

        def happen() -> None:
            if step == self._step:
                action()

        self.clock.after(delay_us, happen)

    def step(self) -> None:
        """What was planned is off."""
        self._step += 1
