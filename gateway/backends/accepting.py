"""What follows when a far side says that it has accepted an incident: the one place where that is recorded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection

from gateway.clock import Clock, now_us
from gateway.outbox.port import Delivery

REFERENCE_CHARACTERS = 200

# Book.record_stage(conn, incident_id, stage, actor, data, now_us) -> whether the incident changed
RecordStage = Callable[[Connection, str, str, str, dict[str, Any], int], object]
# accept(delivery, reference) -> an Outcome's effect. reference: what the far side calls it, where it said so.
Accept = Callable[[Delivery, object], Callable[[Connection], object]]


def accepts(record_stage: RecordStage, clock: Clock = now_us) -> Accept:
    """Record the stage `accepted` in the transaction that marks the delivery done; its actor is the destination."""

    def accept(delivery: Delivery, reference: object) -> Callable[[Connection], object]:
        data: dict[str, Any] = {"delivery": delivery.id}
        if isinstance(reference, str) and reference:
            data["reference"] = reference[:REFERENCE_CHARACTERS]

        def effect(conn: Connection) -> object:
            return record_stage(conn, delivery.incident_id, "accepted", delivery.destination, data, clock())

        return effect

    return accept
