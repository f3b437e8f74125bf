"""Press to accepted: how long until a fast police system, told by webhook, has said that it takes the incident."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sigap.bench import plan
from sigap.bench.peers import NAIVE, SIGAP, Peers, listens
from sigap.bench.receiver import Lines
from sigap.bench.run import REST_S, Measured, line_of, measure
from sigap.problem import Problem
from sigap.processes import die_with_parent, free_port

KIND = "accepted"
RATES, SECONDS = (100.0, 1_000.0), 5.0
NAMES = (SIGAP, NAIVE)
START_LIMIT_S = 20.0
WORK = {
    SIGAP: "the gateway: alarm and delivery committed, receipt; then a signed POST by the outbox",
    NAIVE: "paho-mqtt and Python's sqlite3: the same rows, a commit, receipt; then `requests.post` in the callback",
}


@dataclass
class Police:
    """A fast police system of its own for each peer. told: what it was told of, and when."""

    process: subprocess.Popen[bytes]
    url: str
    told: Lines

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


def _police() -> Police:
    port = free_port()
    command = [sys.executable, "-m", "sigap.bench.police", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, preexec_fn=die_with_parent)
    assert process.stdout is not None
    deadline = time.monotonic() + START_LIMIT_S
    while not listens(port):
        if time.monotonic() > deadline or process.poll() is not None:
            raise Problem("the bench's police system did not start", "See what it said above")
        time.sleep(0.02)
    return Police(process, f"http://127.0.0.1:{port}/alarms", Lines(process.stdout))


def run_accepted(folder: Path, rounds: int, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Each rate at each peer, `rounds` times, one after another. An alarm is of a device of its own."""
    counts = [round(rate * SECONDS) for rate in RATES]
    devices = plan.Devices()
    found = {(rate, name): Measured(KIND, rate, name) for rate in RATES for name in NAMES}
    running: dict[str, Any] = {}
    stops: list[Callable[[], None]] = []
    try:
        warm_up = devices.load(*plan.WARM_UP)
        for name in NAMES:
            say(f"starting {name}")
            police = _police()
            stops.append(police.stop)
            place = folder / name
            place.mkdir()
            peers = Peers(place, plan.WARM_UP[0] + rounds * sum(counts), None, police.url)
            stops.append(peers.stop)
            peer = peers.start(name)
            # What the police were told stands in place of what the button was told.
            peer.receipts.close()
            peer.receipts, peer.answers = police.told, False
            running[name] = peer
            measure(peer, warm_up, Measured("", 0, name))
        for number in range(rounds):
            for rate, count in zip(RATES, counts, strict=True):
                load = devices.load(count, rate, count)
                for name, peer in running.items():
                    time.sleep(REST_S)
                    one = found[rate, name]
                    measure(peer, load, one)
                    say(f"round {number + 1} of {rounds}: {line_of(one)}")
    finally:
        for stop in reversed(stops):
            stop()
    return [one.to_dict() for one in found.values()]
