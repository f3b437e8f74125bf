"""What is amiss with destinations: who was not told in time, and what was given up. Read from the store alone, so that
pages and commands of another process see the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection

from gateway.outbox import rows


def deadline_s(destination: str, deadlines: Mapping[str, float]) -> float | None:
    """Of a destination's name: its own, or that of its prefix; None when nobody here serves it."""
    if destination in deadlines:
        return deadlines[destination]
    return deadlines.get(destination.partition(":")[0] + ":")


def listed(conn: Connection, now_us: int, deadlines: Mapping[str, float]) -> list[dict[str, Any]]:
    """Destinations with something late or dead, what waits for longest first, at most those of `rows.backlog`; and
    those whose supervision gets no answer.

    deadlines: seconds by prefix (`Outbox.deadlines`). [{"destination", "pending", "since": microseconds when the oldest
    that waits was written, or None, "late": whether that is too long ago, "dead": letters, "last_error"}]
    """
    dead = rows.dead_counts(conn)
    found = []
    for each in rows.backlog(conn):
        limit_s = deadline_s(each.destination, deadlines)
        late = limit_s is None or now_us - each.oldest_at > limit_s * 1e6
        letters = dead.pop(each.destination, 0)
        if late or letters:
            found.append(
                {
                    "destination": each.destination,
                    "pending": each.pending,
                    "since": each.oldest_at,
                    "late": late,
                    "dead": letters,
                    "last_error": each.last_error,
                }
            )
    named = {each["destination"] for each in found}
    for one in rows.silences(conn):
        if one.destination not in named:
            about = {"destination": one.destination, "since": one.since_at, "last_error": one.error}
            found.append({**about, "pending": 0, "late": True, "dead": dead.pop(one.destination, 0)})
    nothing = {"pending": 0, "since": None, "late": False, "last_error": None}
    return found + [{"destination": name, **nothing, "dead": number} for name, number in sorted(dead.items())]
