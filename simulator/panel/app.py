"""The panel's HTTP side: the page, its live line, and what its buttons do."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sigap.problem import Problem
from sigap.words import DEFAULT, LANGUAGES, translator
from simulator.panel.alarms import SHOWN, STAGES, as_csv
from simulator.panel.guard import Guard
from simulator.panel.hub import Hub
from simulator.panel.runs import Runs
from simulator.panel.watching import Watching
from simulator.panel.words import LOCALE, page_words, story_words

log = logging.getLogger("sigap.panel")

FOLDER = Path(__file__).parent
LANGUAGE_COOKIE = "sigap_language"  # the desk's too: who chose there has chosen here
SEED_LIMIT = 2**31
BODY_LIMIT_BYTES = 4096
RUN = re.compile(r"[0-9a-z-]{1,40}")

Change = Callable[[str, dict[str, Any]], Awaitable[None]]


class Panel:
    """asgi: what a server serves. assets: a folder with vendor/leaflet and map, for the map."""

    def __init__(self, hub: Hub, runs: Runs, assets: Path, token: str, port: int) -> None:
        self.hub, self._runs = hub, runs
        self.has_failed = False
        self._page = Environment(loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined)
        changes: dict[str, Change] = {
            "contact": self._contact,
            "press": self._press,
            "power": self._power,
            "wifi": self._wifi,
            "sky": self._sky,
        }
        routes = [
            Route("/", self.page),
            Route("/live", self.live),
            Route("/timeline.json", self.timeline_json),
            Route("/timeline.csv", self.timeline_csv),
            Route("/language", self.language, methods=["POST"]),
            Route("/scenarios", self.scenario, methods=["POST"]),
            *(
                Route(f"/boards/{{name}}/{what}", self._changing(change), methods=["POST"])
                for what, change in changes.items()
            ),
            *Watching(runs, hub.pages, self._render, _fields).routes,
            Mount("/static", StaticFiles(directory=FOLDER / "static")),
            Mount("/assets", StaticFiles(directory=assets)),
        ]
        self.asgi = Guard(Starlette(routes=routes, lifespan=self._lifespan), token, port)

    @asynccontextmanager
    async def _lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        following = asyncio.create_task(self.hub.run(), name="panel")
        following.add_done_callback(self._followed)
        yield
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)

    def _followed(self, following: asyncio.Task[None]) -> None:
        if not following.cancelled() and (error := following.exception()):
            log.error("the panel failed", exc_info=error)
            self.has_failed = True

    async def page(self, request: Request) -> Response:
        scenarios = await asyncio.to_thread(self._runs.names) if self._runs.is_there else None
        return self._render(request, "page.html", {"stages": STAGES, "light": SHOWN, "scenarios": scenarios})

    def _render(self, request: Request, template: str, more: dict[str, Any]) -> Response:
        language = request.cookies.get(LANGUAGE_COOKIE, DEFAULT)
        language = language if language in LANGUAGES else DEFAULT
        _ = translator(LOCALE, language)
        words = {**page_words(_), **story_words(_)}
        return HTMLResponse(self._page.get_template(template).render(_=_, language=language, words=words, **more))

    async def language(self, request: Request) -> Response:
        wanted = parse_qs((await _body(request)).decode(errors="replace")).get("language", [""])[-1]
        run = RUN.fullmatch(request.query_params.get("run", ""))
        response = RedirectResponse(f"/stories/{run[0]}" if run else "/", 303)
        if wanted in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, wanted, max_age=365 * 86400, httponly=True, samesite="strict")
        return response

    async def live(self, _request: Request) -> Response:
        pages = self.hub.pages
        if pages.is_full:
            raise HTTPException(503, "too many pages are open")
        page = pages.open()

        async def stream() -> AsyncIterator[bytes]:
            try:
                async for said in pages.stream(page, self.hub.hello(page)):
                    yield said
            finally:
                await self.hub.leave(page)

        return StreamingResponse(stream(), media_type="text/event-stream")

    async def timeline_json(self, _request: Request) -> Response:
        headers = {"content-disposition": 'attachment; filename="sigap-timeline.json"'}
        return JSONResponse(self.hub.alarms.documents(), headers=headers)

    async def timeline_csv(self, _request: Request) -> Response:
        headers = {"content-disposition": 'attachment; filename="sigap-timeline.csv"'}
        return Response(as_csv(self.hub.alarms.documents()), media_type="text/csv; charset=utf-8", headers=headers)

    async def scenario(self, request: Request) -> Response:
        """{"name", "seed", "speed": as in Scenarios.steer}: start it."""
        fields = await _fields(request)
        name, seed, speed = fields.get("name"), fields.get("seed", 1), fields.get("speed")
        if not isinstance(name, str) or not _is_whole(seed) or not 0 <= seed < SEED_LIMIT:
            raise HTTPException(400, "name is a text, seed a whole number from 0")
        if speed is not None and (isinstance(speed, bool) or not isinstance(speed, int | float) or not speed >= 0):
            raise HTTPException(400, "speed is a number from 0, or null")
        try:
            return JSONResponse({"id": await asyncio.to_thread(self._runs.start, name, seed, speed)})
        except Problem as problem:
            return JSONResponse({"error": str(problem)}, 409)

    def _changing(self, change: Change) -> Callable[[Request], Awaitable[Response]]:
        async def handle(request: Request) -> Response:
            name = request.path_params["name"]
            if name not in self.hub.boards:
                raise HTTPException(404, "there is no such board")
            try:
                await change(name, await _fields(request))
            except (Problem, OSError) as problem:
                return JSONResponse({"error": str(problem)}, 409)
            return JSONResponse({"ok": True})

        return handle

    async def _contact(self, name: str, fields: dict[str, Any]) -> None:
        """{"down", "page"}: a thumb on the button, or off it."""
        page = fields.get("page")
        if not isinstance(page, str) or page not in self.hub.pages:
            raise HTTPException(400, "page is not open")
        await self.hub.contact(page, name, _yes_or_no(fields, "down"))

    async def _press(self, name: str, _fields: dict[str, Any]) -> None:
        await self.hub.ask("press", board=name, presses=3)

    async def _power(self, name: str, fields: dict[str, Any]) -> None:
        await self.hub.ask("power", board=name, on=_yes_or_no(fields, "on"))

    async def _wifi(self, name: str, fields: dict[str, Any]) -> None:
        await self.hub.ask("wifi", board=name, up=_yes_or_no(fields, "on"))

    async def _sky(self, name: str, fields: dict[str, Any]) -> None:
        if self.hub.boards[name].summary["gps"] is None:
            raise Problem(f"{name} has no GPS")
        await self.hub.ask("gps", board=name, gps={"sky": _yes_or_no(fields, "on")})


def _yes_or_no(fields: dict[str, Any], key: str) -> bool:
    value = fields.get(key)
    if not isinstance(value, bool):
        raise HTTPException(400, f"{key} must be true or false")
    return value


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


async def _fields(request: Request) -> dict[str, Any]:
    """The JSON object that came. A form of another site cannot send this type."""
    if request.headers.get("content-type", "").split(";")[0] != "application/json":
        raise HTTPException(415, "send application/json")
    try:
        found = json.loads(await _body(request))
    except (ValueError, RecursionError) as error:
        raise HTTPException(400, "this is not JSON") from error
    if not isinstance(found, dict):
        raise HTTPException(400, "this is no JSON object")
    return found


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > BODY_LIMIT_BYTES:
            raise HTTPException(413, "too long", headers={"connection": "close"})
    return bytes(body)
