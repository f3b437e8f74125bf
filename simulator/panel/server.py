"""Serves the panel in a thread of its own, on the loopback interface only."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import uvicorn

from sigap.problem import Problem
from simulator.panel.app import Panel
from simulator.panel.hub import Hub
from simulator.panel.pages import MOST_PAGES
from simulator.panel.ports import Gateway, Scenarios
from simulator.panel.runs import Runs

ADDRESS = "127.0.0.1"
START_LIMIT_S = 10.0


class Server(uvicorn.Server):
    """uvicorn, with signals left to the main thread; lines that never end by themselves are ended first."""

    def __init__(self, panel: Panel) -> None:
        super().__init__(
            uvicorn.Config(
                panel.asgi,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,
                server_header=False,
                limit_concurrency=4 * MOST_PAGES,
                timeout_graceful_shutdown=1,
            )
        )
        self._panel = panel

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._panel.has_failed

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._panel.hub.pages.close()
        await super().shutdown(sockets)


def listen(port: int) -> socket.socket:
    """The panel's socket (0: any free port). Problem when it cannot be had."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((ADDRESS, port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        raise Problem(
            f"port {port} for the panel cannot be had: {error.strerror}",
            "End what listens there, or choose another with --port",
        ) from error
    return listener


class Serving:
    """A panel that is served. url: the link that opens it, with its token."""

    def __init__(self, url: str, thread: threading.Thread) -> None:
        self.url, self._thread = url, thread

    def check(self) -> None:
        """Problem when it has ended by itself."""
        if not self._thread.is_alive():
            raise Problem("the panel has ended", "Start it again, and report what it printed")


@contextlib.contextmanager
def serving(
    listener: socket.socket,
    find: Callable[[], tuple[int, str]],
    assets: Path,
    gateway: Gateway | None = None,
    scenarios: Scenarios | None = None,
) -> Iterator[Serving]:
    """Serve at `listener`, which is closed in the end. find, gateway: as Hub; assets: as Panel."""
    port, token = listener.getsockname()[1], secrets.token_urlsafe(24)
    found: list[Server] = []

    async def live() -> None:
        runs = Runs(scenarios)
        found.append(Server(Panel(Hub(find, gateway, runs), runs, assets, token, port)))
        await found[0].serve(sockets=[listener])

    thread = threading.Thread(target=lambda: asyncio.run(live()), name="panel", daemon=True)
    thread.start()
    try:
        deadline = time.monotonic() + START_LIMIT_S
        while not (found and found[0].started):
            if not thread.is_alive() or time.monotonic() > deadline:
                raise Problem("the panel did not start", "Look at what it printed above")
            time.sleep(0.01)
        yield Serving(f"http://{ADDRESS}:{port}/?t={token}", thread)
    finally:
        if found:
            found[0].should_exit = True
        thread.join(START_LIMIT_S)
        listener.close()
