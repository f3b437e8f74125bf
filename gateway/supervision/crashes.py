"""The last lines of a device that crashed, put together from the parts in which it sends them.

A part has a number and no name of its crash. It belongs to the newest crash of its device, unless that has other text
there already or got its last part long ago: then it begins another.
"""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import crashes

MOST = 20  # kept of each device; a crash has 256 parts of 90 bytes at most
TOGETHER_US = 600_000_000
MISSING = " […] "


def take(conn: sa.Connection, device_id: int, part: int, content: bytes, received_at: int) -> bool:
    """Add a part; True when it began another crash."""
    query = sa.select(crashes).where(crashes.c.device_id == device_id).order_by(crashes.c.id.desc()).limit(1)
    newest = conn.execute(query).first()
    parts = {} if newest is None else json.loads(newest.parts)
    is_of_newest = (
        newest is not None
        and received_at - newest.at <= TOGETHER_US
        and parts.get(str(part), content.hex()) == content.hex()
    )
    if newest is not None and is_of_newest:
        parts[str(part)] = content.hex()
        values = {"parts": json.dumps(parts), "at": max(received_at, newest.at)}
        conn.execute(crashes.update().where(crashes.c.id == newest.id).values(**values))
        return False
    conn.execute(crashes.insert().values(device_id=device_id, at=received_at, parts=json.dumps({part: content.hex()})))
    old = sa.select(crashes.c.id).where(crashes.c.device_id == device_id).order_by(crashes.c.id.desc())
    oldest = conn.execute(old.offset(MOST).limit(1)).scalar()
    if oldest is not None:
        conn.execute(crashes.delete().where(crashes.c.device_id == device_id, crashes.c.id <= oldest))
    return True


def listed(conn: sa.Connection, device_id: int) -> list[dict[str, Any]]:
    """[{"at", "text"}], the newest first; a part that did not come is shown as missing."""
    query = sa.select(crashes).where(crashes.c.device_id == device_id).order_by(crashes.c.id.desc())
    return [{"at": row.at, "text": _text(json.loads(row.parts))} for row in conn.execute(query)]


def _text(parts: dict[str, str]) -> str:
    said, known = [], {int(number): bytes.fromhex(content) for number, content in parts.items()}
    whole = b""  # a character may be cut by the end of a part
    for number in range(max(known) + 1):
        if number in known:
            whole += known[number]
        elif whole or not said:
            said += [whole.decode("utf-8", "replace"), MISSING]
            whole = b""
    return "".join([*said, whole.decode("utf-8", "replace")]).strip()
