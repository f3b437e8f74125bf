"""Measures one load at one peer, and runs all cases: every round gives each case to each peer, one after another."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from panic_wire.frames import RECEIPT
from sigap.bench import plan
from sigap.bench.load import Load
from sigap.bench.peers import Peer, Peers
from sigap.problem import Problem
from sigap.processes import die_with_parent

LEAD_S = 0.3  # from "go" to the first intended time
DRAIN_LIMIT_S = 30.0  # after the last intended time, for those who have not kept up
QUIET_S = 5.0  # or when nothing more has come for so long
REST_LIMIT_S = 60.0
REST_S = 0.3
SYNC_TIMES, SYNC_BYTES = 100, 8192


@dataclass
class Measured:
    """One peer in one case, over all rounds. waits_ms: press (as intended) to receipt, of those that came."""

    kind: str
    per_s: float
    peer: str
    sent: int = 0
    doubled: int = 0
    waits_ms: list[float] = field(default_factory=list)
    took_s: float = 0.0
    cpu_s: float = 0.0
    late_max_ms: float = 0.0
    rss_mb: float = 0.0

    @property
    def missing(self) -> int:
        return self.sent - len(self.waits_ms)

    def quantile_ms(self, share: float) -> float | None:
        ordered = sorted(self.waits_ms)
        return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None

    def to_dict(self) -> dict[str, Any]:
        received = len(self.waits_ms)
        return {
            "kind": self.kind,
            "peer": self.peer,
            "offered_per_s": self.per_s,
            "carried_per_s": round(received / self.took_s, 1) if self.took_s else 0.0,
            "p50_ms": _rounded(self.quantile_ms(0.5)),
            "p99_ms": _rounded(self.quantile_ms(0.99)),
            "max_ms": _rounded(self.quantile_ms(1.0)),
            "sent": self.sent,
            "missing": self.missing,
            "doubled": self.doubled,
            "cpu_us_per_alarm": round(self.cpu_s / self.sent * 1e6, 1) if self.sent else None,
            "sender_late_max_ms": _rounded(self.late_max_ms),
            "rss_mb": round(self.rss_mb, 1),
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def measure(peer: Peer, load: Load, into: Measured, each_s: Callable[[], None] | None = None) -> None:
    """Send the load to the peer and add what came of it. each_s: called about once a second meanwhile."""
    command = [sys.executable, "-m", "sigap.bench.sender", str(peer.port)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, preexec_fn=die_with_parent
    ) as sender:
        assert sender.stdin is not None
        assert sender.stdout is not None
        sender.stdin.write(load.to_json() + "\n")
        sender.stdin.flush()
        if sender.stdout.readline() != "ready\n":
            raise Problem("the bench's sender did not start", "See what it said above")
        before, cpu = len(peer.receipts.arrived), peer.cpu_s()
        start_ns = time.monotonic_ns() + int(LEAD_S * 1e9)
        sender.stdin.write(f"{start_ns}\n")
        sender.stdin.flush()
        _wait(peer, before + load.count, start_ns + load.intended_ns(load.count - 1), each_s)
        into.cpu_s += peer.cpu_s() - cpu
        said = json.loads(sender.stdout.readline())
    into.late_max_ms = max(into.late_max_ms, said["late_max_ms"])
    into.rss_mb = max(into.rss_mb, peer.rss_mb())
    _count(peer, load, before, start_ns, into)
    if len(into.waits_ms) < into.sent:
        _let_rest(peer)


def _let_rest(peer: Peer) -> None:
    """Until it has done what it has taken on, so that the next case does not pay for this one."""
    deadline, arrived = time.monotonic() + REST_LIMIT_S, peer.receipts.arrived
    while time.monotonic() < deadline and arrived and time.monotonic_ns() - arrived[-1][0] < QUIET_S * 1e9:
        time.sleep(0.1)


def _wait(peer: Peer, wanted: int, last_ns: int, each_s: Callable[[], None] | None) -> None:
    arrived, told = peer.receipts.arrived, time.monotonic()
    while len(arrived) < wanted:
        time.sleep(0.02)
        now = time.monotonic_ns()
        newest = max(last_ns, arrived[-1][0] if arrived else 0)
        if now > newest + QUIET_S * 1e9 or now > last_ns + DRAIN_LIMIT_S * 1e9:
            return
        if each_s is not None and time.monotonic() - told >= 1.0:
            told = time.monotonic()
            each_s()
    time.sleep(0.1)  # a second receipt of the last ones


def _count(peer: Peer, load: Load, before: int, start_ns: int, into: Measured) -> None:
    first: dict[int, int] = {}
    for at, payload in peer.receipts.arrived[before:]:
        index = load.index_of(payload, RECEIPT if peer.answers else None)
        if index is None:
            continue
        if index in first:
            into.doubled += 1
        else:
            first[index] = at
    into.sent += load.count
    into.waits_ms.extend((at - start_ns - load.intended_ns(index)) / 1e6 for index, at in first.items())
    if first:
        into.took_s += (max(first.values()) - start_ns) / 1e9 + 1 / load.per_s


def sync_ms(folder: Path) -> list[float]:
    """How long fdatasync takes here after writing 8 KiB over what is there, in ms, sorted."""
    path = folder / "sync"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
    times = []
    try:
        os.write(descriptor, bytes(SYNC_BYTES * SYNC_TIMES))
        os.fsync(descriptor)
        for number in range(SYNC_TIMES):
            os.pwrite(descriptor, os.urandom(SYNC_BYTES), number * SYNC_BYTES)
            begun = time.perf_counter()
            os.fdatasync(descriptor)
            times.append((time.perf_counter() - begun) * 1e3)
    finally:
        os.close(descriptor)
        path.unlink()
    return sorted(times)


@dataclass
class Results:
    """All that was measured. sync: fdatasync times in ms, taken before, between and after."""

    measured: list[Measured]
    sync: list[float]


def run_cases(
    folder: Path,
    cases: Sequence[plan.Case],
    names: Sequence[str],
    rounds: int,
    node_red: Path | None,
    say: Callable[[str], None],
) -> Results:
    """Start the peers in `folder` (empty) and give each case to each of them, `rounds` times."""
    cases = tuple(cases)
    devices = plan.Devices()
    peers = Peers(folder, plan.devices_needed(cases, rounds), node_red)
    results: dict[tuple[str, float, str], Measured] = {}
    sync = sync_ms(folder)
    try:
        running = {}
        warm_up = devices.load(*plan.WARM_UP)
        for name in names:
            say(f"starting {name}")
            running[name] = peers.start(name)
            measure(running[name], warm_up, Measured("", 0, name))
        for number in range(rounds):
            for case in cases:
                load = devices.load(case.devices, case.per_s, case.count)
                for name in (name for name in case.peers if name in running):
                    time.sleep(REST_S)
                    one = Measured(case.kind, case.per_s, name)
                    measure(running[name], load, one)
                    peers.check()
                    say(f"round {number + 1} of {rounds}: {line_of(one)}")
                    _add(results, one)
            sync += sync_ms(folder)
    finally:
        peers.stop()
    return Results(list(results.values()), sorted(sync))


def _add(results: dict[tuple[str, float, str], Measured], one: Measured) -> None:
    key = (one.kind, one.per_s, one.peer)
    if key not in results:
        results[key] = one
        return
    known = results[key]
    known.sent, known.doubled = known.sent + one.sent, known.doubled + one.doubled
    known.waits_ms += one.waits_ms
    known.took_s, known.cpu_s = known.took_s + one.took_s, known.cpu_s + one.cpu_s
    known.late_max_ms, known.rss_mb = max(known.late_max_ms, one.late_max_ms), max(known.rss_mb, one.rss_mb)


def line_of(one: Measured) -> str:
    """What was measured, for the terminal."""
    said = one.to_dict()
    p50, p99, most = (_ms(said[name]) for name in ("p50_ms", "p99_ms", "max_ms"))
    counts = f"missing {one.missing}, doubled {one.doubled}"
    rates = f"{one.per_s:6,.0f}/s {one.kind:4}  carried {said['carried_per_s']:8,.0f}/s"
    return f"{one.peer:13} {rates}  p50 {p50:>8} p99 {p99:>8} max {most:>8} ms  {said['cpu_us_per_alarm']} us  {counts}"


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:,.1f}"
