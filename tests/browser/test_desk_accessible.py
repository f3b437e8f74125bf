"""axe finds nothing serious on any page, in either language, and the desk works with the keyboard alone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from gateway.registry.operators import ADMINISTRATOR
from sigap.local import Local
from tests.browser.desk_browser import check, open_desk
from tests.system.local_lab import CITIZEN

NAME = CITIZEN.name


def problems(page: Page) -> list[str]:
    """What axe calls serious or critical (https://github.com/dequelabs/axe-core)."""
    said = Axe().run(page).response
    assert len(said["passes"]) > 5, "axe looked at nothing"
    serious = [each for each in said["violations"] if each["impact"] in ("serious", "critical")]
    return [f"{page.url}: {each['id']}: {each['help']}" for each in serious]


@pytest.mark.parametrize("language", ["id", "en"])
def test_nothing_serious_on_any_page(one: Local, chromium: Browser, language: str) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Citra", ADMINISTRATOR, language)
        assert desk.locator("html").get_attribute("lang") == language
        found = problems(desk)
        world.press(NAME)
        desk.wait_for_selector("tr.open")
        desk.wait_for_selector("#map[data-marks='1']")
        found += problems(desk)
        desk.click("tr.open a")
        desk.wait_for_selector("#map path.leaflet-interactive")
        found += problems(desk)
        # The bands: what is wrong must be readable for everybody.
        desk.evaluate("for (const each of document.querySelectorAll('.band')) each.hidden = false")
        found += problems(desk)
        url = f"http://127.0.0.1:{one.ports.gateway}"
        desk.goto(f"{url}/operators")
        found += problems(desk)
        stranger = chromium.new_page()
        for path in ("/login", "/link?t=1"):
            stranger.goto(url + path)
            found += problems(stranger)
        stranger.context.close()
        assert found == []


def test_an_emergency_with_the_keyboard_alone(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Ani")
        world.press(NAME)
        desk.wait_for_selector("tr.open")
        _tab_to(desk, "tr.open a")
        desk.keyboard.press("Enter")
        desk.wait_for_selector("form[action$=acknowledged]")
        _tab_to(desk, "form[action$=acknowledged] button")
        desk.keyboard.press("Enter")
        expect(desk.locator(".state")).to_contain_text("dilihat petugas")
        check(desk)


def _tab_to(page: Page, selector: str) -> None:
    """Press Tab until the element has the focus."""
    for _ in range(40):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")
