"""The life of an incident as pure functions over its events: no clock, no database.

An incident goes open < acknowledged < dispatched < on_scene < closed, may skip stages (a desk that dispatches
at once has seen it), and never goes back. `accepted` is not among them: it says that a backend's machine has
the incident, and may come before or after a human has seen it. Folding an incident's events gives what its
rows hold (all but the alarms' newest counter and battery, which no event carries).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

OPEN, ACKNOWLEDGED, DISPATCHED, ON_SCENE, CLOSED = "open", "acknowledged", "dispatched", "on_scene", "closed"
ACCEPTED = "accepted"
STATES = (OPEN, ACKNOWLEDGED, DISPATCHED, ON_SCENE, CLOSED)
STAGES = (ACCEPTED, *STATES[1:])  # what can be recorded, and told to the device
DISPOSITIONS = ("genuine", "false", "test", "exercise", "unfounded")

# Kinds of events (`events.kind`).
OPENED, ALARM_JOINED, POSITION, PRESS_TIME = "opened", "alarm_joined", "position", "press_time"
CANCELLED, ALARM_LEFT = "cancelled", "alarm_left"
# Kept for the audit; they change nothing.
TOLD, REFUSED, RELATIVES, NOT_ACCEPTED = "told", "refused", "relatives", "not_accepted"

Position = tuple[int, int, int | None, int | None]  # lat_e7, lon_e7, accuracy_m, fix_at


@dataclass(frozen=True)
class Event:
    """One row of `events`: `at` in microseconds UTC, `data` by kind (see book.py)."""

    kind: str
    at: int
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True)
class AlarmState:
    """What events tell of one alarm. Times in microseconds UTC."""

    activation: int
    pressed_at: int
    received_at: int
    age_is_minimum: bool
    silent: bool
    bearer: str
    position: Position | None
    moved: bool = False
    doubtful: bool = False
    cancelled_at: int | None = None
    duress: bool = False


@dataclass(frozen=True)
class IncidentState:
    """What events tell of one incident; the alarms by activation."""

    state: str
    accepted: bool
    disposition: str | None
    opened_at: int
    changed_at: int
    alarms: dict[int, AlarmState] = field(default_factory=dict)


def advance(state: str, stage: str) -> str | None:
    """The state after `stage`, or None when that is not forward (closed is the end). ValueError for an
    unknown stage."""
    if stage not in STATES[1:]:
        raise ValueError(f"{stage!r} is not a stage of an incident")
    return stage if STATES.index(stage) > STATES.index(state) else None


def stage_to_tell(state: str, accepted: bool) -> str | None:
    """The stage that a device should show beyond its receipt, or None when there is none yet."""
    if state != OPEN:
        return state
    return ACCEPTED if accepted else None


def fold(events: Iterable[Event]) -> IncidentState:
    """The state that a history leads to. ValueError for one that does not begin with `opened`."""
    state: IncidentState | None = None
    for event in events:
        state = apply(state, event)
    if state is None:
        raise ValueError("an incident without events")
    return state


def apply(state: IncidentState | None, event: Event) -> IncidentState:
    """The state after one more event."""
    if state is None:
        if event.kind != OPENED:
            raise ValueError(f"an incident's first event is {OPENED!r}, not {event.kind!r}")
        return _with_alarm(IncidentState(OPEN, False, None, event.at, event.at), event)
    match event.kind:
        case "opened":
            raise ValueError("an incident is opened once")
        case "alarm_joined":
            return _with_alarm(state, event)
        case "position" | "press_time" | "cancelled":
            return _with_alarm_changed(state, event)
        case "alarm_left":
            kept = {key: alarm for key, alarm in state.alarms.items() if key != event.data["activation"]}
            return replace(state, alarms=kept, changed_at=event.at)
        case "accepted":
            return replace(state, accepted=True, changed_at=event.at)
        case "acknowledged" | "dispatched" | "on_scene" | "closed":
            after = advance(state.state, event.kind)
            if after is None:
                raise ValueError(f"{event.kind!r} after {state.state!r} is not forward")
            disposition = event.data["disposition"] if after == CLOSED else None
            return replace(state, state=after, disposition=disposition, changed_at=event.at)
        case _:
            return state


def position_of(data: dict[str, Any]) -> Position | None:
    """The position in an event's data, or None without a fix."""
    if data.get("lat_e7") is None:
        return None
    return data["lat_e7"], data["lon_e7"], data["accuracy_m"], data["fix_at"]


def _with_alarm(state: IncidentState, event: Event) -> IncidentState:
    data = event.data
    alarm = AlarmState(
        data["activation"],
        data["pressed_at"],
        data.get("received_at", event.at),
        data["age_is_minimum"],
        data["silent"],
        data["bearer"],
        position_of(data),
        data.get("moved", False),  # older events do not say it
        data.get("doubtful", False),
        data.get("cancelled_at"),
    )
    return replace(state, alarms={**state.alarms, alarm.activation: alarm}, changed_at=event.at)


def _with_alarm_changed(state: IncidentState, event: Event) -> IncidentState:
    alarm = state.alarms[event.data["activation"]]
    if event.kind == POSITION:
        flags = {name: event.data.get(name, False) for name in ("moved", "doubtful")}
        alarm = replace(alarm, position=position_of(event.data), **flags)
    elif event.kind == CANCELLED:
        alarm = replace(alarm, cancelled_at=event.data["cancelled_at"], duress=event.data["duress"])
    else:
        alarm = replace(alarm, pressed_at=event.data["pressed_at"], age_is_minimum=event.data["age_is_minimum"])
    return replace(state, alarms={**state.alarms, alarm.activation: alarm}, changed_at=event.at)
