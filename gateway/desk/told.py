"""How far each police system is with one incident: what it was told, what it said. Times as the desk shows them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.backend_settings import BACKEND
from gateway.desk.times import local
from gateway.incidents import stages
from gateway.store.schema import deliveries

TAKES = (stages.ACCEPTED, stages.TAKEN)
_OF_BACKENDS = (
    sa.select(
        *(deliveries.c[name] for name in ("destination", "state", "attempts", "last_error", "created_at", "done_at"))
    )
    .where(deliveries.c.incident_id == sa.bindparam("incident"), deliveries.c.destination.like(f"{BACKEND}%"))
    .order_by(deliveries.c.created_at)
)


def backends(
    conn: sa.Connection, incident_id: str, happened: list[stages.Event], zone: ZoneInfo
) -> list[dict[str, Any]]:
    """One row a backend, by name: {"name", "state": waiting, told or accepted, "at": since when, "reference": what it
    calls the incident, "said": its newest stage, "amiss": failing or dead, of something that it should know, or None,
    "error", "attempts"}."""
    found: dict[str, dict[str, Any]] = {}
    for row in conn.execute(_OF_BACKENDS, {"incident": incident_id}).all():
        one = found.setdefault(row.destination, _waits(row.destination, local(row.created_at, zone)))
        if row.state == "done":
            if one["state"] == "waiting":
                one |= {"state": "told", "at": local(row.done_at, zone)}
        elif row.last_error is not None and one["amiss"] is None:
            amiss = "failing" if row.state == "pending" else "dead"
            one |= {"amiss": amiss, "error": row.last_error, "attempts": row.attempts}
    for event in happened:
        if not event.actor.startswith(BACKEND):
            continue
        one = found.setdefault(event.actor, _waits(event.actor, local(event.at, zone)))
        if event.kind in TAKES and one["state"] != "accepted":
            one |= {"state": "accepted", "at": local(event.at, zone), "reference": event.data.get("reference")}
        elif event.kind in stages.STAGES:
            one["said"] = event.kind
    return [found[name] for name in sorted(found)]


def _waits(destination: str, since: Any) -> dict[str, Any]:
    nothing = dict.fromkeys(("reference", "said", "amiss", "error"))
    return {"name": destination.removeprefix(BACKEND), "state": "waiting", "at": since, "attempts": 0, **nothing}
