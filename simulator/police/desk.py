"""What the police desk knows: arrivals, incidents, and how it behaves. No network here."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import asdict, dataclass, field
from typing import Any

STAGES = ("accepted", "acknowledged", "dispatched", "on_scene", "closed")
DISPOSITIONS = ("genuine", "false", "test", "exercise", "unfounded")
DELIVERIES_KEPT = 2000
INCIDENTS_KEPT = 500


@dataclass
class Behaviour:
    """slow_s: seconds before each answer. refuse: answer 403. fail: how many of the next are answered 503.
    later: answer 202 without accepting, and leave that to the status callback."""

    slow_s: float = 0.0
    refuse: bool = False
    fail: int = 0
    later: bool = False

    def change(self, asked: dict[str, Any]) -> None:
        """Take what is asked for, all or nothing. ValueError says what does not fit."""
        now = asdict(self)
        for name, value in asked.items():
            if name not in now:
                raise ValueError(f"{name} is not a behaviour; there are {', '.join(now)}")
            kind = type(now[name])
            fits = isinstance(value, bool) if kind is bool else isinstance(value, (int, kind))
            if not fits or (kind is not bool and isinstance(value, bool)):
                raise ValueError(f"{name} must be {'true or false' if kind is bool else 'a number'}")
            if kind is not bool and not 0 <= value <= 86_400:
                raise ValueError(f"{name} must be from 0 to 86400")
            now[name] = kind(value)
        for name, value in now.items():
            setattr(self, name, value)


@dataclass
class Received:
    """One delivery, by its webhook-id: `at` of the first arrival in Unix ms; `answers` are HTTP statuses."""

    webhook_id: str
    at: float
    body: dict[str, Any]
    arrivals: int = 0
    times: list[float] = field(default_factory=list)
    answers: list[int] = field(default_factory=list)
    taken: bool = False


@dataclass
class Sent:
    """One status that the desk told the gateway, or tries to: `answer` is None while it is under way."""

    stage: str
    at: float
    answer: str | None = None
    ok: bool = False


@dataclass
class Incident:
    id: str
    reference: str
    first_at: float
    data: dict[str, Any]
    sent: list[Sent] = field(default_factory=list)

    @property
    def state(self) -> str:
        """The newest stage that the gateway has taken, or what the alarm itself said."""
        reached = [each.stage for each in self.sent if each.ok and each.stage in STAGES]
        return max(reached, key=STAGES.index, default=str(self.data.get("state", "open")))


class Desk:
    """All of it, bounded: the oldest is forgotten first. A change raises `version` and wakes who waits."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.behaviour = behaviour
        self.received: OrderedDict[str, Received] = OrderedDict()
        self.incidents: OrderedDict[str, Incident] = OrderedDict()
        self.arrivals = 0
        self.version = 0
        self._changed = asyncio.Condition()
        self._references = 0

    def arrived(self, webhook_id: str, body: dict[str, Any]) -> Received:
        """Count an arrival; the same webhook-id again is the same delivery."""
        now = time.time() * 1000
        found = self.received.get(webhook_id)
        if found is None:
            found = self.received[webhook_id] = Received(webhook_id, now, body)
            while len(self.received) > DELIVERIES_KEPT:
                self.received.popitem(last=False)
        found.arrivals += 1
        found.times.append(now)
        del found.times[:-100]
        self.arrivals += 1
        return found

    def answered(self, received: Received, status: int) -> None:
        received.answers.append(status)
        del received.answers[:-100]

    def take(self, received: Received) -> tuple[Incident, bool]:
        """Take what was delivered into its incident; True when this opened the incident here.

        Taking one delivery twice changes nothing.
        """
        data = received.body["data"]
        incident_id = data["incident"]
        incident = self.incidents.get(incident_id)
        is_new = incident is None
        if incident is None:
            self._references += 1
            incident = Incident(incident_id, f"K-{self._references:04d}", time.time() * 1000, data)
            self.incidents[incident_id] = incident
            while len(self.incidents) > INCIDENTS_KEPT:
                self.incidents.popitem(last=False)
        elif not received.taken:
            incident.data = data
        received.taken = True
        return incident, is_new

    async def tell(self) -> None:
        """Something changed: wake the page and whoever waits for arrivals."""
        async with self._changed:
            self.version += 1
            self._changed.notify_all()

    async def wait_for_version_after(self, version: int) -> int:
        async with self._changed:
            await self._changed.wait_for(lambda: self.version > version)
            return self.version

    async def wait_for_arrivals(self, at_least: int) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: self.arrivals >= at_least)
