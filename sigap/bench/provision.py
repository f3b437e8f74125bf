"""Stores that know the bench's devices. Apart from load.py, which the sender loads: that one should begin at once."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.registry.people import add_owner
from gateway.store.engine import open_store
from gateway.store.schema import devices
from sigap.bench.load import FIRST_ID, root_key

OWNER = "Bench"


def provision(url: str, devices_wanted: int) -> None:
    """A new store with this many devices from FIRST_ID on, all of one owner without relatives."""
    with open_store(url) as store, store.write() as conn:
        owner = add_owner(conn, name=OWNER, registered_message="Tolong.", now_us=0)
        rows = [
            {"id": each, "name": f"bench-{each}", "root_key": root_key(each), "owner_id": owner.id, "created_at": 0}
            for each in range(FIRST_ID, FIRST_ID + devices_wanted)
        ]
        conn.execute(sa.insert(devices), rows)
