"""Who may use the panel: this machine's browser that has the link. Headers that keep a browser safe."""

from __future__ import annotations

import hmac
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sigap.headers import HEADERS as PAGES

HEADERS = {**PAGES, "cross-origin-resource-policy": "same-origin"}
OPEN = ("/static/", "/assets/")  # files of ours: nothing of the world is in them
REFUSED = "Open the link that `sigap sim` printed.\n"


class Guard:
    """Wraps the app: Host, token and origin of every request. The link /?t=TOKEN turns the token into a cookie.

    port: where the panel listens; only requests to it by a loopback name are answered (against DNS rebinding).
    """

    def __init__(self, app: ASGIApp, token: str, port: int) -> None:
        self._app, self._token = app, token
        self._hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        self._cookie = f"sigap_panel_{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._answer(scope)
        await (answer or self._app)(scope, receive, send_safely)

    def _answer(self, scope: Scope) -> Response | None:
        """A refusal, or the cookie; None when the request may go on."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if host not in self._hosts:
            return PlainTextResponse("this is no name of the panel\n", 421)
        if scope["method"] not in ("GET", "HEAD"):
            # A browser says where it came from (Fetch Metadata); an old one says Origin at least.
            site = headers.get("sec-fetch-site")
            is_ours = headers.get("origin") == f"http://{host}" if site is None else site == "same-origin"
            if not is_ours:
                return PlainTextResponse("this came from another site\n", 403)
        if path == "/" and scope["method"] == "GET" and (given := parse_qs(scope["query_string"]).get(b"t")):
            if not hmac.compare_digest(given[0], self._token.encode()):
                return PlainTextResponse(REFUSED, 403)
            found = RedirectResponse("/", 303)
            found.set_cookie(self._cookie, self._token, httponly=True, samesite="strict")
            return found
        if path.startswith(OPEN) or self._has_cookie(headers):
            return None
        return PlainTextResponse(REFUSED, 403)

    def _has_cookie(self, headers: Headers) -> bool:
        try:
            found = SimpleCookie(headers.get("cookie", "")).get(self._cookie)
        except CookieError:
            return False
        return found is not None and hmac.compare_digest(found.value.encode(), self._token.encode())
