"""Waits of a story: each has a limit, and says at its end what was seen instead."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol, TypeVar

from sigap.problem import Problem

LIMIT_S = 20.0
LOOK_EVERY_S = 0.02

Found = TypeVar("Found")


class NotSeenError(Problem, AssertionError):
    """Something that a story tells did not happen; the text says what was seen instead."""


class Clock(Protocol):
    """Time as a story has it: the computer's, or a virtual world's."""

    def now_s(self) -> float:
        """Seconds since 1970, or since a virtual world's start: as the pins' log has it."""
        ...

    def pass_s(self, seconds: float) -> None:
        """Let so much time pass. Problem when something has ended by itself that the story needs."""
        ...


class RealClock:
    """The computer's clock. check: called at each look; raises Problem for what has ended by itself."""

    def __init__(self, check: Callable[[], None]) -> None:
        self._check = check

    def now_s(self) -> float:
        return time.time()

    def pass_s(self, seconds: float) -> None:
        self._check()
        time.sleep(seconds)


def wait_until(
    clock: Clock,
    holds: Callable[[], Found | None],
    what: str,
    within_s: float,
    seen: Callable[[], str],
    todo: str = "",
    tell_s: float = 0.0,
) -> Found:
    """Look until it holds (is true, or not empty); its value.

    NotSeenError, with `what` and `seen()`, when it does not within `within_s` seconds. tell_s: it is looked for so much
    longer, as what happened in time can be told only later; the caller then judges when it was.
    """
    __tracebackhide__ = True
    deadline = clock.now_s() + within_s + tell_s
    while not (found := holds()):
        if clock.now_s() >= deadline:
            raise NotSeenError(f"{what} did not happen within {within_s:g} s; {seen()}", todo)
        clock.pass_s(LOOK_EVERY_S)
    return found
