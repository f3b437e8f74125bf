"""How far each police system is with one incident: what it was told, what it said. Times as the desk shows them."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

import sqlalchemy as sa

from gateway.desk.times import local
from gateway.incidents import stages
from gateway.store.schema import deliveries

BACKEND = "backend:"
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
    """One row a backend, by name: {"name", "state": accepted, told, waiting or dead, "at": since when, "attempts",
    "error", "reference": what it calls the incident, "said": its newest stage, or None}."""
    found: dict[str, dict[str, Any]] = {}
    for row in conn.execute(_OF_BACKENDS, {"incident": incident_id}).all():
        one = found.setdefault(row.destination, _nothing(row.destination))
        if row.state == "done":
            if one["state"] is None:
                one |= {"state": "told", "at": local(row.done_at, zone)}
        elif one["state"] not in ("waiting", "dead"):
            since = row.created_at if row.state == "pending" else row.done_at
            state = "waiting" if row.state == "pending" else "dead"
            one |= {"state": state, "at": local(since, zone), "attempts": row.attempts, "error": row.last_error}
    for event in happened:
        if not event.actor.startswith(BACKEND):
            continue
        one = found.setdefault(event.actor, _nothing(event.actor))
        if event.kind in TAKES:
            one["reference"] = event.data.get("reference")
            if one["state"] in (None, "told"):  # what could not be told since goes before
                one |= {"state": "accepted", "at": local(event.at, zone)}
        elif event.kind in stages.STAGES:
            one["said"] = event.kind
    return [found[name] for name in sorted(found)]


def _nothing(destination: str) -> dict[str, Any]:
    name = destination.removeprefix(BACKEND)
    return {"name": name, "state": None, "at": None, "attempts": 0, "error": None, "reference": None, "said": None}
