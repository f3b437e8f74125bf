"""The desk over real HTTP: who may do what, forms, two operators at once, texts that are markup, the live line."""

from __future__ import annotations

import http.client
import json
import re
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from zoneinfo import ZoneInfo

import pytest
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from starlette.applications import Starlette
from starlette.routing import Route

from gateway.clock import now_us
from gateway.desk.guard import FAILURES, Limiter
from gateway.desk.pages import Desk
from gateway.incidents.book import Book
from gateway.incidents.events import record
from gateway.outbox import rows
from gateway.registry import logins, operators, phones, units
from gateway.registry.devices import add_device, get_device, revoke_device
from gateway.registry.people import add_owner
from gateway.store.engine import Store
from gateway.store.schema import deliveries, device_events, devices, events, incidents, invitations
from panic_wire.frames import ALARM, TEST, Alarm, Header
from panic_wire.topics import device_name
from tests.unit.gateway.outbox_lab import DEVICE, enqueue, lab_store, served

PASSWORD = "rahasia sekali"
MARKUP = "<script>alert(1)</script> & co"
# Every route of the desk and who may use it. A route that is missing here fails test_every_route.
ANYBODY, STAFF, ADMINISTRATORS = {None, "operator", "administrator"}, {"operator", "administrator"}, {"administrator"}
ROUTES = {
    ("GET", "/login"): ANYBODY,
    ("POST", "/login"): ANYBODY,
    ("GET", "/link"): ANYBODY,
    ("POST", "/link"): ANYBODY,
    ("POST", "/language"): ANYBODY,
    ("POST", "/logout"): STAFF,
    ("GET", "/"): STAFF,
    ("GET", "/live"): STAFF,
    ("POST", "/tests/closed"): STAFF,
    ("GET", "/incidents/{id}"): STAFF,
    ("POST", "/incidents/{id}/merge"): STAFF,
    ("POST", "/incidents/{id}/split"): STAFF,
    ("POST", "/incidents/{id}/{stage}"): STAFF,
    ("GET", "/troubles"): STAFF,
    ("GET", "/phones"): STAFF,
    ("POST", "/phones"): STAFF,
    ("POST", "/phones/{name}/revoked"): STAFF,
    ("POST", "/registrations/{asked}/{decision}"): STAFF,
    ("GET", "/operators"): ADMINISTRATORS,
}


class Browser:
    """Cookies, and the form token of the last page."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._where = parts.hostname or "", parts.port or 0
        self.cookies: dict[str, str] = {}
        self.form_token = ""

    def ask(self, method: str, path: str, form: dict[str, str] | None = None, **headers: str) -> tuple[int, str, Any]:
        """(status, body, headers); redirects are not followed."""
        connection = http.client.HTTPConnection(*self._where, timeout=10)
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None if form is None else urlencode(form)
        kind = {} if body is None else {"content-type": "application/x-www-form-urlencoded"}
        connection.request(method, path, body, {"cookie": cookie, "accept": "text/html", **kind, **headers})
        answer = connection.getresponse()
        if answer.getheader("content-type", "").startswith("text/event-stream"):
            text = ""
            while "data:" not in text:  # the first event, whole
                text += answer.readline().decode()
            connection.close()
            return answer.status, text, answer.headers
        text = answer.read().decode()
        connection.close()
        for value in answer.headers.get_all("set-cookie", []):
            name, _, rest = value.partition("=")
            self.cookies[name] = rest.split(";")[0].strip('"')
        if found := re.search(r'name="form_token" value="([0-9a-f]+)"', text):
            self.form_token = found[1]
        return answer.status, text, answer.headers

    def post(self, path: str, **form: str) -> tuple[int, str, Any]:
        return self.ask("POST", path, {"form_token": self.form_token, **form})

    def log_in(self, name: str, password: str = PASSWORD) -> int:
        return self.ask("POST", "/login", {"name": name, "password": password})[0]


@pytest.fixture(scope="module")
def password_hash() -> str:
    return PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)  # hundreds of logins


@pytest.fixture
def store(tmp_path: Path, password_hash: str) -> Iterator[Store]:
    with lab_store(tmp_path) as store:
        with store.write() as conn:
            for name, role in (("Ani", "operator"), ("Budi", "operator"), ("Citra", "administrator")):
                operators.add_operator(conn, name=name, password_hash=password_hash, role=role, now_us=now_us())
            units.add_unit(conn, "Patroli 1", now_us())
            owner = add_owner(conn, name=MARKUP, registered_message=MARKUP, now_us=now_us())
            conn.execute(devices.update().values(owner_id=owner.id))
        yield store


@pytest.fixture
def incident(store: Store) -> str:
    with store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        alarm = Alarm(1, lat_e7=-69932000, lon_e7=1104203000, accuracy_m=5)
        return Book([], "test").take_alarm(conn, device, Header(ALARM, 0, DEVICE, 1, 1), alarm, now_us()).incident_id


@pytest.fixture
def desk(store: Store) -> Desk:
    return Desk(store, Book([], "test"), lambda: None, ZoneInfo("Asia/Jakarta"), "polres-test")


@pytest.fixture
def url(desk: Desk) -> Iterator[str]:
    with served(Starlette(routes=desk.routes())) as url:
        yield url


def in_as(url: str, name: str) -> Browser:
    browser = Browser(url)
    assert browser.log_in(name) == 303
    assert browser.ask("GET", "/")[0] == 200
    return browser


def history(store: Store) -> list[tuple[str, str]]:
    with store.read() as conn:
        return [(row.kind, row.actor) for row in conn.execute(events.select().order_by(events.c.id)).all()]


def test_every_route_is_in_the_table(desk: Desk) -> None:
    found = {
        (method, route.path)
        for route in desk.routes()
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert found == set(ROUTES)


@pytest.mark.parametrize("role", [None, "operator", "administrator"])
def test_every_route(url: str, incident: str, role: str | None) -> None:
    name = {None: None, "operator": "Ani", "administrator": "Citra"}[role]
    for (method, path), allowed in ROUTES.items():
        browser = Browser(url) if name is None else in_as(url, name)
        where = path.format(id=incident, stage="acknowledged", name="phone-1", asked="00", decision="refused")
        form = {"form_token": browser.form_token} if method == "POST" else None
        status, _, headers = browser.ask(method, where, form, accept="application/json")
        refused = status == 403 or (status == 401 and path not in ("/login", "/link"))
        assert refused == (role not in allowed), (method, path, status)
        assert status < 500
        if refused or method == "GET":
            assert "default-src 'none'" in headers["content-security-policy"], path
            assert headers["x-content-type-options"] == "nosniff"


def test_one_emergency_from_press_to_close(url: str, store: Store, incident: str) -> None:
    ani = in_as(url, "Ani")
    page = f"/incidents/{incident}"
    assert "baru" in ani.ask("GET", "/")[1]
    assert ani.post(f"{page}/acknowledged")[0] == 303
    for unit in ({}, {"unit": "Patroli 9"}):  # which unit?
        assert ani.post(f"{page}/dispatched", **unit)[0] == 400
    assert ani.post(f"{page}/dispatched", unit="Patroli 1")[0] == 303
    assert ani.post(f"{page}/on_scene")[0] == 303
    assert ani.post(f"{page}/closed")[0] == 400  # how did it end?
    assert ani.post(f"{page}/closed", disposition="genuine", note="selesai")[0] == 303
    _, text, _ = ani.ask("GET", page)
    assert "Ani: Patroli 1" in text
    assert "Ani: benar · selesai" in text
    assert [one for one in history(store) if one[1].startswith("operator")] == [
        (stage, "operator:Ani") for stage in ("acknowledged", "dispatched", "on_scene", "closed")
    ]


def test_the_second_is_told_who_was_first(url: str, store: Store, incident: str) -> None:
    page, browsers = f"/incidents/{incident}", [in_as(url, "Ani"), in_as(url, "Budi")]
    answers: dict[int, str] = {}

    def claim(number: int) -> None:
        _, _, headers = browsers[number].post(f"{page}/acknowledged")
        answers[number] = headers["location"]

    threads = [threading.Thread(target=claim, args=(number,)) for number in (0, 1)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers.values()) == [page, f"{page}?second=acknowledged"]
    second = next(number for number, where in answers.items() if "second" in where)
    first = ["Ani", "Budi"][1 - second]
    assert f"sudah dinyatakan oleh {first}" in browsers[second].ask("GET", answers[second])[1]
    assert [kind for kind, _ in history(store)].count("acknowledged") == 1
    # The same form once more, from a page that is old by now.
    assert browsers[1 - second].post(f"{page}/acknowledged")[2]["location"] == f"{page}?second=acknowledged"


def test_a_form_without_its_token_or_of_another_session(url: str, store: Store, incident: str) -> None:
    ani, budi = in_as(url, "Ani"), in_as(url, "Budi")
    path = f"/incidents/{incident}/acknowledged"
    for token in ("", budi.form_token, "é"):
        assert ani.ask("POST", path, {"form_token": token})[0] == 403
    status, _, _ = ani.ask("POST", path, {"form_token": ani.form_token}, **{"sec-fetch-site": "cross-site"})
    assert status == 403
    assert [kind for kind, _ in history(store)] == ["opened"]


def test_markup_stays_text(url: str, incident: str) -> None:
    ani = in_as(url, "Ani")
    ani.post(f"/incidents/{incident}/closed", disposition="false", note="<b>1</b>")
    for path in ("/", f"/incidents/{incident}"):
        _, text, _ = ani.ask("GET", path)
        assert "<script>alert" not in text
        assert "&lt;script&gt;alert(1)" in text
        assert "<b>" not in text
    _, text, _ = ani.ask("GET", "/live?seen=0&page=queue")
    assert "<script>alert" not in text


def test_wrong_passwords_are_limited(url: str) -> None:
    browser = Browser(url)
    for _ in range(FAILURES):
        assert browser.log_in("Ani", "wrong password") == 401
    assert browser.log_in("Ani") == 429
    assert browser.log_in("Budi") == 429  # the same address


def test_passwords_are_slow_to_try_whether_or_not_somebody_has_the_name() -> None:
    hashed = operators.hash_password(PASSWORD)
    assert operators.is_password(PASSWORD, hashed)
    assert not operators.is_password("wrong password", hashed)
    assert not operators.is_password(PASSWORD, None)
    with pytest.raises(VerifyMismatchError):  # it is a hash, and as dear
        PasswordHasher().verify(operators._NOBODY, PASSWORD)
    assert not PasswordHasher().check_needs_rehash(operators._NOBODY)


def test_the_limit_passes() -> None:
    now = [0.0]
    limiter = Limiter(lambda: now[0])
    for _ in range(FAILURES):
        limiter.failed("a")
    assert limiter.is_blocked("a", "b")
    assert not limiter.is_blocked("b")
    now[0] = 301.0
    assert not limiter.is_blocked("a")


def test_logging_out_and_being_revoked_end_a_session(url: str, store: Store) -> None:
    ani, again = in_as(url, "Ani"), in_as(url, "Ani")
    old = dict(ani.cookies)
    assert ani.post("/logout")[0] == 303
    ani.cookies = old
    assert ani.ask("GET", "/")[0] == 303
    with store.write() as conn:
        operators.revoke_operator(conn, "Ani", now_us())
    assert again.ask("GET", "/")[2]["location"] == "/login"
    assert Browser(url).log_in("Ani") == 401


def test_a_link_logs_in_once(url: str, store: Store) -> None:
    with store.write() as conn:
        found, _ = operators.find_hash(conn, "Budi")
        assert found is not None
        token = logins.begin(conn, found.id, now_us(), logins.LINK)
    browser = Browser(url)
    assert token in browser.ask("GET", f"/link?t={token}")[1]  # looking does not use it up
    browser.cookies["sigap_session"] = token
    assert browser.ask("GET", "/")[0] == 303  # a link is no session
    assert browser.ask("POST", "/link", {"t": token})[0] == 303
    assert "Budi" in browser.ask("GET", "/")[1]
    assert Browser(url).ask("POST", "/link", {"t": token})[0] == 401


def test_what_could_not_be_told_and_why(url: str, store: Store, incident: str) -> None:
    for attempts, error in ((1, None), (2, "no connection to the mail server")):
        delivery = enqueue(store, "relative:1", incident)
        with store.write() as conn:
            values = {"attempts": attempts, "last_error": error}
            conn.execute(deliveries.update().where(deliveries.c.id == delivery).values(**values))
    text = in_as(url, "Ani").ask("GET", f"/incidents/{incident}")[1]
    assert "relative:1: no connection to the mail server (2)" in text
    assert text.count("relative:1") == 1  # what is under way is no news


def test_each_police_system_has_its_line_and_its_words_stay_text(url: str, store: Store, incident: str) -> None:
    """Whatever a far side sends: as its reference, as its error, as what it says of a stage."""
    book = Book(["police", "arc"], "test")
    failed = enqueue(store, "backend:arc", incident)
    with store.write() as conn:
        values = {"attempts": 3, "last_error": f"it answered 500: {MARKUP}"}
        conn.execute(deliveries.update().where(deliveries.c.id == failed).values(**values))
        book.record_stage(conn, incident, "accepted", "backend:police", {"reference": MARKUP}, now_us())
        said = {"unit": MARKUP, "note": MARKUP}
        book.record_stage(conn, incident, "dispatched", "backend:police", said, now_us())
    text = in_as(url, "Ani").ask("GET", f"/incidents/{incident}")[1]
    assert MARKUP not in text
    lines = re.findall(r'<li data-backend="(\w+)" data-state="(\w+)">(.*?)</li>', text, re.S)
    assert [(name, state) for name, state, _ in lines] == [("arc", "waiting"), ("police", "accepted")]
    assert "it answered 500: &lt;script&gt;" in lines[0][2]
    assert "&lt;script&gt;" in lines[1][2]
    assert "unit berangkat" in lines[1][2]


def test_the_live_line(url: str, store: Store, incident: str) -> None:
    ani = in_as(url, "Ani")
    _, text, headers = ani.ask("GET", "/live?seen=0")
    assert headers["content-type"].startswith("text/event-stream")
    fields = dict(line.split(": ", 1) for line in text.splitlines() if line)
    assert fields["event"] == "change"
    assert json.loads(fields["data"]) == {"unseen": 1}
    _, text, _ = ani.ask("GET", "/live?seen=0&page=queue")
    assert MARKUP not in text
    _, text, _ = ani.ask("GET", "/live?seen=999999")
    assert "event: beat\n" in text


def test_a_live_line_ends_so_that_who_may_is_asked_again(
    url: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.desk.live.LIFE_S", 0.2)
    monkeypatch.setattr("gateway.desk.live.BEAT_S", 0.05)
    ani = in_as(url, "Ani")
    cookie = "; ".join(f"{name}={value}" for name, value in ani.cookies.items())
    with urllib.request.urlopen(urllib.request.Request(f"{url}/live?seen=9", headers={"cookie": cookie})) as line:
        assert line.read().count(b"event: beat") >= 2  # until its end
    with store.write() as conn:
        operators.revoke_operator(conn, "Ani", now_us())
    assert ani.ask("GET", "/live?seen=9", accept="text/event-stream")[0] == 401


def test_tests_are_apart_and_closed_together(url: str, store: Store, incident: str) -> None:
    with store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        Book([], "test").take_alarm(conn, device, Header(TEST, 0, DEVICE, 1, 2), Alarm(2), now_us())
    ani = in_as(url, "Ani")
    _, text, _ = ani.ask("GET", "/")
    emergencies, tests = text.split("<h2>")
    assert ("UJI COBA" in emergencies, "UJI COBA" in tests) == (False, True)
    assert ani.post("/tests/closed")[0] == 303
    with store.read() as conn:
        states = {row.test: (row.state, row.disposition) for row in conn.execute(incidents.select())}
    assert states == {False: ("open", None), True: ("closed", "test")}


def test_two_incidents_are_merged_and_split(url: str, store: Store, incident: str) -> None:
    with store.write() as conn:
        device = add_device(conn, name="shop-2", site_name="Pasar", site_lat=-7.0, site_lon=110.42, now_us=now_us())
        alarm, header = Alarm(1), Header(ALARM, 0, device.id, 1, 1)
        other = Book([], "test").take_alarm(conn, device, header, alarm, now_us()).incident_id
    ani, page = in_as(url, "Ani"), f"/incidents/{incident}"
    offered = re.search(rf'<option value="{other}">([^<]*)</option>', ani.ask("GET", page)[1])
    assert offered is not None
    assert offered[1].startswith("shop-2 · Pasar · ")
    assert offered[1].endswith(" · 0.8 km")
    assert ani.post(f"{page}/merge", other="none")[0] == 404
    assert ani.post(f"{page}/merge", other=other)[2]["location"] == page
    again = ani.post(f"{page}/merge", other=other)[2]["location"]
    assert again == f"{page}?second=together"  # somebody was first
    assert "Tidak digabung atau dipisahkan" in ani.ask("GET", again)[1]
    text = ani.ask("GET", page)[1]
    assert text.count("data-button") == 2
    assert "kejadian lain digabungkan ke sini" in text
    assert f'href="{page}"' in ani.ask("GET", f"/incidents/{other}")[1]
    assert ani.post(f"{page}/split", device="shop-2")[0] == 400
    assert "second=together" in ani.post(f"{page}/split", device="0000ffff")[2]["location"]
    new = ani.post(f"{page}/split", device=device_name(device.id))[2]["location"]
    assert new not in (page, f"/incidents/{other}")
    assert "dipisahkan dari kejadian lain" in ani.ask("GET", new)[1]
    assert "data-button" not in ani.ask("GET", page)[1]
    kinds = [one for one in history(store) if one[1] == "operator:Ani"]
    assert [kind for kind, _ in kinds] == ["merged_into", "merged_from", "split_off", "split_from"]


def test_pressing_again_asks_for_somebody_again(url: str, store: Store, incident: str) -> None:
    ani, page = in_as(url, "Ani"), f"/incidents/{incident}"
    ani.post(f"{page}/dispatched", unit="Patroli 1")
    with store.write() as conn:
        device = get_device(conn, DEVICE)
        assert device is not None
        Book([], "test").take_alarm(conn, device, Header(ALARM, 0, DEVICE, 1, 2), Alarm(2), now_us())
    assert 'data-unseen="1"' in ani.ask("GET", page)[1]
    assert "ditekan lagi" in ani.ask("GET", "/")[1]
    assert ani.post(f"{page}/acknowledged")[2]["location"] == page
    assert 'data-unseen="0"' in ani.ask("GET", page)[1]


def test_a_revoked_button_is_marked(url: str, store: Store, incident: str) -> None:
    with store.write() as conn:
        revoke_device(conn, "shop-1", now_us())
    ani = in_as(url, "Ani")
    assert "dicabut" in ani.ask("GET", "/")[1]
    assert "DICABUT" in ani.ask("GET", f"/incidents/{incident}")[1]


def test_english(url: str, incident: str) -> None:
    ani = in_as(url, "Ani")
    assert ani.ask("POST", "/language", {"language": "en"})[0] == 303
    assert "I have seen it" in in_as(url, "Ani").ask("GET", f"/incidents/{incident}")[1]  # hers, in any browser
    assert "Saya lihat" in in_as(url, "Budi").ask("GET", f"/incidents/{incident}")[1]
    assert "I have seen it" in ani.ask("GET", f"/incidents/{incident}")[1]


def test_long_and_strange_forms(url: str, incident: str) -> None:
    ani = in_as(url, "Ani")
    assert ani.post(f"/incidents/{incident}/dispatched", unit="x" * 20_000)[0] == 413
    assert ani.post(f"/incidents/{incident}/accepted")[0] == 404
    assert ani.post("/incidents/none/acknowledged")[0] == 404
    assert ani.ask("GET", "/incidents/none")[0] == 404
    assert ani.ask("GET", "/static/../pages.py")[0] == 404


def test_who_was_not_told_is_on_the_page_of_troubles_and_beside_the_queue(store: Store, incident: str) -> None:
    letter = enqueue(store, "relative:7", incident, now_us=now_us())
    late = enqueue(store, "backend:police", incident, now_us=now_us() - 21_000_000)
    with store.write() as conn:
        rows.give_up(conn, letter, now_us=now_us(), error=MARKUP)
        rows.retry_later(conn, late, next_at=now_us(), error="no connection")
        record(conn, incident, now_us(), "not_accepted", "gateway", {"after_s": 20.0})
    deadlines = {"backend:police": 20.0, "relative:": 120.0}
    zone = ZoneInfo("Asia/Jakarta")
    desk = Desk(store, Book(["police"], "test"), lambda: None, zone, "polres-test", deadlines=deadlines)
    with served(Starlette(routes=desk.routes())) as url:
        browser = in_as(url, "Ani")
        page, queue = browser.ask("GET", "/troubles")[1], browser.ask("GET", "/")[1]
    assert f'data-unaccepted="{incident}"' in page
    assert 'data-untold="backend:police"' in page
    assert "no connection" in page
    assert 'data-untold="relative:7"' in page
    assert "belum diterima sistem polisi" in queue
    assert "Tidak diberi tahu pada waktunya: 3" in queue


def test_a_phone_is_invited_and_revoked_at_the_desk(store: Store, desk: Desk, url: str) -> None:
    ani = in_as(url, "Ani")
    status, page, _ = ani.ask("GET", "/phones")
    assert status == 200
    status, page, _ = ani.post("/phones", owner="nobody")
    assert (status, "problem" in page, "#i=" in page) == (400, True, False)
    status, page, _ = ani.post("/phones", owner=MARKUP)
    assert "data:image/svg+xml" in page
    link = re.search(r"/sos/#i=([\w-]+)", page)
    assert link is not None
    with store.write() as conn:
        made = phones.enrol(conn, link[1], bytes(16), None, now_us())
        assert phones.owner_name(conn, made) == MARKUP
        invited = conn.execute(invitations.select()).one()
    assert (invited.invited_by, invited.device_id) == ("operator:Ani", made.id)
    assert made.name in ani.ask("GET", "/phones")[1]
    assert ani.post(f"/phones/{made.name}/revoked")[0] == 303
    assert made.name not in ani.ask("GET", "/phones")[1]
    with store.read() as conn:
        noted = conn.execute(device_events.select()).one()
    assert (noted.kind, noted.actor, noted.device_id) == ("revoked", "operator:Ani", made.id)
    # A button is no phone.
    with store.read() as conn:
        button = get_device(conn, DEVICE)
    assert button is not None
    assert ani.post(f"/phones/{button.name}/revoked")[0] == 404


def test_who_asked_is_let_in_or_not(store: Store, url: str) -> None:
    ani = in_as(url, "Ani")
    with store.write() as conn:
        asked = [phones.invite(conn, invited_by="person", now_us=now_us(), about=name, waiting=True) for name in "AB"]
        for token in asked:
            with pytest.raises(phones.NotYet):
                phones.enrol(conn, token, bytes(16), phones.Person(MARKUP), now_us())
    page = ani.ask("GET", "/phones")[1]
    first, second = re.findall(r'data-asked="([0-9a-f]+)"', page)
    assert ani.post(f"/registrations/{first}/approved")[0] == 303
    assert ani.post(f"/registrations/{second}/refused")[0] == 303
    assert ani.post(f"/registrations/{second}/approved")[0] == 303  # somebody else was first: nothing happens
    for bad in ("zz/approved", f"{first}/perhaps"):
        assert ani.post(f"/registrations/{bad}")[0] == 404
    assert "data-asked" not in ani.ask("GET", "/phones")[1]
    with store.write() as conn:
        assert phones.enrol(conn, asked[0], bytes(16), phones.Person("Warga baru"), now_us()).kind == "phone"
        with pytest.raises(phones.NotInvited):
            phones.enrol(conn, asked[1], bytes(16), phones.Person("Warga lain"), now_us())
        row = conn.execute(invitations.select()).one()
    assert (row.invited_by, row.about) == ("operator:Ani", None)
