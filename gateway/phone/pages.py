"""The SOS page's routes: the page and its files, enrolment, and the bearer by HTTPS."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.clock import Clock, now_us
from gateway.ingest import phone
from gateway.ingest.calls import Busy, Calls
from gateway.ingest.judge import Rejection, judge
from gateway.phone.app_pages import AppPages
from gateway.phone.bodies import RETRY_S, with_body
from gateway.phone.enrolment import Enrolment
from gateway.phone.registration import Registration
from gateway.phone.words import WORDS
from gateway.registry import phones
from gateway.registry.devices import PHONE, Device, get_device
from gateway.settings import Settings
from gateway.store.engine import Store
from gateway.words import DEFAULT, LANGUAGES, translator
from panic_wire.topics import device_id, device_name, parse
from sigap.headers import HEADERS
from sigap.problem import Problem

log = logging.getLogger("sigap.phone")

FOLDER = Path(__file__).parent
PREFIX = "/sos"
LANGUAGE_COOKIE = "sigap_language"
CACHED = {"cache-control": "no-cache"}  # ask whether it changed; the worker keeps it for when nobody answers


class Phones:
    """routes() for gateway.http. calls: the way into the gateway. refresh: the broker's files, after an enrolment."""

    def __init__(
        self, settings: Settings, store: Store, calls: Calls, refresh: Callable[[], object], clock: Clock = now_us
    ) -> None:
        self._settings, self._store, self._calls, self._refresh, self._clock = settings, store, calls, refresh, clock
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined
        )
        self._enrolling = asyncio.Lock()
        self._worker = _worker()
        self._registration = Registration(settings.phone, store, clock)

    def routes(self) -> list[Route | Mount]:
        inner = Starlette(
            routes=[
                Route("/", self.page),
                Route("/sw.js", self.worker),
                Route("/manifest.webmanifest", self.manifest),
                Route("/settings", self.settings),
                Route("/invitation", self.invitation, methods=["POST"]),
                Route("/enrol", self.enrol, methods=["POST"]),
                Route("/up", self.up, methods=["POST"]),
                Route("/forget", self.forget, methods=["POST"]),
                *self._registration.routes(),
                *AppPages(self._store, self._calls, self._clock).routes(),
                Mount("/static", StaticFiles(directory=FOLDER / "static")),
            ],
            middleware=[Middleware(GZipMiddleware, minimum_size=500)],
        )
        to_page = Route(PREFIX, lambda _request: RedirectResponse(PREFIX + "/", 308))
        return [to_page, Mount(PREFIX, inner)]

    # What the browser loads

    async def page(self, request: Request) -> Response:
        language = _language(request)
        words = {name: translator(language)(text) for name, text in WORDS.items()}
        html = self._templates.get_template("sos.html").render(
            w=words,
            language=language,
            gateway=self._settings.gateway.name,
            other="en" if language == "id" else "id",
            relatives=bool(self._settings.phone.relative_mail),
            registers=self._registration.is_open,
        )
        response = HTMLResponse(html, headers={**self._headers(request), **CACHED})
        if request.query_params.get("l") in LANGUAGES:
            response.set_cookie(LANGUAGE_COOKIE, language, max_age=365 * 86400, samesite="strict")
        return response

    async def worker(self, request: Request) -> Response:
        headers = {**self._headers(request), **CACHED, "service-worker-allowed": PREFIX + "/"}
        return Response(self._worker, media_type="text/javascript", headers=headers)

    async def manifest(self, request: Request) -> Response:
        return JSONResponse(
            {
                "name": "Sigap SOS",
                "short_name": "SOS",
                "id": PREFIX + "/",
                "start_url": PREFIX + "/",
                "scope": PREFIX + "/",
                "display": "standalone",
                "orientation": "portrait",
                "background_color": "#ffffff",
                "theme_color": "#b3001b",
                "lang": _language(request),
                "icons": [{"src": PREFIX + "/static/icon.svg", "sizes": "any", "type": "image/svg+xml"}],
            },
            headers={**HEADERS, **CACHED},
            media_type="application/manifest+json",
        )

    async def settings(self, request: Request) -> Response:
        """Where the broker is for a phone, null when it takes none; and who this is."""
        said = {"broker": self._broker_url(request), "gateway": self._settings.gateway.name}
        return JSONResponse(said, headers={**HEADERS})

    # What it sends

    async def invitation(self, request: Request) -> Response:
        """Whom an invitation is for."""

        async def answer(body: bytes) -> Response:
            token = body.decode(errors="replace")[:100]
            try:
                owner = await asyncio.to_thread(self._invited, token)
            except phones.NotYet:
                return JSONResponse({"waiting": True}, 202, HEADERS)
            except phones.NotInvited as refused:
                return _said(410, "not-invited", refused)
            return JSONResponse({"owner": owner}, headers=HEADERS)

        return await with_body(request, answer)

    async def enrol(self, request: Request) -> Response:
        """A phone comes with its invitation and the key that it drew; it gets its name."""

        async def answer(body: bytes) -> Response:
            try:
                asked = Enrolment.model_validate_json(body)
                async with self._enrolling:  # the broker's files are written by one at a time
                    made, owner = await asyncio.to_thread(self._enrol, asked)
                    await asyncio.to_thread(self._refresh)
            except ValidationError as error:
                wrong = error.errors(include_url=False, include_input=False)[0]
                where = ".".join(str(each) for each in wrong["loc"])
                return _said(400, "bad-enrolment", Problem(f"{where}: {wrong['msg']}", ""), where)
            except phones.NotInvited as refused:
                return _said(410, "not-invited", refused)
            except Problem as problem:
                return _said(400, "bad-enrolment", problem, getattr(problem, "column", ""))
            log.info("the phone %s of %s is enrolled", made.name, owner)
            return JSONResponse({"phone": device_name(made.id), "name": made.name, "owner": owner}, 201, HEADERS)

        return await with_body(request, answer)

    async def up(self, request: Request) -> Response:
        """A phone's message, as on MQTT; what it is answered with once it is committed.

        Nobody is turned away by how often they come: only a message that no phone signed is, and that costs no more
        than the look at it. Each phone's messages wait behind its own.
        """

        async def answer(body: bytes) -> Response:
            name = request.query_params.get("phone", "")[:20]
            refused = await asyncio.to_thread(self._refused, name, body)
            if refused is not None:
                self._calls.put_aside(name, body)
                return JSONResponse({"error": refused.reason}, 400, HEADERS)
            try:
                answers = await self._calls.ask(name, body)
            except (Busy, TimeoutError):
                return JSONResponse({"error": "busy"}, 503, {**HEADERS, "retry-after": RETRY_S})
            return JSONResponse({"down": [each.decode() for each in answers]}, headers=HEADERS)

        return await with_body(request, answer)

    async def forget(self, request: Request) -> Response:
        """A person takes their phone back, and what they said of themselves: signed by that phone."""

        async def answer(body: bytes) -> Response:
            done = await asyncio.to_thread(self._forget, request.query_params.get("phone", "")[:20], body)
            if done is None:
                return JSONResponse({"error": "bad-tag"}, 400, HEADERS)
            if not done:
                return JSONResponse({"error": "emergency-open"}, 409, HEADERS)
            await asyncio.to_thread(self._refresh)
            return JSONResponse({}, headers=HEADERS)

        return await with_body(request, answer)

    def _forget(self, name: str, jws: bytes) -> bool | None:
        parsed = parse(phone.up(name))
        with self._store.write() as conn:
            found = None if parsed is None else get_device(conn, device_id(name))
            if found is None or found.kind != PHONE:
                return None
            if not phone.asks_to_be_forgotten(name, jws, phone.mac_key(found.root_key, found.id, "up")):
                return None
            return found.revoked or phones.forget(conn, found, self._clock())

    def _refused(self, name: str, body: bytes) -> Rejection | None:
        with self._store.read() as conn:
            said = judge(phone.up(name), body, lambda device_id: get_device(conn, device_id))
        return said if isinstance(said, Rejection) else None

    def _invited(self, token: str) -> str | None:
        with self._store.read() as conn:
            owner = phones.invited(conn, token, self._clock())
        return None if owner is None else owner.name

    def _enrol(self, asked: Enrolment) -> tuple[Device, str]:
        with self._store.write() as conn:
            made = phones.enrol(
                conn, asked.invitation, asked.key(), asked.whose(self._settings.phone.relative_mail), self._clock()
            )
            return made, phones.owner_name(conn, made)

    # Where things are

    def _broker_url(self, request: Request) -> str | None:
        said, port = self._settings.phone.broker_url, self._settings.broker.phone_port
        if said or not port:
            return said or None
        if request.url.scheme == "https":
            return f"wss://{request.url.netloc}/mqtt"
        return f"ws://{request.url.hostname}:{port}/"

    def _headers(self, request: Request) -> dict[str, str]:
        url = self._broker_url(request)
        where = f" {urlsplit(url).scheme}://{urlsplit(url).netloc}" if url else ""
        policy = HEADERS["content-security-policy"].replace("connect-src 'self'", f"connect-src 'self'{where}")
        return {**HEADERS, "content-security-policy": f"{policy}; worker-src 'self'; manifest-src 'self'"}


def _language(request: Request) -> str:
    said = request.query_params.get("l") or request.cookies.get(LANGUAGE_COOKIE, DEFAULT)
    return said if said in LANGUAGES else DEFAULT


def _worker() -> str:
    """The worker's script with the digest of everything that it keeps: another file makes another worker."""
    files = [path for path in sorted(FOLDER.rglob("*")) if path.is_file() and path.suffix != ".pyc"]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()[:16]
    return (FOLDER / "static" / "sw.js").read_text().replace("DIGEST", digest)


def _said(status: int, error: str, problem: Problem, where: str = "") -> JSONResponse:
    return JSONResponse({"error": error, "where": where, "says": problem.what}, status, HEADERS)
