"""A person's phone on the SOS page, in a real Chromium, and the operator at the desk: each sees the other's steps."""

from __future__ import annotations

import re
import urllib.request

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from gateway.phone.words import WORDS
from gateway.registry.people import get_owner, list_relatives
from gateway.words import translator
from sigap.local import Local
from sigap.operator import DeskOperator
from tests.browser.desk_browser import check, open_desk, watched
from tests.browser.phone_browser import (
    alarms_of,
    enrolled,
    new_context,
    phones_of,
    reached,
    ready,
    tap,
)
from tests.system.local_lab import received_by_police, wait_until

MOST_KB = 200


def word(name: str, language: str = "id") -> str:
    return translator(language)(WORDS[name])


def test_from_the_invitation_to_the_end(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    page, phone = enrolled(one, context)
    # First of all, a trial, which is one on every screen.
    assert page.locator("#sos").is_hidden()
    tap(page, "#test-button")
    reached(page, 1, "#test")
    (trial,) = alarms_of(one, phone)
    assert trial["test"]
    page.click("#test .done")
    # Two taps are nothing, and a third that comes too late is the first of others.
    page.wait_for_selector("#sos:not([hidden])")
    tap(page, times=2)
    page.wait_for_timeout(1200)
    tap(page)
    reached(page, 1)
    _, alarm = alarms_of(one, phone)
    assert not alarm["test"]
    assert (alarm["lat_e7"], alarm["lon_e7"], alarm["accuracy_m"]) == (-69932000, 1104203000, 12)
    assert alarm["bearer"] == "phone"
    told = wait_until(
        lambda: [each for each in received_by_police(one) if alarm["incident_id"] in str(each)], "the police told"
    )
    assert "+62 24 1234567" in str(told)
    wait_until(lambda: any("keluarga-ponsel@example.org" in each.read_text() for each in one.mails.glob("*")), "a mail")
    operator = DeskOperator(one.login_link())
    for number, (stage, fields) in enumerate(
        {"acknowledged": {}, "dispatched": {"unit": "Patroli contoh 1"}, "on_scene": {}}.items(), 3
    ):
        operator.act(alarm["incident_id"], stage, **fields)
        reached(page, number)
        expect(page.locator("#sos .status")).to_have_text(word(stage))
    operator.act(alarm["incident_id"], "closed", disposition="exercise")
    expect(page.locator("#sos .status")).to_have_text(word("closed"))
    page.click("nav [data-to=history]")
    expect(page.locator("#history .list li")).to_have_count(2)
    assert word("on_scene") in page.inner_text("#history .list li:first-child")
    check(page)


def test_a_mistake_is_said_by_holding(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    desk = open_desk(chromium, one, "Dewi")
    tap(page)
    reached(page, 1)
    page.locator("#sos .cancel").scroll_into_view_if_needed()
    box = page.locator("#sos .cancel").bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 20, box["y"] + 20)
    page.mouse.down()
    page.wait_for_timeout(2000)
    page.mouse.up()
    page.wait_for_timeout(300)
    assert alarms_of(one, phone)[0]["cancelled_at"] is None  # not long enough
    page.mouse.down()
    expect(page.locator("#sos .status")).to_have_text(word("cancelled"), timeout=12_000)
    page.mouse.up()
    assert alarms_of(one, phone)[0]["cancelled_at"] is not None
    expect(desk.locator(".mark.mistake")).to_be_visible()
    check(page, desk)


def test_two_tabs_are_one_phone(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    page, phone = ready(one, context)
    other = context.new_page()
    other.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    other.wait_for_selector("#sos:not([hidden])")
    tap(other)
    for tab in (page, other):
        reached(tab, 1)
    assert len(alarms_of(one, phone)) == 1
    # The one that had the connection goes; the other takes it over.
    page.close()
    tap(other)
    wait_until(lambda: len(alarms_of(one, phone)) == 2, "the next alarm by the other tab")


def test_a_person_takes_their_data_back(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.accept()))
    tap(page)
    reached(page, 1)
    page.click("nav [data-to=history]")
    page.click(".forget")
    wait_until(lambda: (page.wait_for_timeout(50), len(said) == 2)[1], "both questions")
    assert said[1] == word("forget_open")  # the police need it now
    operator = DeskOperator(one.login_link())
    operator.act(alarms_of(one, phone)[0]["incident_id"], "closed", disposition="exercise")
    page.click(".forget")
    page.wait_for_selector("#none:not([hidden])")
    with one.store.read() as conn:
        owner = get_owner(conn, phone.owner_id or 0)
        relatives = list_relatives(conn, owner_id=phone.owner_id)
    assert owner is not None
    assert (owner.telephone, owner.revoked, relatives) == (None, True, [])
    assert owner.name.startswith("(erased")
    assert len(alarms_of(one, phone)) == 1


def test_silent_shows_it_and_says_so(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    page.evaluate("() => { window.shaken = []; navigator.vibrate = (pattern) => window.shaken.push(pattern); }")
    page.click("nav [data-to=history]")
    page.check("#silent")
    page.click("nav [data-to=sos]")
    tap(page)
    reached(page, 1)
    assert page.evaluate("window.shaken") == []
    assert page.evaluate("document.body.classList.contains('silent')")
    assert alarms_of(one, phone)[0]["silent"]


def test_an_invitation_is_good_once(one: Local, chromium: Browser) -> None:
    link = one.invitation()
    for number, selector in enumerate(("#enrol:not([hidden])", "#none .gone:not([hidden])")):
        page = new_context(chromium).new_page()
        page.goto(link)
        page.wait_for_selector(selector)
        if number == 0:
            before = phones_of(one)
            page.fill("#enrol [name=name]", "Warga sekali")
            page.fill("#enrol [name=telephone]", "no number")
            page.click("#enrol form button")
            expect(page.locator("#enrol .problem")).to_contain_text(word("telephone"))
            page.fill("#enrol [name=telephone]", "08123456789")
            page.click("#enrol form button")
            page.wait_for_selector("#test:not([hidden])")
            assert phones_of(one) == before + 1


def test_a_person_registers_themselves(one: Local, chromium: Browser) -> None:
    page = watched(new_context(chromium).new_page())
    page.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    page.wait_for_selector("#none:not([hidden])")
    page.fill("#none [name=name]", "Warga mandiri")
    page.fill("#none [name=to]", "nobody")
    page.click("#none .self button")
    expect(page.locator("#none .self .problem")).to_contain_text(word("contact"))
    page.fill("#none [name=to]", "mandiri@example.org")
    page.click("#none .self button")
    page.wait_for_selector("#none .code:not([hidden])")
    mail = wait_until(lambda: next((t for f in one.mails.glob("*") if "mandiri@" in (t := f.read_text())), None), "it")
    code = re.search(r"\b(\d{6}) (?:adalah|is)", mail)
    assert code is not None, mail
    page.fill("#none [name=code]", "000000" if code[1] != "000000" else "111111")
    page.click("#none .self button")
    expect(page.locator("#none .self .problem")).to_have_text(word("wrong_code"))
    page.fill("#none [name=code]", code[1])
    page.click("#none .self button")
    expect(page.locator("#none .waiting")).to_be_visible()
    page.reload()  # it may be days until somebody says yes
    expect(page.locator("#none .waiting")).to_be_visible()
    desk = open_desk(chromium, one, "Eka")
    desk.click("a[href='/phones']")
    row = desk.locator("tr[data-asked]", has_text="mandiri@example.org")
    row.locator("form[action$=approved] button").click()
    page.wait_for_selector("#enrol:not([hidden])")
    page.fill("#enrol [name=name]", "Warga mandiri")
    page.fill("#enrol [name=telephone]", "08123456789")
    page.click("#enrol form button")
    page.wait_for_selector("#test:not([hidden])")
    expect(page.locator("#history .owner")).to_have_text("Warga mandiri")
    check(page, desk)


@pytest.mark.parametrize("language", ["id", "en"])
def test_anybody_can_read_it(one: Local, chromium: Browser, language: str) -> None:
    context = new_context(chromium)
    page, _ = ready(one, context)
    page.set_viewport_size({"width": 320, "height": 560})
    page.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/?l={language}")
    page.wait_for_selector("#sos:not([hidden])")
    assert page.get_attribute("html", "lang") == language
    problems = []
    for view in ("sos", "test", "history"):
        page.click(f"nav [data-to={view}]")
        page.evaluate("document.documentElement.style.fontSize = '150%'")  # large fonts
        problems += _problems(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 320, view
    page.click("nav [data-to=sos]")
    tap(page)
    reached(page, 1)
    problems += _problems(page)
    page.evaluate("document.querySelector('#no-way').hidden = false")
    problems += _problems(page)
    page.goto(one.invitation())
    assert problems == []
    stranger = new_context(chromium).new_page()
    stranger.goto(one.invitation())
    stranger.wait_for_selector("#enrol:not([hidden])")
    assert _problems(stranger) == []


def test_a_keyboard_taps_too(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    page.focus("#sos-button")
    for _ in range(3):
        page.keyboard.press("Enter")
        page.wait_for_timeout(100)
    reached(page, 1)
    assert len(alarms_of(one, phone)) == 1


def test_the_page_is_light(one: Local) -> None:
    base = f"http://127.0.0.1:{one.ports.gateway}/sos/"
    with urllib.request.urlopen(f"{base}sw.js") as answer:
        worker = answer.read().decode()
    names = re.search(r"\.\.\.\[([^\]]+)\]", worker)
    assert names is not None
    scripts = [f"static/{name}.js" for name in re.findall(r'"(\w+)"', names[1])]
    total = 0
    for path in ["", "sw.js", "manifest.webmanifest", "static/sos.css", "static/icon.svg", "static/vendor/mqtt.esm.js"]:
        total += _compressed(base + path)
    total += sum(_compressed(base + path) for path in scripts)
    print(f"\nthe SOS page, compressed: {total / 1024:.1f} kB (aim: {MOST_KB})")
    assert total < MOST_KB * 1024


def _compressed(url: str) -> int:
    asked = urllib.request.Request(url, headers={"accept-encoding": "gzip"})
    with urllib.request.urlopen(asked) as answer:
        return len(answer.read())


def _problems(page: Page) -> list[str]:
    said = Axe().run(page).response
    assert len(said["passes"]) > 5, "axe looked at nothing"
    return [f"{each['id']}: {each['help']} {each['nodes'][0]['html']}" for each in said["violations"]]
