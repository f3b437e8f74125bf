"""When to try a delivery again: a value to print, test and document, not loops scattered about."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

LEAST_FACTOR = 1.1


@dataclass(frozen=True)
class RetryPolicy:
    """Waits between the attempts of one delivery. As long as nobody answers it does not give up: an alarm has no
    last attempt.

    The first `first_tries` failures are each followed by `first_s`; after that the wait is multiplied by
    `factor` up to `most_s`. Every wait is shortened at random by up to `jitter` (a part of it), so that many
    deliveries do not knock at the same instant. From attempt `shout_from` on, each failure is said loudly:
    log, counts, health. What waits for longer than `deadline_s` is a trouble on the desk.

    A delivery that the destination refuses for what it is (Outcome.hopeless) for `refused_s`, or that is older than
    `lasts_s` where that is set, becomes a dead letter: kept, shown, to be sent again by hand, and no longer in
    the way of what comes after it.
    """

    first_s: float = 1.0
    first_tries: int = 5
    factor: float = 2.0
    most_s: float = 30.0
    jitter: float = 0.2
    shout_from: int = 8
    deadline_s: float = 20.0
    refused_s: float = 3600.0
    lasts_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.first_s <= self.most_s < math.inf:
            raise ValueError("first_s must be above 0 and at most most_s, which is finite")
        if self.first_tries < 1 or self.shout_from < 1 or not 0 <= self.jitter < 1:
            raise ValueError("first_tries and shout_from are at least 1, jitter is from 0 to below 1")
        if not LEAST_FACTOR <= self.factor < math.inf:  # so that a few steps reach most_s
            raise ValueError(f"factor must be at least {LEAST_FACTOR}")
        if self.deadline_s <= 0 or self.refused_s < 0 or (self.lasts_s is not None and self.lasts_s <= 0):
            raise ValueError("deadline_s and lasts_s are above 0, refused_s is not below")

    def longest_wait_s(self, attempt: int) -> float:
        """Seconds to wait at most after failed attempt number `attempt` (the first is 1)."""
        if attempt < 1:
            raise ValueError("attempts are numbered from 1")
        wait_s = self.first_s
        for _ in range(attempt - self.first_tries):
            wait_s *= self.factor
            if wait_s >= self.most_s:
                break  # a delivery that has waited for years must not loop for years
        return min(wait_s, self.most_s)

    def wait_s(self, attempt: int, chance: Callable[[], float] = random.random) -> float:
        """Seconds to wait after failed attempt number `attempt`; `chance` gives 0 to below 1."""
        return self.longest_wait_s(attempt) * (1 - self.jitter * chance())

    def shouts(self, attempt: int) -> bool:
        """Whether the failure of attempt number `attempt` is loud."""
        return attempt >= self.shout_from

    def rows(self) -> list[tuple[int, float, float, bool]]:
        """(attempt, shortest wait, longest wait, loud) for each attempt until neither changes any more."""
        rows: list[tuple[int, float, float, bool]] = []
        attempt = 0
        while True:
            attempt += 1
            longest_s = self.longest_wait_s(attempt)
            rows.append((attempt, longest_s * (1 - self.jitter), longest_s, self.shouts(attempt)))
            if longest_s >= self.most_s and self.shouts(attempt):
                return rows

    def to_dict(self) -> dict[str, Any]:
        """Its values by name, and "schedule": what rows() says, as `sigap backends --json` prints it."""
        schedule = [
            {"attempt": attempt, "least_s": round(least_s, 3), "longest_s": longest_s, "loud": loud}
            for attempt, least_s, longest_s, loud in self.rows()
        ]
        return {**asdict(self), "schedule": schedule}

    def __str__(self) -> str:
        """The policy as a Markdown table; docs/integrator.md holds exactly this text."""
        lines = ["| failed attempt | next one after | loud |", "|---|---|---|"]
        rows = self.rows()
        for attempt, least_s, longest_s, loud in rows:
            name = f"{attempt} and every later one" if attempt == len(rows) else str(attempt)
            wait = f"{longest_s:g} s" if least_s == longest_s else f"{least_s:g} to {longest_s:g} s"
            lines.append(f"| {name} | {wait} | {'yes' if loud else ''} |")
        return "\n".join(lines)
