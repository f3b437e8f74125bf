"""Takes the pictures of desk, panel and a story for README.md and docs: a whole Sigap, real presses, a real Chromium.

make picture
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from sigap.local import BROKER, GATEWAY, Local, Ports
from sigap.operator import DeskOperator
from sigap.processes import free_port
from sigap.records import Records
from sigap.sim import panel
from simulator.commands import HOLD
from simulator.panel.server import listen

PICTURES = Path(__file__).parent / "pictures"
SIZE = {"width": 1400, "height": 720}
PHONE_SIZE = {"width": 360, "height": 740}
PANEL_SIZE = {"width": 1280, "height": 800}
STORY, STORY_S = "market-in-panic", 48.0
CONNECTED_LIMIT_S = 20
BUTTONS = {"en": "English", "id": "Bahasa Indonesia"}


def main() -> None:
    """Write every picture anew."""
    PICTURES.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sigap-screens-"))
    local = Local(folder, Ports(*(free_port() for _ in range(5))))
    with local.alone():
        try:
            local.prepare()
            local.start_all()
            _press(local)
            _photograph(local)
            _photograph_panel(local)
            _photograph_story(local)
            _photograph_phone(local)
        finally:
            local.stop()
            shutil.rmtree(folder, ignore_errors=True)


def _press(local: Local) -> None:
    """A test, and two emergencies."""
    with local.world() as world:
        world.press("citizen-1", script=HOLD)
        world.press("citizen-1")
        # A test mode ends by itself after two minutes; a power cut ends it at once.
        world.power("citizen-1", False)
        world.power("citizen-1", True)
        deadline = time.monotonic() + CONNECTED_LIMIT_S
        while "mqtt: connected" not in world.console("citizen-1")[-1] and time.monotonic() < deadline:
            time.sleep(0.1)
        time.sleep(3)  # a GPS needs a moment for its fix
        world.press("shop-1")
        world.press("citizen-1", script=[[500, 0], [590, 1], [800, 0], [890, 1], [1100, 0], [1190, 1]])


@contextlib.contextmanager
def _browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
        yield browser
        browser.close()


def _photograph(local: Local) -> None:
    with _browser() as browser:
        page = browser.new_page(viewport=SIZE)
        page.goto(local.login_link())
        page.click("button.main")
        for language in ("id", "en"):
            if page.get_attribute("html", "lang") != language:
                page.click(f"text={BUTTONS[language]}")
            page.wait_for_selector("tr.open")
            _take(page, f"queue-{language}")
            if language == "id":
                shutil.copy(PICTURES / "queue-id.png", PICTURES / "desk.png")
        page.click("tr.open a >> nth=1")
        page.wait_for_selector("form[action$=acknowledged]")
        incident = page.url
        for language in ("en", "id"):
            if page.get_attribute("html", "lang") != language:
                page.click(f"text={BUTTONS[language]}")
                page.goto(incident)
            _take(page, f"incident-{language}")
        page.click("form[action$=acknowledged] button")
        page.select_option("select[name=unit]", index=1)
        page.click("form[action$=dispatched] button")
        for language in ("id", "en"):
            if page.get_attribute("html", "lang") != language:
                page.click(f"text={BUTTONS[language]}")
                page.goto(incident)
            page.wait_for_selector(".state.dispatched")
            _take(page, f"sent-{language}", whole=True)
        pid = local.processes.pid(GATEWAY)
        os.kill(pid, signal.SIGSTOP)
        page.wait_for_selector("#line-gone", state="visible")
        _take(page, "line-gone-en")
        os.kill(pid, signal.SIGCONT)


def _photograph_panel(local: Local) -> None:
    """An alarm that an operator has answered, beside those before it."""
    with listen(0) as listener, panel(listener, local.folder, Records(local.store)) as serves, _browser() as browser:
        page = browser.new_page(viewport=PANEL_SIZE)
        page.goto(serves.url)
        page.click(f"text={BUTTONS['en']}")
        page.wait_for_selector("#board-citizen-1[data-state=running]")
        operator = DeskOperator(local.login_link())
        while (incident := operator.find_open_incident()) is not None:
            operator.act(incident, "closed", disposition="exercise")
        page.click("#board-citizen-1 .thrice")
        deadline = time.monotonic() + CONNECTED_LIMIT_S
        while (incident := operator.find_open_incident()) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        assert incident is not None
        page.wait_for_selector("#board-citizen-1[data-word=received]")
        operator.act(incident, "acknowledged")
        page.wait_for_selector("#board-citizen-1[data-word=acknowledged]")
        page.mouse.move(5, 5)
        page.wait_for_selector("#board-citizen-1[data-led=off]")
        page.wait_for_selector("#board-citizen-1[data-led=on]")
        page.screenshot(path=PICTURES / "panel.png")
        print("docs/pictures/panel.png", file=sys.stderr)


def _photograph_story(local: Local) -> None:
    """A hundred buttons while everybody presses, held still."""
    with listen(0) as listener, panel(listener, local.folder, None) as serves, _browser() as browser:
        page = browser.new_page(viewport=PANEL_SIZE)
        page.goto(serves.url)
        page.click(f"text={BUTTONS['en']}")
        page.select_option("#speed", "10")
        page.click(f"[data-scenario={STORY}]")
        page.wait_for_selector("body[data-ready=yes][data-run]")
        while float(page.get_attribute("#clock", "data-at-s") or 0) < STORY_S:
            page.wait_for_timeout(20)
        page.click("[data-speed='0']")
        page.wait_for_timeout(1000)  # the map has faded in
        page.screenshot(path=PICTURES / "story.png")
        print("docs/pictures/story.png", file=sys.stderr)


def _photograph_phone(local: Local) -> None:
    """A person's phone: ready, received, and with nothing that it reaches."""
    with _browser() as browser:
        place = {"latitude": -6.9932, "longitude": 110.4203, "accuracy": 12}
        context = browser.new_context(viewport=PHONE_SIZE, geolocation=place, permissions=["geolocation"])
        page = context.new_page()
        page.goto(local.invitation())
        page.fill("#enrol [name=name]", "Warga contoh di ponsel")
        page.fill("#enrol [name=telephone]", "+62 24 1234567")
        page.click("#enrol form button")
        page.wait_for_selector("#test:not([hidden])")
        _tap(page, "#test-button")
        page.click("#test .done")
        _take_phone(page, "phone-ready")
        _tap(page, "#sos-button")
        page.wait_for_selector("#sos .stages li.reached >> nth=1")
        _take_phone(page, "phone-received")
        local.processes.kill(BROKER)
        local.processes.kill(GATEWAY)
        _tap(page, "#sos-button")
        page.wait_for_selector("#sos .status.unsent", timeout=20_000)
        page.wait_for_selector("#no-way:not([hidden])")
        _take_phone(page, "phone-unsent")


def _tap(page: Page, selector: str) -> None:
    for _ in range(3):
        page.dispatch_event(selector, "pointerdown", {"isPrimary": True, "bubbles": True})
        page.wait_for_timeout(150)


def _take_phone(page: Page, name: str) -> None:
    page.wait_for_timeout(1500)
    page.screenshot(path=PICTURES / f"{name}.png")
    print(f"docs/pictures/{name}.png", file=sys.stderr)


def _take(page: Page, name: str, whole: bool = False) -> None:
    page.wait_for_selector("#map[data-marks]")
    page.mouse.click(5, SIZE["height"] - 5)  # who clicks may hear: else the page says that sound is blocked
    page.wait_for_timeout(1000)  # the map has faded in
    page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
    print(f"docs/pictures/{name}.png", file=sys.stderr)


if __name__ == "__main__":
    main()
