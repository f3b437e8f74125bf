"""Times as the desk shows them."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo


def local(at: int, zone: ZoneInfo) -> datetime:
    """Microseconds UTC as a time of the district."""
    return datetime.fromtimestamp(at / 1e6, UTC).astimezone(zone)
