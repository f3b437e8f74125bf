"""What happens in a running Sigap, as lines for a terminal: each stage when it is committed, and what a light says."""

from __future__ import annotations

import json
from collections import deque
from datetime import datetime
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import alarms, devices, events, incidents
from sigap.local import Local
from sigap.problem import Problem
from sigap.timeline import stage_of
from simulator import observe

AT_ONCE = 100  # events a look
PINS_KEPT = 200  # of each light: some 20 s of its fastest pattern
MEANS = {
    "received": "the gateway has the alarm on disk",
    "accepted": "the police's system has taken it",
    "relatives": "a relative was sent the message",
    "acknowledged": "an operator has seen it",
    "dispatched": "officers are assigned",
    "on_scene": "they have arrived",
    "closed": "it ended",
}


class Live:
    """lines() says what is new since the last call."""

    def __init__(self, local: Local) -> None:
        self._local = local
        self._lights = [button.name for button in local.buttons if not button.silent]
        self._pins: dict[str, deque[dict[str, Any]]] = {name: deque(maxlen=PINS_KEPT) for name in self._lights}
        self._said: dict[str, str | None] = dict.fromkeys(self._lights)
        self._world = None

    def __enter__(self) -> Live:
        with self._local.store.read() as conn:
            self._after = conn.execute(sa.select(sa.func.coalesce(sa.func.max(events.c.id), 0))).scalar_one()
        return self

    def __exit__(self, *_: object) -> None:
        self._leave_world()

    def lines(self) -> list[str]:
        return [*self._stages(), *self._words()]

    def _stages(self) -> list[str]:
        pressed_at = sa.select(sa.func.max(alarms.c.pressed_at)).where(alarms.c.incident_id == incidents.c.id)
        query = (
            sa.select(events, devices.c.name, devices.c.site_name, pressed_at.scalar_subquery().label("pressed_at"))
            .join(incidents, events.c.incident_id == incidents.c.id)
            .join(devices, incidents.c.device_id == devices.c.id)
            .where(events.c.id > self._after)
            .order_by(events.c.id)
            .limit(AT_ONCE)
        )
        with self._local.store.read() as conn:
            found = conn.execute(query).all()
        lines = []
        for event in found:
            self._after = event.id
            stage = stage_of(event.kind)
            if stage is not None:
                lines.append(_line(event, stage))
        return lines

    def _words(self) -> list[str]:
        """What the lights began to say. The world may be starting again; then there is nothing to see yet."""
        lines = []
        try:
            if self._world is None:
                self._world = self._local.world()
                for pins in self._pins.values():
                    pins.clear()
            for name in self._lights:
                pins = self._pins[name]
                pins.extend(self._world.pins(name, pins[-1]["seq"] if pins else 0))
                said = observe.words(pins)
                word = said[-1].word if said else None
                if word is not None and word != self._said[name]:
                    lines.append(f"{name:12} its light says {word!r}")
                self._said[name] = word
        except (Problem, OSError):
            self._leave_world()
        return lines

    def _leave_world(self) -> None:
        if self._world is not None:
            self._world.close()
            self._world = None


def _line(event: sa.Row[Any], stage: str) -> str:
    after_s = (event.at - event.pressed_at) / 1e6
    line = f"{event.name:12} {stage:13} {after_s:8.2f} s after the press   {MEANS[stage]}"
    data = json.loads(event.data)
    if stage == "received":
        if data.get("lat_e7") is not None:
            line += f"; at {data['lat_e7'] / 1e7:.5f}, {data['lon_e7'] / 1e7:.5f} (within {data['accuracy_m']} m)"
        elif event.site_name:
            line += f"; at {event.site_name}"
        line += f"; pressed at {datetime.fromtimestamp(event.pressed_at / 1e6):%H:%M:%S}"
    if data.get("disposition"):
        line += f": {data['disposition']}"
    return line
