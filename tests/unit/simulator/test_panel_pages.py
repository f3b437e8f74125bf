"""Who the panel answers, what it bounds, and that its texts are translated."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPMessage
from typing import NamedTuple

import pytest
from babel.messages.extract import extract_from_dir

from sigap.problem import Problem
from sigap.words import catalogue
from simulator.panel.app import BODY_LIMIT_BYTES
from simulator.panel.pages import MOST_PAGES, QUEUE_LIMIT, Pages
from simulator.panel.server import listen, serving
from simulator.panel.words import LOCALE

OURS = {"sec-fetch-site": "same-origin"}
JSON = {**OURS, "content-type": "application/json"}


def no_world() -> tuple[int, str]:
    raise Problem("no world is running")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: HTTPMessage
    text: str


class Visitor:
    """Asks a panel that is served, as bare as it can be. cookie: as it was set."""

    def __init__(self, link: str) -> None:
        self.port, self.token = int(link.split(":")[2].split("/")[0]), link.split("=")[1]
        self.cookie = ""

    def ask(self, how: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Header names with _ for -."""
        sent = {"host": f"127.0.0.1:{self.port}", "cookie": self.cookie}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(HTTPConnection("127.0.0.1", self.port, timeout=10)) as connection:
            connection.request(how, path, body, sent)
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read().decode())

    def get(self, path: str, **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        return self.ask("POST", path, body, **headers)

    def log_in(self) -> Answer:
        answer = self.get(f"/?t={self.token}")
        self.cookie = answer.headers["set-cookie"].split(";")[0]
        return answer


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of a panel without a world."""
    with listen(0) as listener, serving(listener, no_world, tmp_path_factory.mktemp("assets")) as serves:
        yield serves.url


@pytest.fixture
def visitor(link: str) -> Visitor:
    found = Visitor(link)
    found.log_in()
    return found


def test_only_the_link_opens_it(link: str) -> None:
    stranger = Visitor(link)
    for cookie in ("", f"sigap_panel_{stranger.port}=wrong", 'a="', "=" * 4000):
        stranger.cookie = cookie
        for path in ("/", "/?t=wrong", "/timeline.json", "/live"):
            assert stranger.get(path).status == 403, (path, cookie)
        assert stranger.post("/boards/b/press", b"{}", JSON).status == 403
    answer = stranger.log_in()
    assert (answer.status, answer.headers["location"]) == (303, "/")
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert stranger.get("/").status == 200


def test_it_listens_on_the_loopback_interface_only() -> None:
    with listen(0) as listener:
        assert listener.getsockname()[0] == "127.0.0.1"


def test_no_name_but_its_own(visitor: Visitor) -> None:
    for host in ("evil.example", "127.0.0.1", f"evil.example:{visitor.port}", "127.0.0.1:1"):
        assert visitor.get("/", host=host).status == 421
    assert visitor.get("/", host=f"localhost:{visitor.port}").status == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"sec-fetch-site": "none"}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
        ({"origin": "http://127.0.0.1:{port}"}, 404),
        (OURS, 404),  # ours; but no board has this name
    ],
)
def test_only_its_own_page_changes_something(visitor: Visitor, headers: dict[str, str], status: int) -> None:
    placed = {name: value.format(port=visitor.port) for name, value in headers.items()}
    assert visitor.post("/boards/b/press", b"{}", {"content-type": "application/json", **placed}).status == status


def test_what_is_sent_is_bounded_and_json(visitor: Visitor) -> None:
    assert visitor.post("/scenarios", b"name=a", OURS).status == 415
    assert visitor.post("/scenarios", b"x" * (BODY_LIMIT_BYTES + 1), JSON).status == 413
    for body in (b"", b"[]", b"{", b"\xff", b"[" * 4000, b'{"name": 1}', b'{"name": "a", "seed": -1}'):
        assert visitor.post("/scenarios", body, JSON).status == 400, body
    assert visitor.post("/scenarios", b'{"name": "a", "seed": 1}', JSON).status == 409  # there are no scenarios


def test_the_headers_keep_a_browser_safe(visitor: Visitor) -> None:
    for path in ("/", "/timeline.csv", "/static/panel.js", "/nothing", "/static/../app.py"):
        answer = visitor.get(path)
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.status == 404  # nothing outside the folder
    page = visitor.get("/").text
    assert "<script>" not in page
    assert " style=" not in page
    assert 'id="runs"' not in page  # no scenarios: no section for them


def test_a_language_is_kept(visitor: Visitor) -> None:
    assert 'lang="id"' in visitor.get("/").text
    answer = visitor.post("/language", b"language=en", OURS)
    assert answer.headers["set-cookie"].startswith("sigap_language=en;")
    visitor.cookie += "; sigap_language=en"
    assert '<html lang="en">' in visitor.get("/").text
    visitor.cookie += "; sigap_language=fr"
    assert '<html lang="id">' in visitor.get("/").text
    assert visitor.post("/language", b"language=fr", OURS).headers["set-cookie"] is None


def test_a_slow_page_loses_its_line_and_no_other() -> None:
    async def live() -> None:
        pages = Pages()
        slow, quick = pages.open(), pages.open()
        stream = pages.stream(quick, {})
        assert (await anext(stream)).startswith(b"retry: ")
        assert (await anext(stream)).startswith(b"event: hello")
        for number in range(QUEUE_LIMIT + 1):
            pages.publish("pin", {"number": number})
            assert json.loads((await anext(stream)).split(b"data: ")[1]) == {"number": number}
        assert len([said async for said in pages.stream(slow, {})]) == 2  # retry, hello, and the end

    asyncio.run(live())


def test_pages_are_bounded_and_all_end_when_it_closes() -> None:
    async def live() -> None:
        pages = Pages()
        opened = [pages.open() for _ in range(MOST_PAGES)]
        assert pages.is_full
        pages.leave(opened[0])
        assert not pages.is_full
        assert opened[0] not in pages
        pages.close()
        assert len([said async for said in pages.stream(opened[1], {})]) == 2
        assert pages.is_full

    asyncio.run(live())


def test_every_text_is_translated_and_nothing_is_left_over() -> None:
    methods = [("**.py", "python"), ("**.html", "jinja2.ext.babel_extract")]
    found = extract_from_dir(LOCALE.parent, method_map=methods, keywords={"_": None})
    texts = {message if isinstance(message, str) else message[0] for _, _, message, _, _ in found}
    translated = {message.id for message in catalogue(LOCALE, "id") if message.id and message.string}
    assert len(texts) > 40
    assert texts - translated == set(), "not translated in simulator/panel/locale"
    assert translated - texts == set(), "translated, and said by nothing"
