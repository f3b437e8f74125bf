"""The gateway's HTTP side: the routes it was given, and /health. Bounded, since strangers may reach this
port."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import BaseRoute, Route
from uvicorn.protocols.http.h11_impl import H11Protocol

from gateway.settings import HttpSettings
from sigap.problem import USAGE, Problem

# Every connection is an open file, and the database and the broker need files too.
MOST_CONNECTIONS = 200
IDLE_LIMIT_S = 10.0
STOP_LIMIT_S = 1


def build_app(routes: Sequence[BaseRoute], health: Callable[[], dict[str, Any]]) -> Starlette:
    """health: called in a thread; its "ok" decides between 200 and 503."""

    async def show_health(_request: Request) -> JSONResponse:
        report = await asyncio.to_thread(health)
        return JSONResponse(report, 200 if report["ok"] else 503, headers={"cache-control": "no-store"})

    return Starlette(routes=[*routes, Route("/health", show_health, methods=["GET"])])


def listen(settings: HttpSettings) -> socket.socket:
    """The socket of [http] host and port; a Problem when it cannot be had."""
    where = f"{settings.host} port {settings.port}"
    try:
        family, kind, _, _, address = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise Problem(f"[http] host {settings.host} is no address: {error.strerror}", "Correct it", USAGE) from error
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(128)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            todo = "End what listens there (another gateway?), or set [http] port"
            raise Problem(f"{where} for the gateway's HTTP server is in use", todo) from error
        raise Problem(
            f"the gateway may not listen at {where}: {error.strerror}", "Correct [http] host and port"
        ) from error
    listener.setblocking(False)
    return listener


class Server(uvicorn.Server):
    """uvicorn, with signals left to us and connections bounded."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=BoundedProtocol,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=STOP_LIMIT_S,
            )
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """gateway.main ends the parts in its own order."""
        yield


class BoundedProtocol(H11Protocol):
    """At most MOST_CONNECTIONS, and none that asks nothing: uvicorn by itself lets those stay for ever.

    When all places are taken, the one that has been idle for longest makes room, so that silent connections
    keep no backend's callback out.
    """

    _seen: object = None
    _began = 0.0

    @property
    def is_busy(self) -> bool:
        """A request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._began = self.loop.time()
        if len(self.connections) > MOST_CONNECTIONS:
            idle = [each for each in self.connections if isinstance(each, BoundedProtocol) and not each.is_busy]
            oldest = min(idle, key=lambda each: each._began)
            self.connections.discard(oldest)  # its connection_lost() comes later, perhaps after the next one here
            oldest.transport.abort()
        self.loop.call_later(IDLE_LIMIT_S, self._look)

    def _look(self) -> None:
        if self.transport.is_closing():
            return
        if not self.is_busy and self._seen is self.cycle:
            self.transport.close()  # no request was completed since the last look
            return
        self._seen = self.cycle
        self.loop.call_later(IDLE_LIMIT_S, self._look)
