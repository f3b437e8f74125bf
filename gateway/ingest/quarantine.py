"""Where messages go that cannot be taken: kept with their reason, bounded, counted for good, never acted
upon."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from gateway.ingest.intake import PAYLOAD_KEPT_BYTES, TOPIC_KEPT, Uplink
from gateway.ingest.judge import Rejection
from gateway.outbox.rows import count
from gateway.store.schema import counts, quarantine

MOST_ROWS = 10_000
DETAIL_KEPT = 300
COUNT_PREFIX = "quarantine."


def add(conn: sa.Connection, refused: Sequence[tuple[Uplink, Rejection]]) -> None:
    """Keep these messages (the newest 10,000 of all) and count each under its reason."""
    if not refused:
        return
    conn.execute(
        quarantine.insert(),
        [
            {
                "at": message.received_at,
                "topic": printable(message.topic, TOPIC_KEPT),
                "reason": rejection.reason,
                "detail": printable(rejection.detail, DETAIL_KEPT),
                "size_bytes": message.size_bytes,
                "payload": message.payload[:PAYLOAD_KEPT_BYTES],
            }
            for message, rejection in refused
        ],
    )
    newest = sa.select(sa.func.max(quarantine.c.id)).scalar_subquery()
    conn.execute(quarantine.delete().where(quarantine.c.id <= newest - MOST_ROWS))
    reasons: dict[str, int] = {}
    for _, rejection in refused:
        reasons[rejection.reason] = reasons.get(rejection.reason, 0) + 1
    for reason, number in reasons.items():
        count(conn, COUNT_PREFIX + reason, number)


def summary(conn: sa.Connection) -> dict[str, int]:
    """How many messages were refused for each reason, ever."""
    query = sa.select(counts.c.name, counts.c.value).where(counts.c.name.startswith(COUNT_PREFIX))
    rows = conn.execute(query.order_by(counts.c.name)).all()
    return {row.name.removeprefix(COUNT_PREFIX): row.value for row in rows}


def newest(conn: sa.Connection, limit: int, reason: str | None = None) -> list[dict[str, Any]]:
    """The newest rows, newest first; `payload` as hex."""
    query = sa.select(quarantine).order_by(quarantine.c.id.desc()).limit(limit)
    if reason is not None:
        query = query.where(quarantine.c.reason == reason)
    rows = conn.execute(query).mappings().all()
    return [{**row, "payload": bytes(row["payload"]).hex()} for row in rows]


def printable(text: str, limit: int) -> str:
    """Safe in a terminal and in either database: what cannot be printed is escaped."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[:limit])[:limit]
