"""The sending process: `python -m sigap.bench.sender PORT`, the load as JSON on stdin.

It seals and encodes every packet beforehand, says "ready", reads the start (time.monotonic_ns), sends each packet at
its intended time or as soon after as it can, and never waits for anybody's answer. At the end it prints how late it
was itself, as JSON.
"""

from __future__ import annotations

import gc
import json
import select
import socket
import sys
import time

from sigap.bench import wire
from sigap.bench.load import Load

CONNECTIONS = 4
MOST_PACKET_IDS = 65_535
PUBACK_BYTES = 4


class Sender:
    """Sends one load over a few connections; a device's alarms all go over the same one."""

    def __init__(self, port: int, load: Load) -> None:
        self._load = load
        self._packets = [load.packet(i, i // CONNECTIONS % MOST_PACKET_IDS + 1) for i in range(load.count)]
        self._of = [i % load.devices % CONNECTIONS for i in range(load.count)]
        self._sockets = [wire.connect(port, f"bench-sender-{number}") for number in range(CONNECTIONS)]
        self.acknowledged_bytes = 0

    def run(self, start_ns: int) -> list[float]:
        """Send everything; how late each burst's first packet was sent, in ms."""
        load, late = self._load, []
        sent, interval = 0, 1e9 / load.per_s
        while sent < load.count:
            now = time.monotonic_ns()
            due = min(load.count, int((now - start_ns) / interval) + 1) if now >= start_ns else 0
            if due > sent:
                late.append((now - start_ns - load.intended_ns(sent)) / 1e6)
                self._send(sent, due)
                sent = due
            else:
                self._drain(max(0, start_ns + load.intended_ns(sent) - now) / 1e9)
        return late

    def _send(self, begin: int, end: int) -> None:
        bursts: list[list[bytes]] = [[] for _ in self._sockets]
        for index in range(begin, end):
            bursts[self._of[index]].append(self._packets[index])
        for sock, burst in zip(self._sockets, bursts, strict=True):
            if burst:
                sock.sendall(b"".join(burst))

    def _drain(self, wait_s: float) -> None:
        readable, _, _ = select.select(self._sockets, [], [], wait_s)
        for sock in readable:
            got = sock.recv(65_536, socket.MSG_DONTWAIT)
            if not got:
                raise ConnectionError("the broker ended the sender's connection")
            self.acknowledged_bytes += len(got)

    def wait_acknowledged(self, limit_s: float) -> int:
        """How many packets the broker has acknowledged, at the latest after the limit."""
        deadline = time.monotonic() + limit_s
        while self.acknowledged_bytes < PUBACK_BYTES * self._load.count and time.monotonic() < deadline:
            self._drain(0.1)
        return self.acknowledged_bytes // PUBACK_BYTES


def main() -> None:
    load = Load(**json.loads(sys.stdin.readline()))
    sender = Sender(int(sys.argv[1]), load)
    gc.disable()
    print("ready", flush=True)
    late = sorted(sender.run(int(sys.stdin.readline())))
    acknowledged = sender.wait_acknowledged(10.0)
    said = {"late_p99_ms": late[int(len(late) * 0.99)], "late_max_ms": late[-1], "acknowledged": acknowledged}
    print(json.dumps(said), flush=True)


if __name__ == "__main__":
    main()
