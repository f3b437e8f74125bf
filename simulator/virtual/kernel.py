"""The clock of a virtual world: what happens when, and how far each board may run by itself.

A board is granted a horizon and runs to it alone, in its own process. The rules that keep cause before effect, as in
conservative parallel simulation (Chandy and Misra, 1979):

- an event of the world at t is carried out when no board can still do anything before t;
- whatever the world answers reaches a board LOOKAHEAD_US later at the earliest (the fastest network), so a board may
  run that far beyond the next event, and that far beyond its own last word to the world;
- what happens to a board itself (a power cut, WiFi) is a barrier that it does not run beyond.

With several boards each may be ahead of the slowest by skew_us at most; what one board causes at another that is
ahead comes when that one is.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Protocol

LOOKAHEAD_US = 2_000
SKEW_US = 1_000_000
NEVER = 1 << 60

Action = Callable[[], None]


class Runner(Protocol):
    """A board, as the kernel sees it. now_us: how far it has run. wake_us: before that it does nothing by itself."""

    now_us: int

    @property
    def wake_us(self) -> int: ...
    def grant(self, horizon_us: int) -> None: ...
    def collect(self) -> None: ...


@dataclass
class Kernel:
    """at() and after() plan what happens; run() lets it happen. Times are microseconds since the world's start."""

    now_us: int = 0
    skew_us: int = SKEW_US  # less where boards hear each other (LoRa), as what one causes must be felt in time
    runners: list[Runner] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._order = count()
        self._events: list[tuple[int, int, Action]] = []
        self._seen: list[tuple[int, int, int, Action]] = []
        self._barriers: dict[int, list[int]] = {}
        self._places: dict[int, int] = {}
        self._wakes: dict[int, int] = {}  # by place in `runners`; the heap has older entries too
        self._by_wake: list[tuple[int, int]] = []

    def at(self, at_us: int, action: Action, runner: Runner | None = None) -> None:
        """Let `action` happen at `at_us`, or now if that is past. runner: whom it happens to (a barrier for it)."""
        at_us = max(at_us, self.now_us)
        heapq.heappush(self._events, (at_us, next(self._order), action))
        if runner is not None:
            heapq.heappush(self._barriers.setdefault(id(runner), []), at_us)

    def after(self, delay_us: int, action: Action, runner: Runner | None = None) -> None:
        self.at(self.now_us + delay_us, action, runner)

    def touch(self, runner: Runner) -> None:
        """Its wake_us may be another than before. To be called whenever it is: hundreds are not asked each time."""
        place = self._places.get(id(runner))
        if place is None:
            place = self._places[id(runner)] = self.runners.index(runner)
        wake_us = runner.wake_us
        if self._wakes.get(place) != wake_us:
            self._wakes[place] = wake_us
            heapq.heappush(self._by_wake, (wake_us, place))

    def _first_wake_us(self) -> int:
        heap = self._by_wake
        while heap and self._wakes.get(heap[0][1]) != heap[0][0]:
            heapq.heappop(heap)
        return heap[0][0] if heap else NEVER

    def _woken(self, horizon_us: int) -> list[int]:
        """The places of those that wake until then, in order."""
        found: set[int] = set()
        while self._first_wake_us() <= horizon_us:
            place = heapq.heappop(self._by_wake)[1]
            found.add(place)
            del self._wakes[place]
        return sorted(found)

    @property
    def next_us(self) -> int:
        """When the next event is; NEVER when there is none."""
        return self._events[0][0] if self._events else NEVER

    def saw(self, at_us: int, board: int, action: Action) -> None:
        """Something a board did that no board can feel: it is only put into its place in time."""
        heapq.heappush(self._seen, (at_us, board, next(self._order), action))

    def run(self, until_us: int) -> None:
        """Until `until_us` of virtual time."""
        for runner in self.runners:
            self.touch(runner)
        while True:
            event_us = self.next_us
            board_us = self._first_wake_us()
            self._look(min(event_us, board_us, until_us))
            if min(event_us, board_us) > until_us:
                self._look(until_us)
                self.now_us = until_us
                return
            if event_us <= board_us:
                self.now_us = event_us
                heapq.heappop(self._events)[2]()
                continue
            self._round(board_us, event_us, until_us)

    def _round(self, first_us: int, event_us: int, until_us: int) -> None:
        """Let every board run that has something to do before the common horizon, side by side."""
        horizon = min(event_us + LOOKAHEAD_US, until_us + 1)
        if len(self.runners) > 1:
            horizon = min(horizon, first_us + self.skew_us)
        granted = []
        woken = [self.runners[place] for place in self._woken(horizon)]
        for runner in woken:
            reach = min(horizon, self._barrier(runner))
            if runner.wake_us <= reach and reach >= runner.now_us:
                runner.grant(reach)
                granted.append(runner)
        for runner in granted:
            runner.collect()
        for runner in woken:
            self.touch(runner)
        if not granted:
            raise RuntimeError(f"virtual time stands still at {first_us} us")

    def _barrier(self, runner: Runner) -> int:
        barriers = self._barriers.get(id(runner))
        while barriers and barriers[0] <= self.now_us:
            heapq.heappop(barriers)
        return barriers[0] if barriers else NEVER

    def _look(self, until_us: int) -> None:
        while self._seen and self._seen[0][0] <= until_us:
            at_us, _, _, action = heapq.heappop(self._seen)
            self.now_us = max(self.now_us, at_us)
            action()
