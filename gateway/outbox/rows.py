"""The SQL that matters, in one place: what happens to a row of `deliveries`, for SQLite and PostgreSQL alike.

A delivery is `pending` until its destination has it, then `done`; or it is `dead`, a letter that is kept but no longer
sent (RetryPolicy says when), and pending again when somebody asks for it. Whoever works on it holds a lease
(`leased_until`); the lease of a process that was killed runs out, and the work is done again, with the same
id. Of one incident, one destination is told things in the order of `created_at`: a younger delivery waits
for an elder that is pending.
All times are microseconds since 1970, UTC.
"""

from __future__ import annotations

import functools
import json
import os
import threading
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy import Connection

from gateway.outbox.port import LATE_AFTER_S, Delivery
from gateway.store.engine import ENQUEUED
from gateway.store.prepared import prepared

LAST_ERROR_LIMIT = 500  # characters

# Strictly after its elders of the same incident and destination, even when the clock was set back meanwhile.
ENQUEUE = """
INSERT INTO deliveries (id, destination, incident_id, kind, payload, state, attempts, next_at, created_at)
SELECT :id, :destination, :incident_id, :kind, :payload, 'pending', 0, :now,
       CASE WHEN elder.at >= :now THEN elder.at + 1 ELSE :now END
FROM (SELECT coalesce(max(created_at), 0) AS at FROM deliveries
      WHERE incident_id = :incident_id AND destination = :destination) AS elder
"""

YOUNGEST = """
SELECT id, attempts, leased_until, state, payload FROM deliveries
WHERE incident_id = :incident_id AND destination = :destination ORDER BY created_at DESC LIMIT 1
"""

REPLACE_UNSENT = """
UPDATE deliveries SET payload = :payload
WHERE id = :id AND state = 'pending' AND attempts = 0 AND leased_until IS NULL
"""

FREE = "d.state = 'pending' AND (d.leased_until IS NULL OR d.leased_until <= :now)"

FIRST_IN_LINE = """
NOT EXISTS (SELECT 1 FROM deliveries AS elder
            WHERE elder.incident_id = d.incident_id AND elder.destination = d.destination
              AND elder.state = 'pending' AND elder.created_at < d.created_at)
"""

DUE = f"""
SELECT d.id FROM deliveries AS d
WHERE {FREE} AND {{match}} AND d.next_at <= :until AND {FIRST_IN_LINE}
ORDER BY d.next_at, d.created_at LIMIT :limit
"""

# Of one destination: what is fresh goes before what is late, and of what is late the newest incident before older ones.
# A long outage must not make today's alarm wait behind all of yesterday's.
DUE_FRESH = f"""
SELECT d.id FROM deliveries AS d
WHERE {FREE} AND {{match}} AND d.created_at >= :late AND d.next_at <= :until AND {FIRST_IN_LINE}
ORDER BY d.created_at LIMIT :limit
"""

DUE_LATE = f"""
SELECT d.id FROM deliveries AS d
WHERE {FREE} AND {{match}} AND d.created_at < :late AND d.next_at <= :until AND {FIRST_IN_LINE}
ORDER BY d.created_at DESC LIMIT :limit
"""

NEXT_AT = """
SELECT min(at) FROM (
  SELECT min(d.next_at) AS at FROM deliveries AS d
  WHERE d.state = 'pending' AND {match} AND d.next_at > :now AND d.leased_until IS NULL
  UNION ALL
  SELECT min(d.leased_until) AS at FROM deliveries AS d
  WHERE d.state = 'pending' AND {match} AND d.leased_until > :now
) AS soonest
"""

CLAIM = f"""
UPDATE deliveries AS d SET leased_until = :until, attempts = d.attempts + 1
WHERE d.id = :id AND {FREE}
RETURNING id, destination, incident_id, kind, payload, attempts, created_at
"""

FINISH = """
UPDATE deliveries SET state = 'done', done_at = :now, leased_until = NULL, last_error = NULL
WHERE id = :id AND state = 'pending'
"""

RETRY_LATER = """
UPDATE deliveries SET next_at = :next_at, leased_until = NULL, last_error = :error
WHERE id = :id AND state = 'pending'
"""

RETRY_NOW = """
UPDATE deliveries AS d SET next_at = :now WHERE d.state = 'pending' AND {match} AND d.next_at > :now
"""

GIVE_UP = """
UPDATE deliveries SET state = 'dead', done_at = :now, leased_until = NULL, last_error = :error
WHERE id = :id AND state = 'pending'
"""

RESEND = """
UPDATE deliveries SET state = 'pending', done_at = NULL, next_at = :now WHERE id = :id AND state = 'dead'
"""

RELEASE = "UPDATE deliveries SET leased_until = NULL WHERE id = :id AND state = 'pending'"

NOT_BEGUN = """
UPDATE deliveries SET leased_until = NULL, attempts = attempts - 1
WHERE id = :id AND state = 'pending' AND leased_until IS NOT NULL AND attempts > 0
"""

DROP_LEASES = """
UPDATE deliveries AS d SET leased_until = NULL WHERE d.state = 'pending' AND {match} AND d.leased_until IS NOT NULL
"""

DEAD = """
SELECT id, destination, incident_id, kind, attempts, last_error, created_at, done_at AS died_at
FROM deliveries WHERE state = 'dead' ORDER BY done_at DESC, id LIMIT :limit
"""

DEAD_COUNTS = "SELECT destination, count(*) AS dead FROM deliveries WHERE state = 'dead' GROUP BY destination"

TOLD_BEFORE = """
SELECT payload FROM deliveries
WHERE incident_id = :incident_id AND destination = :destination AND state = 'done' AND created_at < :before
ORDER BY created_at {order} LIMIT :limit
"""

TOLD_NEWEST = """
SELECT payload FROM deliveries WHERE destination = :destination AND state = 'done' ORDER BY done_at DESC LIMIT :limit
"""

TOLD_ONE = """
SELECT payload, created_at FROM deliveries WHERE id = :id AND destination = :destination AND state = 'done'
"""

BACKLOG = """
SELECT destination, count(*) AS pending, min(created_at) AS oldest_at, max(attempts) AS most_attempts
FROM deliveries WHERE state = 'pending' GROUP BY destination ORDER BY min(created_at) LIMIT :limit
"""

WORST_ERROR = """
SELECT last_error FROM deliveries
WHERE state = 'pending' AND destination = :destination AND last_error IS NOT NULL
ORDER BY attempts DESC LIMIT 1
"""

SILENT = """
INSERT INTO silences (destination, since_at, error) VALUES (:destination, :now, :error)
ON CONFLICT (destination) DO UPDATE SET error = :error
"""

NOT_SILENT = "DELETE FROM silences WHERE destination = :destination"

SILENCES = "SELECT destination, since_at, error FROM silences ORDER BY since_at, destination"

COUNT = """
INSERT INTO counts (name, value) VALUES (:name, :by)
ON CONFLICT (name) DO UPDATE SET value = counts.value + :by
"""


@dataclass(frozen=True)
class Backlog:
    """What still waits for one destination."""

    destination: str
    pending: int
    oldest_at: int
    most_attempts: int
    last_error: str | None


@dataclass(frozen=True)
class DeadLetter:
    """A delivery that was given up. Times in microseconds, UTC."""

    id: str
    destination: str
    incident_id: str
    kind: str
    attempts: int
    last_error: str | None
    created_at: int
    died_at: int


def enqueue(
    conn: Connection,
    *,
    destination: str,
    incident_id: str,
    kind: str,
    payload: dict[str, Any],
    now_us: int,
    delivery_id: str | None = None,
) -> str:
    """Add a delivery, in the caller's transaction (the one of the event that causes it); returns its id."""
    delivery_id = delivery_id or new_id(now_us)
    values = {
        "id": delivery_id,
        "destination": destination,
        "incident_id": incident_id,
        "kind": kind,
        "payload": _to_json(payload),
        "now": now_us,
    }
    conn.execute(_sql(ENQUEUE), values)
    conn.info.setdefault(ENQUEUED, set()).add(destination)
    return delivery_id


def unsent(conn: Connection, destination: str, incident_id: str, change: str) -> str | None:
    """The id of the youngest delivery about this incident, if nobody was sent it yet and it tells of such a change."""
    row = conn.execute(_sql(YOUNGEST), {"destination": destination, "incident_id": incident_id}).first()
    if row is None or row.state != "pending" or row.attempts or row.leased_until is not None:
        return None
    return row.id if json.loads(row.payload)["data"]["change"] == change else None


def replace_unsent(conn: Connection, delivery_id: str, payload: dict[str, Any]) -> bool:
    """Say it as it is now; False when somebody has begun to send it, which keeps the bytes of an id what they are."""
    text = json.dumps(payload, ensure_ascii=False, separators=(",", ":"))
    return conn.execute(_sql(REPLACE_UNSENT), {"id": delivery_id, "payload": text}).rowcount == 1


def due(conn: Connection, *, prefix: str, now_us: int, limit: int, early: bool = False) -> list[str]:
    """Ids that may be claimed now: of one destination what is fresh first, oldest first, then what is late, newest
    first; of many the longest waiting first. early: also those whose next attempt is not due yet
    (the probe of a destination that was down)."""
    values = {"now": now_us, "until": (1 << 62) if early else now_us, "limit": limit}
    if prefix.endswith(":") or not prefix:  # many destinations, each with few deliveries
        return list(conn.execute(*_matching(conn, DUE, prefix, values)).scalars())
    values["late"] = now_us - LATE_AFTER_S * 1_000_000
    ids = list(conn.execute(*_matching(conn, DUE_FRESH, prefix, values)).scalars())
    if len(ids) < limit:
        values["limit"] = limit - len(ids)
        ids += conn.execute(*_matching(conn, DUE_LATE, prefix, values)).scalars()
    return ids


def next_at(conn: Connection, *, prefix: str, now_us: int) -> int | None:
    """When the next delivery comes due or the next lease runs out; None when nothing waits."""
    return conn.execute(*_matching(conn, NEXT_AT, prefix, {"now": now_us})).scalar()


def claim(conn: Connection, ids: Sequence[str], *, now_us: int, lease_us: int) -> list[Delivery]:
    """Lease those of `ids` that are still free; their attempt counts from here, so a crash counts too."""
    claimed = []
    for delivery_id in ids:
        values = {"id": delivery_id, "now": now_us, "until": now_us + lease_us}
        row = conn.execute(_sql(CLAIM), values).one_or_none()
        if row is not None:
            payload = json.loads(row.payload)
            claimed.append(
                Delivery(row.id, row.destination, row.incident_id, row.kind, payload, row.attempts, row.created_at)
            )
    return claimed


def finish(
    conn: Connection,
    delivery_id: str,
    *,
    now_us: int,
    effect: Callable[[Connection], object] | None = None,
) -> bool:
    """Mark it done and run `effect` in the same transaction; False, and no effect, if it was done before."""
    if conn.execute(_sql(FINISH), {"id": delivery_id, "now": now_us}).rowcount != 1:
        return False
    if effect is not None:
        effect(conn)
    return True


def retry_later(conn: Connection, delivery_id: str, *, next_at: int, error: str) -> None:
    """Give the lease back and say when to try again and why it failed."""
    values = {"id": delivery_id, "next_at": next_at, "error": error[:LAST_ERROR_LIMIT]}
    conn.execute(_sql(RETRY_LATER), values)


def retry_now(conn: Connection, *, prefix: str, now_us: int) -> int:
    """Everything that waits for this destination is due at once (it is back); returns how many."""
    return conn.execute(*_matching(conn, RETRY_NOW, prefix, {"now": now_us})).rowcount


def drop_leases(conn: Connection, *, prefix: str = "") -> int:
    """Leases of a process that is known to be gone: at the start of the one process that serves this destination
    ("": all of them)."""
    return conn.execute(*_matching(conn, DROP_LEASES, prefix, {})).rowcount


def release(conn: Connection, ids: Iterable[str]) -> None:
    """Give leases back without an outcome: whoever held them ends in order, and another may go on at once."""
    for delivery_id in ids:
        conn.execute(_sql(RELEASE), {"id": delivery_id})


def not_begun(conn: Connection, ids: Iterable[str]) -> None:
    """Give leases back of what was claimed and never tried: it counts as no attempt."""
    for delivery_id in ids:
        conn.execute(_sql(NOT_BEGUN), {"id": delivery_id})


def give_up(conn: Connection, delivery_id: str, *, now_us: int, error: str) -> None:
    """Make it a dead letter. What is younger of its incident goes on."""
    conn.execute(_sql(GIVE_UP), {"id": delivery_id, "now": now_us, "error": error[:LAST_ERROR_LIMIT]})


def resend(conn: Connection, delivery_id: str, *, now_us: int) -> bool:
    """A dead letter is due again, with the id it always had; False when there is no such dead letter."""
    return conn.execute(_sql(RESEND), {"id": delivery_id, "now": now_us}).rowcount == 1


def dead(conn: Connection, limit: int) -> list[DeadLetter]:
    """Dead letters, those that died last first."""
    return [DeadLetter(*row) for row in conn.execute(_sql(DEAD), {"limit": limit}).all()]


def dead_counts(conn: Connection) -> dict[str, int]:
    """How many dead letters each destination has."""
    return {row.destination: row.dead for row in conn.execute(_sql(DEAD_COUNTS)).all()}


def told_before(
    conn: Connection, destination: str, incident_id: str, before: int, most: int = 50
) -> list[dict[str, Any]]:
    """Payloads that this destination was told of an incident, of those written before then, oldest first; of more
    than `most` the first and the newest."""
    about = {"destination": destination, "incident_id": incident_id, "before": before}

    def told(order: str, limit: int) -> list[dict[str, Any]]:
        query = _sql(TOLD_BEFORE.replace("{order}", order))
        return [json.loads(text) for text in conn.execute(query, {**about, "limit": limit}).scalars()]

    newest = told("DESC", most)[::-1]
    return newest if len(newest) < most else [*told("ASC", 1), *newest[1:]]


def told_newest(conn: Connection, destination: str, limit: int) -> list[dict[str, Any]]:
    """Payloads that this destination was told last, newest first."""
    values = {"destination": destination, "limit": limit}
    return [json.loads(text) for text in conn.execute(_sql(TOLD_NEWEST), values).scalars()]


def told_one(conn: Connection, destination: str, delivery_id: str) -> tuple[dict[str, Any], int] | None:
    """(payload, when it was written) of one delivery that this destination was told, or None."""
    row = conn.execute(_sql(TOLD_ONE), {"id": delivery_id, "destination": destination}).first()
    return None if row is None else (json.loads(row.payload), row.created_at)


def backlog(conn: Connection, limit: int = 200) -> list[Backlog]:
    """What waits, by destination, oldest first; at most `limit` destinations."""
    rows = conn.execute(_sql(BACKLOG), {"limit": limit}).all()
    return [
        Backlog(
            row.destination,
            row.pending,
            row.oldest_at,
            row.most_attempts,
            conn.execute(_sql(WORST_ERROR), {"destination": row.destination}).scalar(),
        )
        for row in rows
    ]


def set_silence(conn: Connection, destination: str, error: str | None, now_us: int) -> None:
    """Keep that its supervision gets no answer, since the first time; None: it answers."""
    if error is None:
        conn.execute(_sql(NOT_SILENT), {"destination": destination})
    else:
        values = {"destination": destination, "now": now_us, "error": error[:LAST_ERROR_LIMIT]}
        conn.execute(_sql(SILENT), values)


def silences(conn: Connection) -> list[sa.Row]:
    """(destination, since_at, error) of those that do not answer, longest first."""
    return list(conn.execute(_sql(SILENCES)).all())


def count(conn: Connection, name: str, by: int = 1) -> None:
    """Add to one of the lasting counts."""
    conn.execute(_sql(COUNT), {"name": name, "by": by})


def _matching(
    conn: Connection, query: str, prefix: str, values: dict[str, Any]
) -> tuple[sa.TextClause, dict[str, Any]]:
    """The query for an exact destination, for all that begin with a prefix that ends in ":", or for all ("")."""
    if not prefix:
        return _sql(query.replace("{match}", "1 = 1")), values
    if not prefix.endswith(":"):
        return _sql(query.replace("{match}", "d.destination = :exact")), {**values, "exact": prefix}
    # A range, so that the index serves it; SQLite compares bytes by itself, PostgreSQL when told to.
    column = "d.destination" if conn.dialect.name == "sqlite" else 'd.destination COLLATE "C"'
    match = f"({column} >= :low AND {column} < :high)"
    # ";" follows ":" in ASCII, so it is the first thing that no longer begins with the prefix.
    bounds = {"low": prefix, "high": prefix[:-1] + ";"}
    return _sql(query.replace("{match}", match)), {**values, **bounds}


@functools.lru_cache(maxsize=64)  # parsing the parameters' names costs more than the insert
def _sql(text: str) -> sa.TextClause:
    return prepared(sa.text(text))


_to_json = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode  # json.dumps makes one each time

_last_stamp = 0
_stamp_lock = threading.Lock()
_random = b""
_DRAWN_BYTES = 4096  # at once: each call of the system costs as much as a statement


def new_id(now_us: int) -> str:
    """A UUIDv7 (RFC 9562, 5.7), in this process in the order of the calls: kind to the index."""
    global _last_stamp, _random
    with _stamp_lock:
        _last_stamp = stamp = max(_last_stamp + 1, now_us)
        if not _random:
            _random = os.urandom(_DRAWN_BYTES)
        drawn, _random = _random[:8], _random[8:]
    milliseconds, rest = divmod(stamp, 1000)
    value = (milliseconds & ((1 << 48) - 1)) << 80 | 7 << 76
    value |= rest << 66  # the upper 10 of rand_a's 12 bits
    value |= 0b10 << 62 | int.from_bytes(drawn, "big") >> 2
    text = f"{value:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
