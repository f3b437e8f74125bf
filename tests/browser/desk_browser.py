"""For tests: operators with a browser each, at the desk of a whole Sigap."""

from __future__ import annotations

from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page

from gateway.clock import now_us
from gateway.registry import logins, operators
from sigap.local import Local

HASH = operators.hash_password("tidak dipakai di sini")
LIMIT_MS = 20_000


def open_desk(chromium: Browser, one: Local, name: str, role: str = operators.OPERATOR, language: str = "id") -> Page:
    """A browser of its own in which `name`, made anew when needed, has logged in. What goes wrong in it fails."""
    with one.store.write() as conn:
        found, _hash = operators.find_hash(conn, name)
        if found is None:
            found = operators.add_operator(conn, name=name, password_hash=HASH, role=role, now_us=now_us())
        operators.set_language(conn, found.id, language)
        token = logins.begin(conn, found.id, now_us(), logins.LINK)
    context = chromium.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(LIMIT_MS)
    page = watched(context.new_page())
    page.goto(f"http://127.0.0.1:{one.ports.gateway}/link?t={token}")
    page.click("button.main")
    page.wait_for_selector("#queue")
    return page


def watched(page: Page) -> Page:
    """What goes wrong in this page is remembered, for check()."""
    page.problems = []  # type: ignore[attr-defined]
    page.on("pageerror", lambda error: page.problems.append(str(error)))  # type: ignore[attr-defined]
    page.on("request", lambda asked: _same_host(page, asked.url))
    page.on(
        "console",
        lambda said: "Content Security Policy" in said.text and page.problems.append(said.text),  # type: ignore[attr-defined]
    )
    return page


def check(*pages: Page) -> None:
    """No script failed, no policy was broken, no other host was asked."""
    for page in pages:
        assert page.problems == []  # type: ignore[attr-defined]


def _same_host(page: Page, url: str) -> None:
    parts = urlsplit(url)
    if parts.scheme in ("http", "https", "ws", "wss") and parts.hostname != "127.0.0.1":
        page.problems.append(f"asked {url}")  # type: ignore[attr-defined]
