"""The webhook backend against a real HTTP server whose answers a test decides."""

from __future__ import annotations

import asyncio
import base64
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from gateway.backend_settings import WebhookSettings
from gateway.backends.accepting import accepts
from gateway.backends.exchange import LATE
from gateway.backends.network import is_public
from gateway.backends.posting import ANSWER_LIMIT_BYTES, retry_after_s
from gateway.backends.webhook import WebhookBackend
from gateway.outbox.port import Delivery, Outcome
from tests.unit.gateway import backend_lab
from tests.unit.gateway.backend_lab import Answer, far_side
from tests.unit.gateway.tls_lab import authority_and_certificate

SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
PAYLOAD = {"specversion": "1.0", "id": "d1", "data": {"incident": "i1", "note": "Jalan “Pemuda” 12 🚨"}}
DELIVERY = Delivery("d1", "backend:police", "i1", "id.sigap.incident.opened.v1", PAYLOAD, 1, 0)

NEXT = "whsec_" + base64.b64encode(bytes(range(32, 64))).decode()


@contextmanager
def served_here(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """`answer` at a free port, in a thread of its own; its URL."""
    ready, ended, urls = threading.Event(), threading.Event(), []

    async def run() -> None:
        async with far_side(answer, context) as url:
            urls.append(url)
            ready.set()
            await asyncio.to_thread(ended.wait)

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(10)
        yield urls[0]
    finally:
        ended.set()
        thread.join()


class Recorded:
    """Stands where Book.record_stage does, and keeps what it is told."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []

    def __call__(self, *arguments: Any) -> bool:
        self.calls.append(arguments[1:-1])
        return True


def settings(url: str, **more: Any) -> WebhookSettings:
    return WebhookSettings(name="police", url=url, secret=SECRET, callback_secret=SECRET, **more)


def deliver(answer: Answer, *, times: int = 1, **more: Any) -> tuple[Outcome, Recorded]:
    """Serve `answer` on a free port and make `times` attempts; the last outcome, its effect run."""
    recorded = Recorded()

    async def run() -> Outcome:
        async with far_side(answer) as url:
            backend = WebhookBackend(settings(url, **more), accepts(recorded))
            try:
                for _ in range(times):
                    outcome = await backend.deliver(DELIVERY)
                return outcome
            finally:
                await backend.close()

    outcome = asyncio.run(run())
    if outcome.effect is not None:
        outcome.effect(None)  # pyright: ignore[reportArgumentType]
    return outcome, recorded


def says(status: int, text: str = "", **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return web.Response(status=status, text=text, headers=named)

    return answer


def test_each_attempt_is_signed_anew_and_is_otherwise_the_same() -> None:
    seen: list[tuple[str, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        assert Webhook(SECRET).verify(body, dict(request.headers)) == PAYLOAD
        assert request.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
        seen.append((request.headers["webhook-id"], body))
        return web.json_response({"accepted": True, "reference": "K-0001"})

    outcome, recorded = deliver(answer, times=2)
    assert outcome.done
    assert seen[0] == seen[1]
    assert seen[0][0] == "d1"
    data = {"delivery": "d1", "reference": "K-0001"}
    assert recorded.calls == [("i1", "accepted", "backend:police", data)]


def test_two_secrets_sign_while_the_far_side_changes_its_own() -> None:
    held: list[bool] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        for secret in (SECRET, NEXT):
            held.append(bool(Webhook(secret).verify(body, dict(request.headers))))
        return web.json_response({"accepted": True})

    outcome, _ = deliver(answer, next_secret=NEXT)
    assert outcome.done
    assert held == [True, True]


def test_the_body_may_be_an_eido_document() -> None:
    seen: list[tuple[str, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        body = await request.read()
        assert Webhook(SECRET).verify(body, dict(request.headers))["eidoVersion"] == "1.0"
        seen.append((request.headers["content-type"], body))
        return web.json_response({"accepted": True})

    async def run(url: str) -> list[bool]:
        backend = WebhookBackend(settings(url, body="eido"), accepts(Recorded()))
        try:
            return [(await backend.deliver(backend_lab.delivery(1, created_at=0))).done for _ in range(2)]
        finally:
            await backend.close()

    with served_here(answer) as url:
        assert asyncio.run(run(url)) == [True, True]
    assert seen[0] == seen[1]
    assert seen[0][0] == "application/emergencyCallData.eido+json"


def test_what_is_late_says_so() -> None:
    late: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        late.append(request.headers.get(LATE))
        return web.Response()

    async def run(url: str) -> None:
        backend = WebhookBackend(settings(url), accepts(Recorded()), clock=lambda: 100_000_000)
        for created_at in (90_000_000, 10_000_000):
            await backend.deliver(replace(DELIVERY, created_at=created_at))
        await backend.close()

    with served_here(answer) as url:
        asyncio.run(run(url))
    assert late == [None, "90"]


def test_an_unknown_authority_is_not_trusted_and_our_own_is(tmp_path: Path) -> None:
    authority, certificate, key = authority_and_certificate(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    with served_here(says(200, '{"accepted": true}'), context) as url:
        stranger, ours = attempt(url), attempt(url, ca_file=str(authority))
        missing = attempt(url, ca_file=str(tmp_path / "nothing.pem"))
    assert (stranger.error or "").startswith("its certificate was not trusted")
    assert ours.done
    assert missing.error == "its ca_file cannot be used: No such file or directory"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "ok",
        "[]",
        "{}",
        '{"accepted": false}',
        '{"accepted": 1}',
        '{"accepted": "true"}',
        "[" * 60_000,
        " " * (ANSWER_LIMIT_BYTES + 1) + '{"accepted": true}',
    ],
    ids=["empty", "text", "list", "object", "no", "one", "string", "deep", "too long"],
)
def test_only_a_clear_yes_is_accepted(text: str) -> None:
    outcome, recorded = deliver(says(200, text))
    assert outcome.done
    assert recorded.calls == []


@pytest.mark.parametrize(
    ("status", "reached", "words"),
    [
        (302, True, "it answered 302 Found to http://elsewhere/: redirects are not followed"),
        (400, True, "it answered 400 Bad Request: your id is wrong"),
        (401, True, "it answered 401 Unauthorized (does it know our secret?): your id is wrong"),
        (404, True, "it answered 404 Not Found: your id is wrong"),
        (410, True, "it answered 410 Gone: your id is wrong"),
        (422, True, "it answered 422 Unprocessable Entity: your id is wrong"),
        (429, False, "it answered 429 Too Many Requests: your id is wrong"),
        (500, False, "it answered 500 Internal Server Error: your id is wrong"),
        (599, False, "it answered 599: your id is wrong"),
    ],
)
def test_every_refusal_is_tried_again_and_says_why(status: int, reached: bool, words: str) -> None:
    outcome, recorded = deliver(says(status, "your\n  id is wrong", location="http://elsewhere/"))
    assert (outcome.done, outcome.reached, outcome.retry_after_s) == (False, reached, None)
    assert (outcome.error or "").startswith(words)
    assert recorded.calls == []


@pytest.mark.parametrize(("status", "expected"), [(503, 7.0), (429, 7.0), (500, None)])
def test_retry_after_is_honoured_where_it_belongs(status: int, expected: float | None) -> None:
    outcome, _ = deliver(says(status, retry_after="7"))
    assert outcome.retry_after_s == expected


def test_a_refusal_longer_than_the_limit_is_not_read_to_its_end() -> None:
    outcome, _ = deliver(says(500, "x" * (1 << 20)))
    assert outcome.error == "it answered 500 Internal Server Error with more than 64 KiB"


def test_an_answer_that_does_not_come_is_cut_off() -> None:
    async def answer(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    outcome, _ = deliver(answer, timeout_s=0.2)
    assert (outcome.done, outcome.reached) == (False, False)
    assert outcome.error == "it gave no answer within 0.2 s"


def test_an_answer_that_trickles_is_cut_off_too() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(0.05)

    outcome, _ = deliver(answer, timeout_s=0.3)
    assert outcome.error == "it gave no answer within 0.3 s"


def test_a_connection_that_breaks_is_no_answer() -> None:
    async def hangs_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    outcome, _ = deliver(hangs_up)
    assert not outcome.done
    assert not outcome.reached

    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b'{"accepted": true')
        assert request.transport is not None
        request.transport.close()
        return response

    outcome, recorded = deliver(breaks_off)
    assert outcome.error == "its answer broke off"
    assert recorded.calls == []


def attempt(url: str, **more: Any) -> Outcome:
    async def run() -> Outcome:
        backend = WebhookBackend(settings(url, **more), accepts(Recorded()))
        try:
            return await backend.deliver(DELIVERY)
        finally:
            await backend.close()

    return asyncio.run(run())


def test_nobody_listening_is_said_in_words() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound and not listening: refused, and nobody else gets it meanwhile
        port = closed.getsockname()[1]
        outcome = attempt(f"http://127.0.0.1:{port}/")
    assert not outcome.done
    assert outcome.error == f"no connection to 127.0.0.1 port {port}: Connection refused"


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "localhost", "10.1.2.3", "169.254.169.254"])
def test_private_addresses_are_refused_when_the_settings_say_so(host: str) -> None:
    outcome = attempt(f"http://{host}:9/", allow_private=False)
    assert not outcome.done
    assert (outcome.error or "").endswith("is not a public address, and allow_private is false")


def test_public_and_private_addresses_are_told_apart() -> None:
    assert is_public("103.10.61.1")
    assert is_public("2001:4860::1")
    for private in ("127.0.0.1", "::1", "fe80::1%eth0", "192.168.1.1", "::ffff:10.0.0.1", "0.0.0.0"):
        assert not is_public(private)


@given(st.text(), st.floats(0, 4e9))
def test_no_retry_after_can_ask_for_more_than_a_minute(header: str, now_s: float) -> None:
    seconds = retry_after_s(header, now_s)
    assert seconds is None or 0 <= seconds <= 60


def test_retry_after_may_be_a_date() -> None:
    at = 1_795_000_000
    assert retry_after_s(formatdate(at + 10, usegmt=True), at) == 10
    assert retry_after_s(formatdate(at - 10, usegmt=True), at) == 0
    assert retry_after_s("999999999999999999999", at) == 60
    assert retry_after_s("soon", at) is None
