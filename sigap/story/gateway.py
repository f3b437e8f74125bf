"""The gateway of a story: its process, what it has on disk, and the operator at its desk."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import alarms, devices, events, incidents
from sigap.local import BROKER, GATEWAY
from sigap.operator import DeskOperator
from sigap.story.alarms import Alarm, AnyGateway, Operator
from sigap.story.parts import Part
from sigap.story.stage import Stage
from sigap.timeline import stage_of


class Desk:
    """The operators' desk, over its own routes; logs in at the first click."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    @cached_property
    def _operator(self) -> DeskOperator:
        return DeskOperator(self._stage.local.login_link())

    def act(self, incident: str, stage: str, **fields: str) -> None:
        if stage == "dispatched":
            fields.setdefault("unit", self._operator.units(incident)[0])
        self._operator.act(incident, stage, **fields)


class Gateway(AnyGateway, Part):
    """The gateway's process. What it knows is read from its disk, so also while it is dead.

    operator: a human at its desk (sigap.story.alarms.Operator).
    """

    name = GATEWAY

    def __init__(self, stage: Stage) -> None:
        AnyGateway.__init__(self, stage.clock)
        Part.__init__(self, stage)
        self.operator = Operator(Desk(stage))

    @property
    def desk_url(self) -> str:
        """The operators' desk, for a browser; `login_link()` of `sigap.local.Local` opens it."""
        return f"http://127.0.0.1:{self._stage.local.ports.gateway}/"

    def health(self) -> dict[str, Any]:
        """What its /health says; {} while nobody answers."""
        return self._stage.local.health()

    def stages(self, alarm: Alarm) -> dict[str, float]:
        of_incident = sa.select(events.c.kind, events.c.at).where(events.c.incident_id == alarm.incident)
        found: dict[str, float] = {}
        with self._stage.local.store.read() as conn:
            for kind, at in conn.execute(of_incident.order_by(events.c.id)).all():
                stage = stage_of(kind)
                if stage is not None:
                    found.setdefault(stage, at / 1e6)
        return found

    def _alarms(self) -> list[Alarm]:
        known = (
            sa.select(alarms, devices.c.name, incidents.c.test, incidents.c.state)
            .join(devices, devices.c.id == alarms.c.device_id)
            .join(incidents, incidents.c.id == alarms.c.incident_id)
            .order_by(alarms.c.received_at, alarms.c.activation)
        )
        with self._stage.local.store.read() as conn:
            return [_alarm(row) for row in conn.execute(known).all()]

    def _how(self) -> str:
        return self._stage.how()

    def _is_ready(self) -> bool:
        # While there is no broker it waits for one; else it is ready when it has subscribed.
        health = self.health()
        alone = not self._stage.serves(BROKER)
        return bool(health) and (alone or "broker-not-connected" not in health.get("problems", []))


def _alarm(row: Any) -> Alarm:
    return Alarm(
        board=row.name,
        activation=row.activation,
        incident=row.incident_id,
        test=bool(row.test),
        silent=bool(row.silent),
        state=row.state,
        pressed_at=row.pressed_at / 1e6,
        received_at=row.received_at / 1e6,
        position=None if row.lat_e7 is None else (row.lat_e7 / 1e7, row.lon_e7 / 1e7),
    )
