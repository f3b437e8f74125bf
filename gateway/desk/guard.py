"""Who may do what at the desk: sessions, forms' tokens, roles, limits, and the headers that keep a browser safe."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from gateway.clock import Clock
from gateway.registry import logins
from gateway.registry.operators import ADMINISTRATOR, OPERATOR, Operator
from gateway.request_body import TooLong, TooSlow, read_bounded
from gateway.store.engine import Store
from sigap.headers import HEADERS

COOKIE = "sigap_session"
BODY_LIMIT_BYTES = 16 * 1024
BODY_LIMIT_S = 10.0
FAILURES, FAILURES_WITHIN_S = 5, 300.0
MOST_REMEMBERED = 10_000
ANYBODY: tuple[str, ...] = ()
STAFF = (OPERATOR, ADMINISTRATOR)

Page = Callable[["Visit"], Awaitable[Response]]


@dataclass
class Visit:
    """One request, and who makes it. form: of a POST, single values."""

    request: Request
    operator: Operator | None
    token: str
    form: dict[str, str]

    @property
    def actor(self) -> str:
        """Who does it, for the history. Only where a role is asked for."""
        assert self.operator is not None
        return f"operator:{self.operator.name}"

    @property
    def form_token(self) -> str:
        return logins.form_token(self.token)


class Guard:
    """guarded() wraps a page: session, role, and the form's token on every POST."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def guarded(self, page: Page, roles: tuple[str, ...]) -> Callable[[Request], Awaitable[Response]]:
        """roles: who may; ANYBODY for pages before the login (these need no form token: nothing is theirs yet)."""

        async def handle(request: Request) -> Response:
            token = request.cookies.get(COOKIE, "")
            operator = await asyncio.to_thread(self._find, token) if token else None
            form = await _form(request) if request.method == "POST" else {}
            if request.method == "POST":
                _same_origin(request)
            if roles:
                if operator is None:
                    if request.method == "GET" and "text/html" in request.headers.get("accept", ""):
                        return _safe(RedirectResponse("/login", 303))
                    raise HTTPException(401, "log in first", headers=HEADERS)
                if operator.role not in roles:
                    raise HTTPException(403, "this is not for your role", headers=HEADERS)
                if request.method == "POST" and not logins.is_form_token(token, form.get("form_token", "")):
                    raise HTTPException(403, "this form is not of your session; load the page again", headers=HEADERS)
            return _safe(await page(Visit(request, operator, token, form)))

        return handle

    def _find(self, token: str) -> Operator | None:
        with self._store.read() as conn:
            return logins.find(conn, token, self._clock())


class Limiter:
    """At most FAILURES wrong passwords in FAILURES_WITHIN_S, for each name and each address."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failed: dict[str, list[float]] = {}

    def is_blocked(self, *keys: str) -> bool:
        return any(len(self._recent(key)) >= FAILURES for key in keys)

    def failed(self, *keys: str) -> None:
        for key in keys:
            recent = [*self._recent(key), self._clock()]
            self._failed.pop(key, None)
            self._failed[key] = recent
        while len(self._failed) > MOST_REMEMBERED:
            del self._failed[next(iter(self._failed))]

    def _recent(self, key: str) -> list[float]:
        since = self._clock() - FAILURES_WITHIN_S
        return [at for at in self._failed.get(key, ()) if at > since]


def set_session(response: Response, token: str, secure: bool) -> Response:
    """The session's cookie: no script reads it, no other site's form sends it."""
    age_s = logins.SESSION_US // 1_000_000
    response.set_cookie(COOKIE, token, max_age=age_s, httponly=True, samesite="strict", secure=secure)
    return response


def _same_origin(request: Request) -> None:
    """A browser says where a form came from (Fetch Metadata): nothing but our own pages may post."""
    if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise HTTPException(403, "this came from another site", headers=HEADERS)


async def _form(request: Request) -> dict[str, str]:
    """An urlencoded body, bounded in bytes and in time."""
    try:
        body = await read_bounded(request, BODY_LIMIT_BYTES, BODY_LIMIT_S)
    except TooLong as error:
        raise HTTPException(413, "the form is too long", headers={**HEADERS, "connection": "close"}) from error
    except TooSlow as error:
        raise HTTPException(408, "the form took too long", headers={**HEADERS, "connection": "close"}) from error
    try:
        fields = parse_qs(body.decode(), keep_blank_values=True, max_num_fields=50)
    except ValueError as error:
        raise HTTPException(400, "this is no form", headers=HEADERS) from error
    return {name: values[-1] for name, values in fields.items()}


def _safe(response: Response) -> Response:
    for name, value in HEADERS.items():
        response.headers.setdefault(name, value)
    return response
