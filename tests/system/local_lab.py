"""For tests: a whole Sigap (`sigap.local`) on free ports in a temporary folder, and a plug to pull between parts."""

from __future__ import annotations

import contextlib
import json
import select
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.store.schema import alarms, events
from sigap.local import Button, Local, Ports
from sigap.processes import free_port
from simulator import observe
from simulator.world.client import WorldClient

LIMIT_S = 20.0
CITIZEN = Button("citizen-1", "Warga contoh", gps={"site": [-6.9904, 110.4229]})


def local(folder: Path, **settings: Any) -> Local:
    """Not started. One button with a light, unless told otherwise."""
    ports = Ports(free_port(), free_port(), free_port(), free_port(), free_port())
    return Local(folder, ports, **{"buttons": (CITIZEN,), **settings})


@contextlib.contextmanager
def running(one: Local) -> Iterator[Local]:
    """Prepared and started whole; every process is gone at the end."""
    with prepared(one):
        one.start_all()
        yield one


@contextlib.contextmanager
def prepared(one: Local) -> Iterator[Local]:
    """Prepared, nothing started; every process that the test starts is gone at the end."""
    with one.alone():
        try:
            one.prepare()
            yield one
        finally:
            one.stop()


def wait_until(holds: Callable[[], Any], what: str, limit_s: float = LIMIT_S) -> Any:
    """Poll until it holds; its value. AssertionError at the limit."""
    deadline = time.monotonic() + limit_s
    while not (value := holds()):
        assert time.monotonic() < deadline, f"{what} did not happen within {limit_s:g} s"
        time.sleep(0.01)
    return value


def committed(one: Local) -> list[dict[str, Any]]:
    """The alarms in the gateway's database, oldest first."""
    with one.store.read() as conn:
        return [dict(row) for row in conn.execute(sa.select(alarms).order_by(alarms.c.received_at)).mappings()]


def event_kinds(one: Local) -> list[str]:
    """Every event's kind, oldest first."""
    with one.store.read() as conn:
        return list(conn.execute(sa.select(events.c.kind).order_by(events.c.id)).scalars())


def received_by_police(one: Local, at_least: int = 0, limit_s: float = LIMIT_S) -> list[dict[str, Any]]:
    """What the police desk verified and took, oldest first."""
    url = f"{one.police_url}api/received?at_least={at_least}&timeout_s={limit_s:g}"
    with urllib.request.urlopen(url, timeout=limit_s + 5) as answer:
        return json.load(answer)


def says(world: WorldClient, name: str, word: str, since: int = 0, limit_s: float = LIMIT_S) -> None:
    """Wait until the board's light has said the word, after entry `since` of its pin log."""
    wait_until(lambda: word in observe.first(world.pins(name, since)), f"{word!r} on the light of {name}", limit_s)


class Plug:
    """A TCP relay on a port of its own. hold_up, hold_down: bytes from, to the client wait here while set."""

    def __init__(self, to_port: int) -> None:
        self._to_port = to_port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.hold_up, self.hold_down = threading.Event(), threading.Event()
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        self._ended.set()
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def __enter__(self) -> Plug:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.1)
        while not self._ended.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            except OSError:
                return
            thread = threading.Thread(target=self._relay, args=(client,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _relay(self, client: socket.socket) -> None:
        with client:
            try:
                server = socket.create_connection(("127.0.0.1", self._to_port), timeout=5)
            except OSError:
                return  # as if nobody listened
            with server:
                for side in (client, server):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                with contextlib.suppress(OSError):
                    self._carry(client, server)

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        """Until either side ends. What one side sent while it was held is lost when that side ends."""
        ways = {client: (server, self.hold_up), server: (client, self.hold_down)}
        while not self._ended.is_set():
            readable, _, _ = select.select(
                [side for side, (_, hold) in ways.items() if not hold.is_set()], [], [], 0.01
            )
            for side in readable:
                data = side.recv(65536)
                if not data:
                    return
                ways[side][0].sendall(data)
            for side, (_, hold) in ways.items():
                if hold.is_set() and _ended(side):
                    return


def _ended(side: socket.socket) -> bool:
    """Whether the peer has gone, whatever it sent before still lies unread."""
    poll = select.poll()
    poll.register(side, select.POLLHUP | select.POLLRDHUP)
    return bool(poll.poll(0))
