"""The life of an incident as pure functions over its events: no clock, no database.

An incident goes open < acknowledged < dispatched < on_scene < closed, may skip stages (a desk that dispatches
at once has seen it), and never goes back. `accepted` is not among them: it says that a backend's machine has
the incident, and may come before or after a human has seen it. Folding an incident's events gives what its
rows hold, all but the alarms' newest counter and battery, of which events carry the first (rebuild.py).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from panic_wire.topics import device_id

OPEN, ACKNOWLEDGED, DISPATCHED, ON_SCENE, CLOSED = "open", "acknowledged", "dispatched", "on_scene", "closed"
ACCEPTED = "accepted"
STATES = (OPEN, ACKNOWLEDGED, DISPATCHED, ON_SCENE, CLOSED)
STAGES = (ACCEPTED, *STATES[1:])  # what can be recorded, and told to the device
DISPOSITIONS = ("genuine", "false", "test", "exercise", "unfounded")

# Kinds of events (`events.kind`).
OPENED, ALARM_JOINED, POSITION, PRESS_TIME = "opened", "alarm_joined", "position", "press_time"
CANCELLED, ALARM_LEFT, SEEN = "cancelled", "alarm_left", "seen"
# Of two incidents made one, of one made two: in the history of that which gives, and of that which gets.
MERGED_INTO, MERGED_FROM, SPLIT_OFF, SPLIT_FROM = "merged_into", "merged_from", "split_off", "split_from"
# Kept for the audit; they change nothing.
TOLD, REFUSED, RELATIVES, NOT_ACCEPTED, TAKEN = "told", "refused", "relatives", "not_accepted", "taken"
CAME_TOO = "came_too"

CHANGE = {
    *(OPENED, ALARM_JOINED, POSITION, PRESS_TIME, CANCELLED, ALARM_LEFT, SEEN, *STAGES),
    *(MERGED_INTO, MERGED_FROM, SPLIT_OFF, SPLIT_FROM),
}  # move `changed_at`

Position = tuple[int, int, int | None, int | None]  # lat_e7, lon_e7, accuracy_m, fix_at
AlarmKey = tuple[int, int]  # device, activation


@dataclass(frozen=True)
class Event:
    """One row of `events`: `at` in microseconds UTC, `data` by kind (see events.py)."""

    kind: str
    at: int
    actor: str
    data: dict[str, Any]


@dataclass(frozen=True)
class AlarmState:
    """What events tell of one alarm. Times in microseconds UTC."""

    device: int
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
    """What events tell of one incident. device: the one it goes by. test: None where its events do not say it."""

    device: int
    state: str
    accepted: bool
    disposition: str | None
    opened_at: int
    changed_at: int
    test: bool | None = None
    merged_into: str | None = None
    held: bool = False
    raised: int = 0
    promised: bool = False
    alarms: dict[AlarmKey, AlarmState] = field(default_factory=dict)


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
        return _begin(event)
    state, data = replace(state, changed_at=event.at) if event.kind in CHANGE else state, event.data
    match event.kind:
        case "opened" | "split_from":
            raise ValueError("an incident is opened once")
        case "alarm_joined":
            return replace(_with_alarms(state, event, [data]), raised=state.raised + 1)
        case "position" | "press_time" | "cancelled":
            return _with_alarm_changed(state, event)
        case "alarm_left":
            left = device_of(event), data["activation"]
            return _without(state, lambda alarm: (alarm.device, alarm.activation) == left)
        case "accepted":
            return replace(state, accepted=True)
        case "acknowledged" | "dispatched" | "on_scene" | "closed":
            after = advance(state.state, event.kind)
            if after is None:
                raise ValueError(f"{event.kind!r} after {state.state!r} is not forward")
            return replace(state, **advanced(after, data))
        case "seen":
            return replace(state, raised=0)
        case "merged_into":
            return replace(state, state=CLOSED, merged_into=data["incident"], alarms={}, **_NOTHING_WAITS)
        case "merged_from":
            both = _with_alarms(state, event, data["alarms"])
            return replace(both, **merged(state, data["state"], data["raised"], data["promised"]))
        case "split_off":
            return _without(state, lambda alarm: alarm.device == device_id(data["device"]))
        case _:
            return state


def advanced(after: str, data: dict[str, Any]) -> dict[str, Any]:
    """What an incident becomes (columns) with a stage that is forward: somebody is at it, so no press is unseen."""
    values = {"state": after, "raised": 0}
    if after == CLOSED:
        return {**values, "disposition": data["disposition"], "promised": False}
    return {**values, "held": False, "promised": False} if is_help_sent(after) else values


def merged(kept: Any, state: str, raised: int, promised: bool) -> dict[str, Any]:
    """What an incident becomes (columns) that takes in another of this state: no stage of either goes back. kept: the
    row or the IncidentState of the one that stays."""
    further = max(kept.state, state, key=STATES.index)
    promised = (bool(kept.promised) or promised) and not is_help_sent(further)
    return {"state": further, "raised": kept.raised + raised, "promised": promised}


def is_help_sent(state: str) -> bool:
    """Officers were assigned."""
    return state in (DISPATCHED, ON_SCENE)


def device_of(event: Event) -> int:
    """The device whose alarm an event is of: it says it itself, or it is the actor's."""
    return device_id(event.data.get("device") or event.actor.removeprefix("device:"))


def position_of(data: dict[str, Any]) -> Position | None:
    """The position in an event's data, or None without a fix."""
    if data.get("lat_e7") is None:
        return None
    return data["lat_e7"], data["lon_e7"], data["accuracy_m"], data["fix_at"]


_NOTHING_WAITS = {"raised": 0, "promised": False}


def _begin(event: Event) -> IncidentState:
    if event.kind not in (OPENED, SPLIT_FROM):
        raise ValueError(f"an incident's first event is {OPENED!r}, not {event.kind!r}")
    data = event.data
    state = IncidentState(
        device_of(event),
        OPEN,
        False,
        None,
        event.at,
        event.at,
        test=data.get("test"),
        held=data.get("held", False),
        promised=data.get("promised", False),
    )
    return _with_alarms(state, event, data["alarms"] if event.kind == SPLIT_FROM else [data])


def _with_alarms(state: IncidentState, event: Event, facts: Iterable[dict[str, Any]]) -> IncidentState:
    added = {}
    for data in facts:
        device = device_id(data["device"]) if "device" in data else device_of(event)
        added[device, data["activation"]] = AlarmState(
            device,
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
            data.get("duress", False),
        )
    return replace(state, alarms={**state.alarms, **added})


def _without(state: IncidentState, leaves: Callable[[AlarmState], bool]) -> IncidentState:
    kept = {key: alarm for key, alarm in state.alarms.items() if not leaves(alarm)}
    return replace(state, alarms=kept, device=goes_by(state.device, kept))


def goes_by(device: int, kept: dict[AlarmKey, Any]) -> int:
    """The device that an incident goes by, when these alarms are left: as before, else that which was pressed first."""
    if not kept or any(key[0] == device for key in kept):
        return device
    return min(kept, key=lambda key: (kept[key].pressed_at, key))[0]


def _with_alarm_changed(state: IncidentState, event: Event) -> IncidentState:
    key = device_of(event), event.data["activation"]
    alarm = state.alarms[key]
    if event.kind == POSITION:
        flags = {name: event.data.get(name, False) for name in ("moved", "doubtful")}
        alarm = replace(alarm, position=position_of(event.data), **flags)
    elif event.kind == CANCELLED:
        alarm = replace(alarm, cancelled_at=event.data["cancelled_at"], duress=event.data["duress"])
    else:
        alarm = replace(alarm, pressed_at=event.data["pressed_at"], age_is_minimum=event.data["age_is_minimum"])
    return replace(state, alarms={**state.alarms, key: alarm})
