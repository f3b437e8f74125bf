"""What a gateway of a story knows: alarms and their stages, and the operator who handles them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol

from sigap.problem import USAGE, Problem
from sigap.story.board import AnyBoard
from sigap.story.waiting import LIMIT_S, Clock, wait_until
from sigap.timeline import STAGES


@dataclass(frozen=True)
class Alarm:
    """One alarm as the gateway had it committed when it was asked.

    board: its name. incident: an id (in virtual time a number). state: of the incident. pressed_at, received_at:
    seconds, as the story's clock counts them. position: degrees (latitude, longitude) as measured, or None.
    """

    board: str
    activation: int
    incident: str | int
    test: bool
    silent: bool
    state: str
    pressed_at: float
    received_at: float
    position: tuple[float, float] | None

    @property
    def key(self) -> tuple[str, int]:
        """What makes it one alarm, however often it came."""
        return self.board, self.activation


class Handles(Protocol):
    """Where an operator's clicks go."""

    def act(self, incident: Any, stage: str, **fields: str) -> None:
        """Press the button of this stage. Problem when it is refused."""
        ...


class Operator:
    """Who sits at the desk. Each act is one button of an incident's page; Problem when the desk refuses it."""

    def __init__(self, desk: Handles) -> None:
        self._desk = desk

    def acknowledge(self, alarm: Alarm) -> None:
        """A human has seen it."""
        self._desk.act(alarm.incident, "acknowledged")

    def dispatch(self, alarm: Alarm, unit: str | None = None) -> None:
        """Send officers; without a name, the first unit that the desk offers."""
        self._desk.act(alarm.incident, "dispatched", **({} if unit is None else {"unit": unit}))

    def on_scene(self, alarm: Alarm) -> None:
        """The officers have arrived."""
        self._desk.act(alarm.incident, "on_scene")

    def close(self, alarm: Alarm, disposition: str = "genuine") -> None:
        """It ended: genuine, false, test, exercise or unfounded."""
        self._desk.act(alarm.incident, "closed", disposition=disposition)


class AnyGateway(ABC):
    """What gateways of both kinds of time have."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._told: set[tuple[str, int]] = set()

    def alarms(self, of: AnyBoard | None = None) -> list[Alarm]:
        """Every alarm on disk, oldest first; of one board, or of all."""
        return [alarm for alarm in self._alarms() if of is None or alarm.board == of.name]

    def waits_for_alarm(self, of: AnyBoard | None = None, within_s: float = LIMIT_S) -> Alarm:
        """Wait for the next alarm on disk. Each is handed out once, in the order in which they came."""
        __tracebackhide__ = True
        whose = "an alarm" if of is None else f"an alarm of {of.name}"

        def seen() -> str:
            known = ", ".join(f"{one.board} {one.activation} ({one.state})" for one in self._alarms()) or "none"
            return f"alarms on disk: {known}; {self._how()}" + ("" if of is None else f"; {of.seen()}")

        fresh = wait_until(
            self._clock, lambda: [a for a in self.alarms(of) if a.key not in self._told], whose, within_s, seen
        )
        self._told.add(fresh[0].key)
        return fresh[0]

    def waits_for(self, stage: str, alarm: Alarm, within_s: float = LIMIT_S) -> None:
        """Wait until a stage of the alarm's incident is on disk.

        stage: "accepted", "relatives" (they were told), "acknowledged", "dispatched", "on_scene" or "closed".
        """
        __tracebackhide__ = True
        if stage not in STAGES:
            raise Problem(f"an incident has no stage {stage!r}", f"It has {', '.join(STAGES)}", USAGE)
        wait_until(
            self._clock,
            lambda: stage in self.stages(alarm),
            f"{stage!r} of the alarm of {alarm.board}",
            within_s,
            lambda: f"what is on disk of it: {', '.join(self.stages(alarm)) or 'nothing'}; {self._how()}",
        )

    @abstractmethod
    def stages(self, alarm: Alarm) -> dict[str, float]:
        """{stage: when it was first recorded, in seconds} of the alarm's incident, in the order in which they came."""

    @abstractmethod
    def _alarms(self) -> list[Alarm]: ...

    @abstractmethod
    def _how(self) -> str:
        """One line on how the gateway is."""
