"""The page of a story that runs, or has run: it is watched, steered and ended."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from sigap.problem import Problem
from simulator.panel.pages import BEAT_S, MOST_PAGES, RETRY_MS, Pages, encode
from simulator.panel.runs import Runs

LOOK_EVERY_S = 0.1

Render = Callable[[Request, str, dict[str, Any]], Response]  # (request, template, what it is given)
Read = Callable[[Request], Awaitable[dict[str, Any]]]  # the JSON object that came


class Watching:
    """routes: what the panel's app adds. pages: of the boards; they close together with those of the stories."""

    def __init__(self, runs: Runs, pages: Pages, render: Render, read: Read) -> None:
        self._runs, self._pages, self._render, self._read = runs, pages, render, read
        self.routes = [
            Route("/stories/{run}", self.page),
            Route("/stories/{run}/live", self.live),
            Route("/stories/{run}/speed", self.speed, methods=["POST"]),
            Route("/stories/{run}/end", self.end, methods=["POST"]),
        ]

    async def page(self, request: Request) -> Response:
        run = request.path_params["run"]
        try:
            story = await asyncio.to_thread(self._runs.the(run).story, run)
        except Problem as problem:
            raise HTTPException(404, str(problem)) from problem
        return self._render(request, "story.html", {"run": run, "story": story})

    async def live(self, request: Request) -> Response:
        run = request.path_params["run"]
        try:
            self._runs.the(run)
        except Problem as problem:
            raise HTTPException(404, str(problem)) from problem
        if self._runs.pages >= MOST_PAGES or self._pages.is_closed:
            raise HTTPException(503, "too many pages are open")
        return StreamingResponse(self._stream(run), media_type="text/event-stream")

    async def _stream(self, run: str) -> AsyncIterator[bytes]:
        """What is new of it, ten times a second at most; and beats in between."""
        self._runs.pages += 1
        version, said_at, has_ended = -1, 0.0, False
        try:
            yield b"retry: %d\n\n" % RETRY_MS
            while not self._pages.is_closed:
                course = self._runs.the(run).course(run, version)
                if course["version"] != version or ("result" in course) != has_ended:
                    version, has_ended = course["version"], "result" in course
                    said_at = time.monotonic()
                    yield encode("course", course)
                elif time.monotonic() - said_at > BEAT_S:
                    said_at = time.monotonic()
                    yield encode("beat", "")
                await asyncio.sleep(LOOK_EVERY_S)
        except Problem:
            return  # it is too old, and has left the list
        finally:
            self._runs.pages -= 1

    async def speed(self, request: Request) -> Response:
        """{"speed": 10}; 0: it stands still; null: as fast as it goes."""
        fields = await self._read(request)
        if "speed" not in fields:
            raise HTTPException(400, "speed is missing")
        run = request.path_params["run"]
        return await _done(lambda: self._runs.the(run).steer(run, fields["speed"]))

    async def end(self, request: Request) -> Response:
        await self._read(request)
        run = request.path_params["run"]
        return await _done(lambda: self._runs.the(run).end(run))


async def _done(do: Callable[[], None]) -> Response:
    try:
        await asyncio.to_thread(do)
    except Problem as problem:
        return JSONResponse({"error": str(problem)}, 409)
    return JSONResponse({"ok": True})
