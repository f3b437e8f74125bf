"""The CAP backend: what an agency's answers mean, what it is told of a whole incident, and its Atom feed."""

from __future__ import annotations

import asyncio
import base64
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.message import Message
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import feedparser
import pytest
from aiohttp import web
from starlette.applications import Starlette

from gateway.backend_settings import CapSettings
from gateway.backends.cap import feed, message
from gateway.backends.cap.backend import CapBackend
from gateway.outbox import rows
from gateway.outbox.port import Delivery, Outcome
from gateway.store.engine import Store
from simulator.police.receivers import cap as reference
from tests.unit.gateway.backend_lab import INCIDENT, Accepted, Answer, delivery, far_side, payload, settled
from tests.unit.gateway.outbox_lab import NOW, lab_store, served
from tests.unit.gateway.test_cap_message import is_right

SENDER, PASSWORD = "polres-semarang@example.org", "pintu masuk rahasia"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with lab_store(tmp_path, INCIDENT) as made:
        yield made


def settings(**more: Any) -> CapSettings:
    return CapSettings(**{"kind": "cap", "name": "police", "sender": SENDER, "timeout_s": 2.0, **more})


def post(store: Store, answer: Answer, *deliveries: Delivery) -> tuple[list[Outcome], Accepted]:
    accepted = Accepted()

    async def run() -> list[Outcome]:
        async with far_side(answer) as url:
            backend = CapBackend(settings(url=url, timeout_s=0.4), accepted, store)
            try:
                return [settled(await backend.deliver(each)) for each in deliveries or (delivery(),)]
            finally:
                await backend.close()

    return asyncio.run(run()), accepted


def says(body: str | bytes, status: int = 200) -> Answer:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(status=status, body=body, content_type="application/cap+xml")

    return answer


def cap(kind: str, about: str, note: str = "") -> str:
    words = f"<note>{note}</note>" if note else ""
    return (
        f'<alert xmlns="{message.NAMESPACE}"><identifier>K-1</identifier><sender>a</sender><msgType>{kind}</msgType>'
        f"{words}<references>{SENDER},{about},2026-11-24T03:40:41-00:00</references></alert>"
    )


OURS = delivery().id
BOMB = '<!DOCTYPE b [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]><b>&b;</b>'


@pytest.mark.parametrize(
    ("body", "status", "done", "accepted", "words"),
    [
        (cap("Ack", OURS), 200, True, True, ""),
        (cap("Ack", "another"), 200, True, False, ""),
        (cap("Ack", OURS).replace(message.NAMESPACE, "urn:other"), 200, True, False, ""),
        (cap("Alert", OURS), 200, True, False, ""),
        (cap("Error", OURS, "no area"), 200, False, False, "it answered with a CAP Error: no area"),
        ("", 200, True, False, ""),
        ("thank you", 202, True, False, ""),
        (BOMB, 200, True, False, ""),
        ("<a>" * 50_000, 200, True, False, ""),
        ("x" * 1_000_000, 200, True, False, ""),
        ("no", 403, False, False, "it answered 403 Forbidden"),
        ("later", 503, False, False, "it answered 503 Service Unavailable: later"),
        ("what", 422, False, False, "it answered 422"),
    ],
    ids=["ack", "other", "namespace", "alert", "error", "empty", "text", "bomb", "deep", "huge", "403", "503", "422"],
)
def test_what_an_answer_means(store: Store, body: str, status: int, done: bool, accepted: bool, words: str) -> None:
    (outcome,), taken = post(store, says(body, status))
    assert outcome.done == done
    assert bool(taken.of) == accepted
    assert words in (outcome.error or "")


def test_a_slow_agency_is_cut_off(store: Store) -> None:
    async def slow(_request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    (outcome,), _ = post(store, slow)
    assert outcome.error == "it gave no answer within 0.4 s"


def test_half_an_answer_and_none(store: Store) -> None:
    async def breaks_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"content-length": "100"})
        await response.prepare(request)
        await response.write(b"<alert")
        assert request.transport is not None
        request.transport.close()
        return response

    (outcome,), taken = post(store, breaks_off)
    assert outcome.error == "its answer broke off"
    assert taken.of == []

    async def nobody() -> Outcome:
        backend = CapBackend(settings(url="http://127.0.0.1:1/cap"), Accepted(), store)
        try:
            return await backend.deliver(delivery())
        finally:
            await backend.close()

    assert "no connection to 127.0.0.1 port 1" in (asyncio.run(nobody()).error or "")


def tell(store: Store, number: int, **data: Any) -> Delivery:
    """Written to the outbox as the book does, and done as the outbox does."""
    event = payload(number, **data)
    with store.write() as conn:
        about = {"destination": "backend:police", "incident_id": INCIDENT, "kind": event["type"]}
        rows.enqueue(conn, **about, payload=event, now_us=NOW + number, delivery_id=event["id"])
        rows.finish(conn, event["id"], now_us=NOW + number)
    return Delivery(event["id"], "backend:police", INCIDENT, event["type"], event, 1, NOW + number)


def test_a_whole_incident_at_the_reference_receiver(store: Store) -> None:
    """Alert, Update, Cancel: each names those before it, and each is valid where it arrives."""
    heard: list[dict[str, Any]] = []
    bodies: list[bytes] = []

    async def agency(request: web.Request) -> web.Response:
        bodies.append(await request.read())
        got = await asyncio.to_thread(get, f"{url}/cap", {"content-type": "application/cap+xml"}, bodies[-1])
        return web.Response(status=got.status, body=got.body)

    told = [
        tell(store, 1),
        tell(store, 2, change="position"),
        tell(store, 3, change="closed", state="closed", disposition="genuine"),
    ]
    with served(reference.Receiver(heard.append).asgi) as url:
        outcomes, accepted = post(store, agency, *told)
    assert all(outcome.done for outcome in outcomes)
    assert [identifier for identifier, _ in accepted.of] == [each.id for each in told]
    assert [each["msgType"] for each in heard] == ["Alert", "Update", "Cancel"]
    ids = [[part.split(",")[1] for part in each["references"].split()] for each in heard]
    assert ids == [[], [told[0].id], [told[0].id, told[1].id]]
    for body in bodies:
        is_right(body)


def test_the_end_alone_is_not_sent(store: Store) -> None:
    async def never(_request: web.Request) -> web.Response:
        raise AssertionError("nothing should be sent")

    (outcome,), _ = post(store, never, delivery(change="closed"))
    assert outcome.done


def feed_app(store: Store) -> Starlette:
    return Starlette(routes=feed.routes(store, [settings(feed_password=PASSWORD)], "polres-semarang"))


def credentials(password: str) -> dict[str, str]:
    return {"authorization": "Basic " + base64.b64encode(f"any:{password}".encode()).decode()}


class Got(NamedTuple):
    status: int
    headers: Message
    body: bytes


def get(url: str, headers: dict[str, str] | None = None, body: bytes | None = None) -> Got:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body, headers or {}), timeout=10) as answer:
            return Got(answer.status, answer.headers, answer.read())
    except urllib.error.HTTPError as error:
        return Got(error.code, error.headers, error.read())


def test_a_feed_reader_opens_the_feed_and_its_messages(store: Store) -> None:
    tell(store, 1)
    tell(store, 2, change="closed", state="closed", disposition="genuine")
    with served(feed_app(store)) as url:
        found = feedparser.parse(f"{url}/v1/backends/police/feed", request_headers=credentials(PASSWORD))
        assert found.status == 200
        assert not found.bozo
        assert found.feed.title == "Tombol darurat polres-semarang"
        assert [each.title for each in found.entries] == [
            "Keadaan darurat Toko Contoh telah berakhir",
            "Toko Contoh menekan tombol darurat dan butuh pertolongan",
        ]
        kinds = []
        for each in found.entries:
            got = get(each.link, credentials(PASSWORD))
            assert got.headers["content-type"] == "application/cap+xml; charset=utf-8"
            kinds.append(is_right(got.body).findtext(f"{{{message.NAMESPACE}}}msgType"))
    assert kinds == ["Cancel", "Alert"]


@pytest.mark.parametrize(
    "headers",
    [{}, credentials("pintu"), credentials(""), {"authorization": "Basic ?"}, {"authorization": "Bearer x"}],
)
def test_the_feed_opens_by_its_password_alone(store: Store, headers: dict[str, str]) -> None:
    told = tell(store, 1)
    with served(feed_app(store)) as url:
        for path in ("feed", f"feed/{told.id}"):
            got = get(f"{url}/v1/backends/police/{path}", headers)
            assert got.status == 401
            assert got.headers["www-authenticate"].startswith("Basic")
            assert b"Toko" not in got.body
        assert get(f"{url}/v1/backends/polda/feed", credentials(PASSWORD)).status == 404


def test_guessing_the_password_is_slow_and_who_knows_it_does_not_wait(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "WRONG_PASSWORD_S", 0.5)
    with served(feed_app(store)) as url, ThreadPoolExecutor(30) as threads:
        where = f"{url}/v1/backends/police/feed"
        guesses = [threads.submit(get, where, credentials(str(number))) for number in range(30)]
        assert get(where, credentials(PASSWORD)).status == 200
        assert not all(each.done() for each in guesses)
        found = [each.result().status for each in guesses]
    assert set(found) == {401, 429}
    assert found.count(401) < 30


def test_a_feed_is_bounded_and_an_empty_one_is_a_feed(store: Store) -> None:
    with served(feed_app(store)) as url:
        where, headers = f"{url}/v1/backends/police/feed", credentials(PASSWORD)
        empty = feedparser.parse(get(where, headers).body)
        assert (empty.bozo, empty.entries) == (False, [])
        assert get(f"{where}/nothing", headers).status == 404
        for number in range(1, feed.MOST_ENTRIES + 20):
            tell(store, number, change="position")
        root = ElementTree.fromstring(get(where, headers).body)
    assert len(root.findall(f"{{{feed.ATOM}}}entry")) == feed.MOST_ENTRIES


def test_without_an_address_the_feed_is_enough(store: Store) -> None:
    async def run() -> Outcome:
        return await CapBackend(settings(feed_password=PASSWORD), Accepted(), store).deliver(delivery())

    assert asyncio.run(run()).done
