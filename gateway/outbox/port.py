"""The small port behind which every destination stands: a police backend, a device, later a relative."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection

from gateway.outbox.retry import RetryPolicy

LATE_AFTER_S = 20  # EN 50136-1's longest transmission time of class D4; destinations say "late" from here on


@dataclass(frozen=True)
class Delivery:
    """One thing to tell one destination. `id` is the same at every attempt; times are microseconds, UTC."""

    id: str
    destination: str
    incident_id: str
    kind: str
    payload: dict[str, Any]
    attempts: int  # how many have begun, this one included
    created_at: int

    def late_s(self, now_us: int) -> int | None:
        """Whole seconds since it was written, when that is long ago; None while it is in time."""
        age_s = (now_us - self.created_at) // 1_000_000
        return age_s if age_s > LATE_AFTER_S else None

    @property
    def identity(self) -> dict[str, str]:
        """Whose it is, for the log (`extra`): the incident's, and the alarm's where it is about one."""
        found = {"incident": self.incident_id, "delivery": self.id, "destination": self.destination}
        if "activation" in self.payload:
            return {**found, "alarm": f"{self.payload['device']}-{self.payload['activation']}"}
        alarms = self.payload.get("data", {}).get("alarms") or ()
        return {**found, "alarm": alarms[0]["alarm"]} if len(alarms) == 1 else found


@dataclass(frozen=True)
class Outcome:
    """How one attempt ended.

    done: the destination has it; never tried again. error: why not, as a sentence (kept in `last_error`).
    reached: the destination itself answered, so the failure is about this delivery and not about the line;
    such failures do not open the destination's circuit breaker. hopeless: it answered that it will not take this
    very delivery, as it is; the same bytes would be refused again (RetryPolicy.refused_s).
    retry_after_s: the destination asked for this pause. effect: what follows from success, run in the very
    transaction that marks the delivery done, and only if it was not done before.
    """

    done: bool
    error: str | None = None
    retry_after_s: float | None = None
    effect: Callable[[Connection], object] | None = None
    reached: bool = False
    hopeless: bool = False


# report(error): what the destination's supervision found; None when it answers.
Report = Callable[[str | None], Awaitable[None]]


class Destination(Protocol):
    """Subclass it to inherit the defaults.

    prefix: an exact destination such as "backend:police", or, when it ends in ":", every destination that
    begins so. policy: when to try again. concurrency: deliveries under way at once. limit_s: what one attempt
    may take at most; the engine cuts it off there, and its lease lasts a little longer. supervised: whether `attend`
    reports, alarm or none, if somebody answers there.
    """

    prefix: str
    policy: RetryPolicy
    concurrency: int = 8
    limit_s: float = 20.0
    supervised: bool = False

    async def deliver(self, delivery: Delivery) -> Outcome:
        """Make one attempt: an Outcome for every failure that was foreseen.

        What it raises is a failed attempt too, and is logged with its traceback.
        """
        ...

    async def attend(self, report: Report) -> None:
        """What it does beside deliveries, such as supervising its line; ended by cancelling it."""
        return

    async def close(self) -> None:
        """Let go of sockets; called once, when the outbox stops."""
        return
