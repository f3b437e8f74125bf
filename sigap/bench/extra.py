"""Two longer questions that `make bench` leaves out: does memory stay flat, do ten million events slow it down?"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.incidents.stages import CLOSED
from gateway.store.engine import open_store
from gateway.store.schema import devices
from sigap.bench import plan
from sigap.bench.load import FIRST_ID
from sigap.bench.peers import SIGAP, Peer, Peers
from sigap.bench.run import REST_S, Measured, measure

MEMORY_PER_S = 2_000.0
MEMORY_DEVICES = 20_000
TELL_EVERY = 10  # seconds
FILLED = "sigap-filled"
ROWS_PER_S, ROWS_SECONDS = 1_000.0, 5.0
ROWS_PER_INCIDENT = 10
FILL_INCIDENTS = """
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :many)
INSERT INTO incidents (id, device_id, state, opened_at, changed_at, disposition)
SELECT printf('00000000-0000-7000-8000-%012d', i), :device, :closed, i, i, 'genuine' FROM n
"""
FILL_EVENTS = """
WITH RECURSIVE n(i) AS (SELECT :first UNION ALL SELECT i + 1 FROM n WHERE i < :last)
INSERT INTO events (incident_id, at, kind, actor, data)
SELECT printf('00000000-0000-7000-8000-%012d', i / :each + 1), i, 'position', 'device:10000000',
       :data FROM n
"""
DATA = '{"activation":1,"lat_e7":-69905000,"lon_e7":1104203000,"accuracy_m":8,"fix_at":1795667978411402}'
FILLED_AT_ONCE = 1_000_000


def memory(folder: Path, minutes: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Give the gateway 2,000 alarms a second for so long; its memory over time, and what became of the alarms."""
    count = round(MEMORY_PER_S * minutes * 60)
    warm, loads = plan.WARM_UP, plan.Devices()
    peers = Peers(folder, MEMORY_DEVICES + warm[0], None)
    rss: list[tuple[int, float]] = []
    begun = 0.0
    one = Measured(plan.MANY, MEMORY_PER_S, SIGAP)
    try:
        peer = peers.start(SIGAP)
        measure(peer, loads.load(*warm), Measured("", 0, SIGAP))

        def look() -> None:
            at = round(time.monotonic() - begun)
            if not rss or at - rss[-1][0] >= TELL_EVERY:
                rss.append((at, round(peer.rss_mb(), 1)))
                say(f"{at:5} s  {rss[-1][1]:8.1f} MB  {len(peer.receipts.arrived):,} receipts")

        begun = time.monotonic()
        measure(peer, loads.load(MEMORY_DEVICES, MEMORY_PER_S, count), one, look)
    finally:
        peers.stop()
    return {"per_s": MEMORY_PER_S, "minutes": minutes, "rss_mb": rss, **one.to_dict()}


def many_rows(folder: Path, rows: int, rounds: int, say: Callable[[str], None]) -> dict[str, Any]:
    """Two gateways in turn, one with so many old events in its store; p99 of both."""
    loads, count = plan.Devices(), round(ROWS_PER_S * ROWS_SECONDS)
    needed = plan.WARM_UP[0] + rounds * plan.FEW_DEVICES
    found = {name: Measured(plan.FEW, ROWS_PER_S, name) for name in (SIGAP, FILLED)}
    all_peers = {name: Peers(folder / name, needed, None) for name in found}
    try:
        running: dict[str, Peer] = {}
        for name, peers in all_peers.items():
            running[name] = peers.start(SIGAP)
        store = running[FILLED].store
        assert store is not None
        say(f"writing {rows:,} events")
        _fill(store, rows)
        warm_up = loads.load(*plan.WARM_UP)
        for peer in running.values():
            measure(peer, warm_up, Measured("", 0, SIGAP))
        for number in range(rounds):
            load = loads.load(plan.FEW_DEVICES, ROWS_PER_S, count)
            for name, peer in running.items():
                time.sleep(REST_S)
                measure(peer, load, found[name])
            p99 = {name: one.to_dict()["p99_ms"] for name, one in found.items()}
            say(f"round {number + 1} of {rounds}: p99 {p99[SIGAP]} ms, with {rows:,} events {p99[FILLED]} ms")
    finally:
        for peers in all_peers.values():
            peers.stop()
    return {"rows": rows, "cases": [one.to_dict() for one in found.values()]}


def _fill(url: str, rows: int) -> None:
    with open_store(url) as store:
        with store.write() as conn:
            device = conn.execute(sa.select(sa.func.min(devices.c.id))).scalar() or FIRST_ID
            many = {"many": rows // ROWS_PER_INCIDENT + 1, "device": device, "closed": CLOSED}
            conn.execute(sa.text(FILL_INCIDENTS), many)
        for first in range(0, rows, FILLED_AT_ONCE):
            last = min(rows, first + FILLED_AT_ONCE) - 1
            with store.write() as conn:
                values = {"first": first, "last": last, "each": ROWS_PER_INCIDENT, "data": DATA}
                conn.execute(sa.text(FILL_EVENTS), values)
            store.checkpoint(hard=True)
