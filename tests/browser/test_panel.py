"""The panel in a real Chromium beside a running Sigap: real presses, plugs that are pulled, each alarm's timeline."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from gateway.clock import now_us
from gateway.registry.people import add_owner
from gateway.store.schema import devices
from sigap.local import WORLD, Button, Local
from sigap.operator import DeskOperator
from sigap.problem import Problem
from sigap.records import Records
from sigap.sim import assets
from simulator.panel.ports import Scenarios
from simulator.panel.server import listen, serving
from simulator.world.client import find
from tests.browser.desk_browser import check, watched
from tests.browser.test_desk_accessible import problems
from tests.system.local_lab import CITIZEN, committed, local, running, wait_until

# A button for each test, so that no alarm of one is in another's way.
NAME, PULLED, HEARD = CITIZEN.name, "citizen-2", "citizen-3"
BUTTONS = (
    CITIZEN,
    Button(PULLED, "Warga kedua", gps={"site": [-6.9920, 110.4250]}),
    Button(HEARD, "Warga ketiga", gps={"site": [-6.9950, 110.4180]}),
)
SHOP = Button("shop-1", "Toko contoh", silent=True, site=("Simpang Lima", -6.99320, 110.42030))
LIMIT_MS = 20_000
DOWN_MS, GAP_MS = 90, 210
LIGHTS = """selector => {
  window.lights = [];
  const card = document.querySelector(selector);
  new MutationObserver(() => window.lights.push(card.dataset.led)).observe(card, { attributes: true });
}"""
MARKUP = "<img src=x onerror='window.owned=1'><b>warga</b>"


@pytest.fixture(scope="module")
def one(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Local]:
    """A Sigap for the tests that leave it running."""
    with running(local(tmp_path_factory.mktemp("sigap"), buttons=(*BUTTONS, SHOP))) as found:
        yield found


def alarms_of(one: Local, name: str) -> list[dict[str, Any]]:
    """What the gateway has committed of this button."""
    device = one.device(name).id
    return [alarm for alarm in committed(one) if alarm["device_id"] == device]


@contextlib.contextmanager
def opened(chromium: Browser, one: Local, scenarios: Scenarios | None = None, language: str = "en") -> Iterator[Page]:
    """The panel of a running Sigap, open in a browser of its own, its boards there."""
    with listen(0) as listener:
        port = listener.getsockname()[1]
        with serving(listener, lambda: find(one.folder), assets(), Records(one.store), scenarios) as serves:
            context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
            context.set_default_timeout(LIMIT_MS)
            cookie = {"name": "sigap_language", "value": language, "domain": "127.0.0.1", "path": "/"}
            context.add_cookies([cookie])
            page = watched(context.new_page())
            page.goto(serves.url)
            assert page.url == f"http://127.0.0.1:{port}/"  # the token stays in no address
            page.wait_for_selector(f"#board-{NAME}[data-state=running]")
            yield page
            context.close()


def card(page: Page, name: str) -> Locator:
    return page.locator(f"#board-{name}")


def word(page: Page, name: str) -> Locator:
    return card(page, name).locator(".word")


def press_three_times(page: Page, name: str) -> None:
    """The mouse goes down and up on the button, as a thumb does."""
    box = card(page, name).locator(".push").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    for _ in range(3):
        page.mouse.down()
        page.wait_for_timeout(DOWN_MS)
        page.mouse.up()
        page.wait_for_timeout(GAP_MS)


def plug(page: Page, name: str, what: str, on: bool) -> None:
    card(page, name).locator(f"[data-plug={what}]").set_checked(on)


def download(page: Page, selector: str) -> str:
    with page.expect_download() as found:
        page.click(selector)
    return Path(found.value.path()).read_text()


class Trivial:
    """Scenarios that are one real process each."""

    PROGRAM = "import sys; sys.stdin.read()"

    def __init__(self) -> None:
        self.running: dict[str, subprocess.Popen[str]] = {}

    def names(self) -> list[dict[str, str]]:
        return [{"name": "waits", "title": "Waits for its <b>end</b>"}]

    def start(self, name: str, seed: int, speed: float | None) -> str:
        if self.running:
            raise Problem("one is running already")
        run = f"{name}-{seed}"
        command = [sys.executable, "-c", self.PROGRAM]
        self.running[run] = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
        return run

    def state(self, run: str) -> dict[str, Any]:
        process = self.running[run]
        if process.poll() is None:
            return {"state": "running"}
        return {"state": "failed" if process.returncode else "passed", "ended": process.returncode}

    def story(self, run: str) -> dict[str, Any]:
        about = {"name": "waits", "seed": 7, "title": "Waits for its <b>end</b>", "story": MARKUP}
        return {**about, "length_s": 9, "buttons": 0, "repeat": f"sigap scenario run {run}"}

    def course(self, run: str, since: int) -> dict[str, Any]:
        clock = {"version": 1, "whole": since < 0, "state": "running", "at_s": 1.0, "speed": 1.0, "done": 0.1}
        return {**clock, "services": {}, "boards": [], "events": []}

    def steer(self, run: str, speed: float | None) -> None:
        raise Problem("it cannot be steered")

    def end(self, run: str) -> None:
        self.running[run].kill()


def test_from_the_mouse_to_the_end_and_into_a_file(one: Local, chromium: Browser) -> None:
    with opened(chromium, one) as page:
        expect(word(page, NAME)).to_have_text("No alarm")
        expect(card(page, NAME).locator(".battery")).to_have_text("not measured (0)")
        expect(card(page, NAME).locator(".place")).to_have_text("-6.99040, 110.42290")
        page.wait_for_selector("#map[data-marks='4']")
        page.evaluate(LIGHTS, f"#board-{NAME}")
        press_three_times(page, NAME)
        (alarm,) = wait_until(lambda: alarms_of(one, NAME), "the alarm at the gateway")
        expect(word(page, NAME)).to_have_text("Received")
        assert {"on", "off"} <= set(page.evaluate("window.lights"))

        operator, incident = DeskOperator(one.login_link()), alarm["incident_id"]
        operator.act(incident, "acknowledged")
        expect(word(page, NAME)).to_have_text("Police have seen it")
        operator.act(incident, "dispatched", unit=operator.units(incident)[0])
        expect(word(page, NAME)).to_have_text("Help is coming")
        operator.act(incident, "closed", disposition="exercise")
        row = page.locator(f"#alarms tr[data-board={NAME}]")
        expect(row.locator("td[data-stage=closed].done")).to_have_count(1)
        expect(word(page, NAME)).to_have_text("No alarm")

        (saved,) = [each for each in json.loads(download(page, "#as-json")) if each["board"] == NAME]
        assert list(saved["stages"]) == [
            *("pressed", "received", "accepted", "relatives", "acknowledged", "dispatched", "closed")
        ]
        assert set(saved["shown"]) >= {"received", "acknowledged", "dispatched"}
        assert saved["alarm"].endswith(f"-{alarm['activation']}")
        # What is shown, what is saved, and what the gateway has are one.
        assert row.get_attribute("data-alarm") == saved["alarm"]
        for key, attribute in (("stages", "data-ms"), ("shown", "data-lamp-ms")):
            cells = row.locator(f"td[{attribute}]").all()
            shown = [float(cell.get_attribute(attribute) or "nan") for cell in cells]
            assert shown == list(saved[key].values()), key
        assert abs(saved["pressed_at"] - alarm["pressed_at"] / 1000) < 100
        lines = csv.DictReader(io.StringIO(download(page, "#as-csv")))
        (line,) = [line for line in lines if line["alarm"] == saved["alarm"]]
        assert float(line["closed"]) == saved["stages"]["closed"]
        check(page)


def test_plugs_are_pulled(one: Local, chromium: Browser) -> None:
    with opened(chromium, one) as page:
        plug(page, PULLED, "sky", False)
        expect(card(page, PULLED).locator(".place")).to_have_text("no fix")
        plug(page, PULLED, "sky", True)
        expect(card(page, PULLED).locator(".place")).to_have_text("-6.99200, 110.42500")

        plug(page, PULLED, "wifi", False)
        press_three_times(page, PULLED)
        expect(word(page, PULLED)).to_have_text("Sending")
        # Nothing has come, and the timeline says so: the thumb, the light, no stage of the gateway.
        row = page.locator(f"#alarms tr[data-board={PULLED}]")
        expect(row.locator("td.done")).to_have_count(1)
        assert alarms_of(one, PULLED) == []
        plug(page, PULLED, "wifi", True)
        expect(word(page, PULLED)).to_have_text("Received")
        expect(row.locator("td[data-stage=received].done")).to_have_count(1)
        assert row.count() == 1

        plug(page, PULLED, "power", False)
        expect(word(page, PULLED)).to_have_text("Off: no power")
        expect(card(page, PULLED)).to_have_attribute("data-led", "off")
        expect(card(page, PULLED).locator(".place")).to_have_text("no fix")
        plug(page, PULLED, "power", True)
        expect(card(page, PULLED)).to_have_attribute("data-state", "running")
        expect(word(page, PULLED)).to_have_text("Received")  # the open alarm, from flash
        expect(card(page, PULLED).locator(".console")).to_contain_text("resumed")
        check(page)


def test_keys_hold_buttons_and_a_page_that_goes_lets_go(one: Local, chromium: Browser) -> None:
    with one.world() as world, opened(chromium, one) as page:

        def contact(name: str) -> int:
            """The level of the button's contact: 0 is pressed."""
            return next((entry["value"] for entry in world.pins(name)[::-1] if entry["by"] == "world"), 1)

        push = card(page, SHOP.name).locator(".push")
        page.keyboard.down("4")
        wait_until(lambda: contact(SHOP.name) == 0, "a closed contact")
        expect(push).to_have_attribute("aria-pressed", "true")
        expect(push).to_be_focused()
        assert page.evaluate("document.activeElement.matches(':focus-visible')")
        assert contact(HEARD) == 1
        page.keyboard.up("4")
        wait_until(lambda: contact(SHOP.name) == 1, "an open contact")
        expect(push).to_have_attribute("aria-pressed", "false")
        # The focus is on it: the space bar is a thumb too.
        page.keyboard.down(" ")
        wait_until(lambda: contact(SHOP.name) == 0, "a closed contact")
        page.keyboard.up(" ")
        wait_until(lambda: contact(SHOP.name) == 1, "an open contact")
        page.keyboard.down("1")
        wait_until(lambda: contact(NAME) == 0, "a closed contact")
        check(page)
        page.context.close()
        wait_until(lambda: contact(NAME) == 1, "an open contact after the page is gone")


def test_seen_and_heard_by_everybody_and_a_scenario_beside(one: Local, chromium: Browser) -> None:
    with one.store.write() as conn:
        owner = add_owner(conn, name=MARKUP, now_us=now_us())
        conn.execute(devices.update().where(devices.c.name == HEARD).values(owner_id=owner.id))
    scenarios = Trivial()
    with opened(chromium, one, scenarios, "id") as page:
        assert page.locator("html").get_attribute("lang") == "id"
        page.click("#sound")
        expect(page.locator("#sound")).to_have_attribute("aria-pressed", "true")
        page.click(f"#board-{HEARD} .thrice")
        page.wait_for_selector("#sound[data-played]")  # the buzzer, as a tone of the browser
        expect(word(page, HEARD)).to_have_text("Diterima")
        # A name with markup is text.
        expect(card(page, HEARD).locator(".owner")).to_have_text(MARKUP)
        assert page.locator("main img").count() == 0
        assert page.evaluate("window.owned") is None

        page.click("text=English")
        page.wait_for_selector(f"#board-{HEARD}[data-state=running]")
        page.fill("#seed", "7")
        page.click("[data-scenario=waits]")
        expect(page.locator(".told p").first).to_have_text(MARKUP)
        page.wait_for_selector("body[data-ready=yes][data-run]")
        page.click("[data-speed='10']")
        expect(page.locator("#trouble")).to_contain_text("it cannot be steered")
        page.click(".back")
        expect(page.locator("#runs li span")).to_have_text("waits (7) · running")
        (process,) = scenarios.running.values()
        page.click("[data-scenario=waits]")
        expect(page.locator("#trouble")).to_contain_text("one is running already")
        process.communicate("")
        expect(page.locator("#runs li span")).to_have_text("waits (7) · passed · ended: 0")

        assert page.locator("html").get_attribute("lang") == "en"
        found = []
        page.evaluate("for (const each of document.querySelectorAll('.band')) each.hidden = false")
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += problems(page)
        assert found == []
        check(page)


def test_a_killed_world_is_said_and_found_again(one: Local, chromium: Browser) -> None:
    with opened(chromium, one) as page:
        expect(page.locator("#world-gone")).to_be_hidden()
        one.processes.kill(WORLD)
        expect(page.locator("#world-gone")).to_be_visible()
        wifi = card(page, SHOP.name).locator("[data-plug=wifi]")
        wifi.click()
        expect(page.locator("#trouble")).to_contain_text("the world is gone")
        expect(wifi).to_be_checked()
        one.processes.restart(WORLD)
        expect(page.locator("#world-gone")).to_be_hidden()
        expect(card(page, SHOP.name)).to_have_attribute("data-state", "running")
        # The new world is one that listens.
        for state in ("down", "up"):
            plug(page, SHOP.name, "wifi", state == "up")
            with one.world() as world:
                summary = lambda: next(each for each in world.boards() if each["name"] == SHOP.name)  # noqa: E731
                wait_until(lambda state=state, summary=summary: summary()["wifi"] == state, f"wifi {state}")
        check(page)
