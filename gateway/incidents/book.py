"""The book of incidents: takes alarms and stages in the caller's transaction, and writes what must be told of
them.

Everything that changes an incident becomes an event (append-only) beside the row it changes, and deliveries
in the outbox, all in one transaction (events.py says what their data holds).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from gateway.backend_settings import BACKEND
from gateway.incidents import cloudevents, merging, queries, stages
from gateway.incidents.events import GOES_ON, UnknownIncident, came_too, record, taken_too
from gateway.incidents.facts import age_is_minimum, fix, is_another_fix, pressed_at, tells_more
from gateway.incidents.joining import left, open_incident
from gateway.incidents.telling import tell_devices, tell_relatives, tell_relatives_of
from gateway.outbox import rows
from gateway.registry.devices import Device, get_device
from gateway.store.schema import alarms, incidents
from panic_wire.frames import TEST, Alarm, Cancel, Header
from panic_wire.topics import device_name

PRESS_TIME_TELLS_US = 1_000_000  # a press time that moves by less is kept, but no backend is told

__all__ = ["Book", "Later", "Taken", "UnknownIncident"]

Later = Callable[[tuple[int, int]], bool]
_FLAGS = ("moved", "doubtful")
# What follows an outage in numbers, as each repeat of an alarm says it better: one that no backend was sent yet is put
# right in place.
_REPLACED = (stages.PRESS_TIME,)


@dataclass(frozen=True)
class Taken:
    """What became of an alarm's frame. new: the first frame of its activation. stage_to_tell: what the device
    should show beyond the receipt, or None. wakes: deliveries were written."""

    new: bool
    incident_id: str
    stage_to_tell: str | None
    wakes: bool


class Book:
    """backend_names: whom to tell of every incident. source: the gateway's name, for CloudEvents. receiving: those of
    them whose acceptance means that the police have it, which the person's light then says; by default all."""

    def __init__(self, backend_names: Iterable[str], source: str, receiving: Iterable[str] | None = None) -> None:
        self.backend_names, self.source = tuple(backend_names), source
        counting = self.backend_names if receiving is None else receiving
        self._counting = {f"{BACKEND}{name}" for name in counting}

    def take_alarm(
        self,
        conn: sa.Connection,
        device: Device,
        header: Header,
        alarm: Alarm,
        received_at_us: int,
        bearer: str = "wifi",
        *,
        later: Later | None = None,
    ) -> Taken:
        """Take an authentic alarm frame that was not seen before.

        The first of its activation joins the device's open incident or opens one; any other only adds what it
        knows better. later: whether this frame is newer than the (epoch, counter) given; by default a greater
        counter, and any other epoch.

        A test alarm has an incident of its own kind, apart from real ones. A device that says of the same activation
        that it is real is believed.
        """
        if conn.dialect.name != "sqlite":  # there the whole transaction holds the lock
            conn.execute(queries.LOCK_DEVICE, {"device": device.id})
        key = {"device": device.id, "of_activation": alarm.activation}
        found = conn.execute(queries.ALARM, key).first()
        if found is not None and found.test and header.type != TEST:
            conn.execute(queries.FORGET_ALARM, key)  # the test's events keep what it was
            taken = self._first(conn, device, header, alarm, received_at_us, bearer)
            left(conn, found, taken.incident_id, f"device:{device_name(device.id)}", received_at_us)
            return taken
        if found is not None:
            is_later = (later or _later_counter(header))((found.epoch, found.counter))
            wakes = self._better(conn, device, found, header, alarm, received_at_us, is_later)
            if bearer != found.bearer:
                came_too(conn, found, bearer, f"device:{device_name(device.id)}", received_at_us)
            return self._taken(conn, found.incident_id, new=False, wakes=wakes)
        return self._first(conn, device, header, alarm, received_at_us, bearer)

    def find_alarm(self, conn: sa.Connection, device_id: int, activation: int) -> Taken | None:
        """What a repeated frame of a committed alarm is answered with; None when that alarm is not here."""
        found = conn.execute(queries.ALARM, {"device": device_id, "of_activation": activation}).first()
        return None if found is None else self._taken(conn, found.incident_id, new=False, wakes=False)

    def take_cancel(self, conn: sa.Connection, device: Device, cancel: Cancel, received_at: int) -> Taken | None:
        """Take an authentic cancel; None when its alarm is not here (yet): it must not be receipted then.

        It closes nothing and lowers nothing. The first of an alarm is an event, and so is the first under duress;
        relatives are told of neither. Duress that comes when the incident was closed has been closed too early: the
        alarm goes on in the device's open incident, or in a new one.
        """
        if conn.dialect.name != "sqlite":
            conn.execute(queries.LOCK_DEVICE, {"device": device.id})
        key = {"device": device.id, "of_activation": cancel.activation}
        found = conn.execute(queries.ALARM, key).first()
        if found is None:
            return None
        duress = cancel.duress and not found.duress
        if found.cancelled_at is not None and not duress:
            return self._taken(conn, found.incident_id, new=False, wakes=False)
        incident_id, actor = found.incident_id, f"device:{device_name(device.id)}"
        closed = conn.execute(queries.INCIDENT, {"incident": incident_id}).one().state == stages.CLOSED
        if duress and closed and not found.test:
            incident_id = self._go_on(conn, device, found, actor, received_at)
        cancelled_at = received_at - cancel.age_ms * 1000
        values = {"cancelled_at": cancelled_at, "duress": bool(found.duress) or cancel.duress}
        of_key = (alarms.c.device_id == device.id, alarms.c.activation == cancel.activation)
        conn.execute(alarms.update().where(*of_key).values(**values))
        conn.execute(queries.TOUCH, {"incident": incident_id, "at": received_at})
        said = {"activation": cancel.activation, **values}
        record(conn, incident_id, received_at, stages.CANCELLED, actor, said)
        self._tell_backends(conn, incident_id, device, stages.CANCELLED, received_at)
        return self._taken(conn, incident_id, new=True, wakes=True)

    def is_cancelled(self, conn: sa.Connection, device_id: int, cancel: Cancel) -> bool:
        """What this cancel says is in the store: a repeated frame of it may be receipted again."""
        key = {"device": device_id, "of_activation": cancel.activation}
        found = conn.execute(queries.ALARM, key).first()
        return found is not None and found.cancelled_at is not None and (bool(found.duress) or not cancel.duress)

    def record_stage(
        self,
        conn: sa.Connection,
        incident_id: str,
        stage: str,
        actor: str,
        data: dict[str, Any],
        now_us: int,
    ) -> bool:
        """Record a stage of stages.STAGES; True when it changed something.

        A stage that was reached before changes nothing (a second backend that accepts is kept as `taken`, and so is one
        whose acceptance does not count); one that lies behind, or comes after closed, is kept
        as a `refused` event. data: what the actor said, kept in the event; `closed` needs its disposition
        there. UnknownIncident, or ValueError for an unknown stage or disposition.
        """
        if stage not in stages.STAGES:
            raise ValueError(f"{stage!r} is not a stage of an incident")
        if stage == stages.CLOSED and data.get("disposition") not in stages.DISPOSITIONS:
            raise ValueError(f"closed needs a disposition, one of {', '.join(stages.DISPOSITIONS)}")
        incident = conn.execute(queries.INCIDENT_TO_CHANGE, {"incident": incident_id}).first()
        if incident is None:
            raise UnknownIncident(incident_id)
        if incident.merged_into is not None and stage == stages.CLOSED:
            # A police system closes its double: that ends nothing.
            record(conn, incident_id, now_us, stages.REFUSED, actor, {"stage": stage, "state": "merged"})
            return False
        if incident.merged_into is not None and stage != stages.ACCEPTED:
            # What somebody did for a part of the emergency was done for the whole.
            data = {**data, "said_of": incident_id}
            return self.record_stage(conn, incident.merged_into, stage, actor, data, now_us)
        if incident.test and stage in (stages.DISPATCHED, stages.ON_SCENE):
            record(conn, incident_id, now_us, stages.REFUSED, actor, {"stage": stage, "state": "test"})
            return False
        if stage == stages.ACCEPTED:
            is_other = actor.startswith(BACKEND) and actor not in self._counting
            if incident.accepted or is_other:
                taken_too(conn, incident_id, actor, data, now_us)
                return False
            values: dict[str, Any] = {"accepted": True}
            tell = incident.state == stages.OPEN
        else:
            after = stages.advance(incident.state, stage)
            if after is None and stage == stages.ACKNOWLEDGED and incident.raised:
                values = {"raised": 0, "changed_at": now_us}
                conn.execute(incidents.update().where(incidents.c.id == incident_id).values(**values))
                record(conn, incident_id, now_us, stages.SEEN, actor, data)
                return True
            if after is None:
                if stage != incident.state:
                    refused = {"stage": stage, "state": incident.state}
                    record(conn, incident_id, now_us, stages.REFUSED, actor, refused)
                return False
            values = stages.advanced(after, data)
            tell = True
        conn.execute(incidents.update().where(incidents.c.id == incident_id).values(changed_at=now_us, **values))
        record(conn, incident_id, now_us, stage, actor, data)
        if tell:
            tell_devices(conn, incident_id, stage, now_us)
        device = get_device(conn, incident.device_id)
        assert device is not None  # a foreign key says so
        if incident.held:
            self._released(conn, incident_id, device, stage, now_us)
            return True
        self._tell_backends(conn, incident_id, device, stage, now_us, but=actor)
        if stage in (stages.DISPATCHED, stages.CLOSED):
            tell_relatives(conn, incident_id, stage, now_us)
        return True

    def _released(self, conn: sa.Connection, incident_id: str, device: Device, stage: str, now_us: int) -> None:
        """Of a revoked device's incident nobody outside is told anything, until an operator sends somebody."""
        if stages.is_help_sent(stage):
            self._tell_backends(conn, incident_id, device, stages.OPENED, now_us)
            tell_relatives(conn, incident_id, stages.DISPATCHED, now_us)

    def merge(self, conn: sa.Connection, incident_id: str, other: str, actor: str, now_us: int) -> str:
        """merging.merge, and the backends are told."""
        return merging.merge(conn, incident_id, other, actor, now_us, self._tell_backends)

    def split(self, conn: sa.Connection, incident_id: str, device_id: int, actor: str, now_us: int) -> str:
        """merging.split, and the backends are told."""
        return merging.split(conn, incident_id, device_id, actor, now_us, self._tell_backends)

    def _first(
        self,
        conn: sa.Connection,
        device: Device,
        header: Header,
        alarm: Alarm,
        received_at: int,
        bearer: str,
    ) -> Taken:
        is_test = header.type == TEST
        pressed = pressed_at(alarm, received_at)
        incident_id, kind = self._open_incident(
            conn, device, received_at, is_test=is_test, pressed_at=pressed, moved=alarm.moved
        )
        position = fix(alarm, received_at)
        known = {
            "activation": alarm.activation,
            "pressed_at": pressed,
            "age_is_minimum": age_is_minimum(alarm),
            "silent": alarm.silent or device.silent,
            "bearer": bearer,
            "moved": alarm.moved,
            "doubtful": alarm.doubtful,
            "epoch": header.epoch,
            "counter": header.counter,
            "battery_mv": alarm.battery_mv,
            **position,
        }
        row = {"device_id": device.id, "incident_id": incident_id, "received_at": received_at}
        conn.execute(queries.ADD_ALARM, {**row, **known, **_told(position)})
        data = {**known, "gesture": alarm.gesture}
        if kind == stages.OPENED:
            data |= {"test": is_test, **({"held": True} if device.revoked else {})}
        record(conn, incident_id, received_at, kind, f"device:{device_name(device.id)}", data)
        self._tell_backends(conn, incident_id, device, kind, received_at)
        # Each test shows a relative that it comes.
        if (kind == stages.OPENED or is_test) and not device.revoked:
            tell_relatives_of(conn, incident_id, device, kind, received_at)
        if kind == stages.OPENED:
            return Taken(True, incident_id, stages.stage_to_tell(stages.OPEN, False), True)
        return self._taken(conn, incident_id, new=True, wakes=True)

    def _open_incident(
        self,
        conn: sa.Connection,
        device: Device,
        received_at: int,
        *,
        is_test: bool,
        pressed_at: int | None = None,
        moved: bool = False,
    ) -> tuple[str, str]:
        """The open incident that the alarm belongs to, else a new one; and the event that its coming there is."""
        found = open_incident(conn, device, is_test=is_test, pressed_at=pressed_at, moved=moved)
        if found is not None:
            conn.execute(queries.JOIN, {"incident": found, "at": received_at})
            return found, stages.ALARM_JOINED
        incident_id = rows.new_id(received_at)
        values = {"id": incident_id, "device_id": device.id, "state": stages.OPEN, "test": is_test, "accepted": False}
        times = {"opened_at": received_at, "changed_at": received_at}
        conn.execute(queries.ADD_INCIDENT, {**values, **times, "held": device.revoked})
        return incident_id, stages.OPENED

    def _go_on(self, conn: sa.Connection, device: Device, found: sa.Row, actor: str, received_at: int) -> str:
        """Move an alarm out of its closed incident; returns the incident in which it goes on."""
        incident_id, kind = self._open_incident(conn, device, received_at, is_test=False)
        moves = {"device": device.id, "of_activation": found.activation, "incident": incident_id}
        conn.execute(queries.MOVE_ALARM, moves)
        left(conn, found, incident_id, actor, received_at)
        data = {name: found._mapping[name] for name in GOES_ON}
        if kind == stages.OPENED:
            data |= {"test": False, **({"held": True} if device.revoked else {})}
        record(conn, incident_id, received_at, kind, actor, data)
        self._tell_backends(conn, incident_id, device, kind, received_at)
        return incident_id

    def _better(
        self,
        conn: sa.Connection,
        device: Device,
        found: sa.Row,
        header: Header,
        alarm: Alarm,
        received_at: int,
        is_later: bool,
    ) -> bool:
        """Add what this frame knows better than those before; True when deliveries were written."""
        actor = f"device:{device_name(device.id)}"
        values: dict[str, Any] = {}
        changes: list[str] = []
        if is_later:
            values |= {"epoch": header.epoch, "counter": header.counter, "battery_mv": alarm.battery_mv}
        # An older frame never overwrites a position, but any is better than none.
        position = fix(alarm, received_at)
        another = (is_later or found.lat_e7 is None) and is_another_fix(found, position)
        if not another:
            position = {name: found._mapping[name] for name in position}
        before = {name: bool(found._mapping[name]) for name in _FLAGS}
        flags = {name: getattr(alarm, name) for name in _FLAGS} if is_later else before
        if another or flags != before:
            values |= {**position, **flags}
            data = {"activation": alarm.activation, **position, **flags}
            record(conn, found.incident_id, received_at, stages.POSITION, actor, data)
            conn.execute(queries.TOUCH, {"incident": found.incident_id, "at": received_at})
            # An update each ten seconds: the desk shows them all, a backend gets what says more than it knows.
            if any(flags[name] and not before[name] for name in _FLAGS) or tells_more(found, position):
                values |= _told(position)
                changes.append(stages.POSITION)
        at = pressed_at(alarm, received_at)
        is_minimum = bool(found.age_is_minimum) and age_is_minimum(alarm)
        if at < found.pressed_at or is_minimum != bool(found.age_is_minimum):
            pressed = {"pressed_at": min(at, found.pressed_at), "age_is_minimum": is_minimum}
            values |= pressed
            data = {"activation": alarm.activation, **pressed}
            record(conn, found.incident_id, received_at, stages.PRESS_TIME, actor, data)
            if found.pressed_at - at >= PRESS_TIME_TELLS_US:
                changes.append(stages.PRESS_TIME)
            conn.execute(queries.TOUCH, {"incident": found.incident_id, "at": received_at})
        if values:
            key = (alarms.c.device_id == device.id, alarms.c.activation == alarm.activation)
            conn.execute(alarms.update().where(*key).values(**values))
        if not changes:
            return False
        conn.execute(queries.TOUCH, {"incident": found.incident_id, "at": received_at})
        self._tell_backends(conn, found.incident_id, device, changes[0], received_at)
        return True

    def _taken(self, conn: sa.Connection, incident_id: str, *, new: bool, wakes: bool) -> Taken:
        found = conn.execute(queries.INCIDENT, {"incident": incident_id}).one()
        return Taken(new, incident_id, stages.stage_to_tell(found.state, found.accepted), wakes)

    def _tell_backends(
        self,
        conn: sa.Connection,
        incident_id: str,
        device: Device,
        change: str,
        now_us: int,
        but: str | None = None,
        other: str | None = None,
    ) -> None:
        """Write one delivery for each backend but the one who told us. device: one of the incident's. other: the
        incident that it was merged with or split from."""
        names = [name for name in self.backend_names if f"{BACKEND}{name}" != but]
        if not names:
            return
        data = cloudevents.incident_data(conn, incident_id, device, change)
        if data.pop("held"):
            return
        data["other_incident"] = other
        kind = cloudevents.TYPES.get(change, cloudevents.UPDATED_TYPE)

        def envelope(event_id: str) -> dict[str, Any]:
            about = {"source": self.source, "kind": kind, "incident_id": incident_id, "now_us": now_us}
            return cloudevents.envelope(event_id=event_id, data=data, **about)

        for name in names:
            destination = f"{BACKEND}{name}"
            if change in _REPLACED:
                unsent = rows.unsent(conn, destination, incident_id, change)
                if unsent is not None and rows.replace_unsent(conn, unsent, envelope(unsent)):
                    continue
            delivery_id = rows.new_id(now_us)
            rows.enqueue(
                conn,
                destination=destination,
                incident_id=incident_id,
                kind=kind,
                payload=envelope(delivery_id),
                now_us=now_us,
                delivery_id=delivery_id,
            )


def _told(position: dict[str, int | None]) -> dict[str, int | None]:
    return {f"told_{name}": position[name] for name in ("lat_e7", "lon_e7", "accuracy_m")}


def _later_counter(header: Header) -> Later:
    return lambda known: known[0] != header.epoch or header.counter > known[1]
