"""Takes the pictures of the desk in README.md and docs/operator.md: a whole Sigap, real presses, a real Chromium.

make picture
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

from sigap.local import GATEWAY, Local, Ports
from sigap.processes import free_port
from simulator.commands import HOLD

PICTURES = Path(__file__).parent / "pictures"
SIZE = {"width": 1400, "height": 720}
CONNECTED_LIMIT_S = 20
BUTTONS = {"en": "English", "id": "Bahasa Indonesia"}


def main() -> None:
    """Write every picture anew."""
    PICTURES.mkdir(exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="sigap-screens-"))
    local = Local(folder, Ports(free_port(), free_port(), free_port(), free_port()))
    with local.alone():
        try:
            local.prepare()
            local.start_all()
            _press(local)
            _photograph(local)
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


def _photograph(local: Local) -> None:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        browser = playwright.chromium.launch(executable_path=path, args=arguments)
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
        browser.close()


def _take(page: Page, name: str, whole: bool = False) -> None:
    page.wait_for_selector("#map[data-marks]")
    page.mouse.click(5, SIZE["height"] - 5)  # who clicks may hear: else the page says that sound is blocked
    page.wait_for_timeout(1000)  # the map has faded in
    page.screenshot(path=PICTURES / f"{name}.png", full_page=whole)
    print(f"docs/pictures/{name}.png", file=sys.stderr)


if __name__ == "__main__":
    main()
