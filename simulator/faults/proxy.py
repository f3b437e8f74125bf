"""A TCP proxy for one link, on the loopback interface, with faults that change while it runs.

It cannot drop a SYN: who connects into a silent link is connected, and hears nothing. And it accepts before it knows
whether somebody listens behind it: where nobody does, the client gets a RST instead of a refusal.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import Callable, Mapping
from typing import Any

from sigap.problem import USAGE, Problem
from simulator.faults.connection import Connection
from simulator.faults.model import HALF_OPEN, REFUSED, Faults

log = logging.getLogger("sigap.faults")
CONNECTIONS_LIMIT = 512  # of one link, dead ones too; one more gets a RST
MOST_S = 86_400.0


class Proxy:
    """Use as `async with Proxy("gateway:broker", ("127.0.0.1", 18883)) as link:`; clients connect to `link.port`.

    port: where it listens; 0 for any. seed: from it, the name and a connection's number come all its draws. Raises
    Problem when the port is taken.
    """

    def __init__(self, name: str, upstream: tuple[str, int], port: int = 0, seed: int = 1) -> None:
        self.name, self.upstream, self.port = name, upstream, port
        self.faults = Faults()
        self.passed = {"up": 0, "down": 0}  # bytes
        self.accepted = 0
        self.resets = 0  # that `reset` made
        # Told of each piece as it comes in, before any fault: (number of the connection, "up" or "down", bytes).
        self.tap: Callable[[int, str, bytes], None] | None = None
        self._seed = seed
        self._changed = asyncio.Event()
        self._connections: dict[Connection, asyncio.Task[None]] = {}
        self._holder: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._until: asyncio.TimerHandle | None = None
        self._clearing: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Proxy:
        self._bound(shared=False).close()  # nobody listens there, not even another proxy of ours
        # This socket never listens. It keeps the port ours while connections are to be refused.
        self._holder = self._bound()
        self.port = self._holder.getsockname()[1]
        self._listen()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._until:
            self._until.cancel()
        await self._stop_listening()
        tasks = list(self._connections.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._holder:
            self._holder.close()

    # Faults

    async def set(self, changes: Mapping[str, Any], for_s: float | None = None) -> None:
        """Change faults as `Faults.changed` says, on top of those there are; after `for_s` the link is clear again.

        Raises Problem, and changes nothing, for what is not a fault.
        """
        if for_s is not None and not 0 < for_s <= MOST_S:
            raise Problem(f"for_s is {for_s!r}", f"It is seconds, above 0 and at most {MOST_S:g}", USAGE)
        await self._become(self.faults.changed(changes))
        if for_s is not None:
            self._until = asyncio.get_running_loop().call_later(for_s, self._time_is_over)

    async def clear(self) -> None:
        """Nothing is wrong with the link any more. What is delayed already comes as late as it was to."""
        await self._become(Faults())

    def _time_is_over(self) -> None:
        self._clearing = asyncio.create_task(self.clear())  # kept: the loop holds tasks only weakly

    def reset(self) -> int:
        """A RST to both sides of every connection, now. Returns how many connections there were."""
        for connection in self._connections:
            connection.reset()
        self.resets += len(self._connections)
        return len(self._connections)

    async def pause(self, seconds: float | None = None) -> None:
        """Until the time is over, or the faults have changed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def told(self) -> dict[str, Any]:
        """What `sigap fault list` shows."""
        return {
            "name": self.name,
            "port": self.port,
            "to": self.upstream[1],
            "faults": self.faults.told(),
            "connections": len(self._connections),
            "dead": sum(connection.dead for connection in self._connections),
            "accepted": self.accepted,
            "resets": self.resets,
            "up": self.passed["up"],
            "down": self.passed["down"],
            "held": sum(connection.held for connection in self._connections),
        }

    async def _become(self, faults: Faults) -> None:
        if self._until:
            self._until.cancel()
            self._until = None
        self.faults = faults
        if faults.cut == HALF_OPEN:
            for connection in self._connections:
                connection.dead = True
        if faults.cut == REFUSED:
            await self._stop_listening()
        elif self._accepting is None:
            self._listen()
        self._changed.set()
        self._changed = asyncio.Event()

    # Connections

    def _bound(self, shared: bool = True) -> socket.socket:
        made = socket.socket()
        try:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if shared:
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            made.bind(("127.0.0.1", self.port))
        except OSError as error:
            made.close()
            if error.errno != errno.EADDRINUSE:
                raise
            what = f"port {self.port} for the link {self.name} is in use"
            raise Problem(what, "End what listens there, or choose another") from error
        return made

    def _listen(self) -> None:
        listener = self._bound()
        listener.setblocking(False)
        listener.listen(256)
        self._accepting = asyncio.create_task(self._accept(listener), name=f"link {self.name}")

    async def _stop_listening(self) -> None:
        accepting, self._accepting = self._accepting, None
        if accepting:
            accepting.cancel()
            await asyncio.gather(accepting, return_exceptions=True)

    async def _accept(self, listener: socket.socket) -> None:
        with listener:
            while True:
                try:
                    client, _ = await asyncio.get_running_loop().sock_accept(listener)
                except OSError as error:  # out of descriptors, above all: whoever waits goes on waiting
                    log.error("%s: cannot accept: %s", self.name, error)
                    await asyncio.sleep(0.5)
                    continue
                self.accepted += 1
                connection = Connection(self, client, self.accepted, f"{self._seed}:{self.name}:{self.accepted}")
                if len(self._connections) >= CONNECTIONS_LIMIT:
                    connection.reset()
                task = asyncio.create_task(connection.run(self.upstream))
                self._connections[connection] = task
                task.add_done_callback(lambda done, which=connection: self._gone(which, done))

    def _gone(self, connection: Connection, task: asyncio.Task[None]) -> None:
        self._connections.pop(connection, None)
        if not task.cancelled() and (error := task.exception()):
            log.error("%s: a connection failed: %r", self.name, error)
