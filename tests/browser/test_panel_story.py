"""A story in the panel, in a real Chromium: started, watched, steered, judged; and nothing of it stays."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from sigap.problem import Problem
from sigap.sim import assets
from sigap.stories import EVENTS_KEPT, Stories, _Course
from simulator.panel import runs
from simulator.panel.server import listen, serving
from tests.browser.desk_browser import check, watched
from tests.browser.test_desk_accessible import problems
from tests.system.local_lab import wait_until
from tests.system.test_scenarios_end import descendants, is_alive

BROKER = "broker-dies-at-the-third-press"
LIMIT_MS = 30_000
expect.set_options(timeout=LIMIT_MS)
FAILS = """
title: Nobody presses, and yet
story: A story that expects an alarm which nobody made.
length_s: 20
buttons: [{name: toko, count: 2, site: [-6.99, 110.42]}]
steps: [{at_s: 10, do: power, who: all, up: false}]
expect: [{who: toko-1, alarms: 1}]
"""


def no_world() -> tuple[int, str]:
    raise Problem("no world is running")


class Own(Stories):
    """With files of one's own."""

    def __init__(self, *paths: Path) -> None:
        super().__init__()
        self._paths = paths

    def names(self) -> list[dict[str, str]]:
        return [{"name": str(path), "title": path.stem} for path in self._paths] + super().names()


@contextlib.contextmanager
def opened(chromium: Browser, stories: Stories, language: str = "en") -> Iterator[Page]:
    """A panel without a world, open in a browser."""
    with listen(0) as listener, serving(listener, no_world, assets(), None, stories) as serves:
        context = chromium.new_context(viewport={"width": 1280, "height": 900})
        context.set_default_timeout(LIMIT_MS)
        context.add_cookies([{"name": "sigap_language", "value": language, "domain": "127.0.0.1", "path": "/"}])
        page = watched(context.new_page())
        page.goto(serves.url)
        yield page
        context.close()


def start(page: Page, name: str, speed: str) -> None:
    page.wait_for_selector(".scenarios[data-ready=yes]")
    page.select_option("#speed", speed)
    page.click(f"[data-scenario='{name}']")
    page.wait_for_selector("body[data-ready=yes][data-run]")


def at_s(page: Page) -> float:
    return float(page.locator("#clock").get_attribute("data-at-s") or "nan")


def test_a_story_is_started_watched_steered_and_judged(chromium: Browser) -> None:
    with Stories() as stories, opened(chromium, stories) as page:
        assert page.locator("[data-scenario]").count() >= 24
        page.fill("#seed", "3")
        start(page, BROKER, "10")
        expect(page.locator("#map")).to_have_attribute("data-marks", "1")
        row = page.locator("#board-toko")
        expect(row).to_have_attribute("data-state", "running")
        expect(page.locator("[data-service=broker]")).to_have_attribute("data-state", "gone")
        # It stands still, and everything with it, while somebody reads.
        page.click("[data-speed='0']")
        expect(page.locator("#state")).to_have_text("paused")
        expect(row.locator("strong")).to_have_text("Sending")
        stood_s = at_s(page)
        assert 30 < stood_s < 50
        page.wait_for_timeout(500)
        assert at_s(page) == stood_s
        # A page that comes later, in the other language, sees the same.
        page.click("text=Bahasa Indonesia")
        expect(row.locator("strong")).to_have_text("Mengirim")
        assert at_s(page) == stood_s
        expect(page.locator("#events [data-key='broker.gone']")).to_contain_text("Broker dimatikan")
        page.click("text=English")
        expect(row.locator("strong")).to_have_text("Sending")  # or the page that goes takes the next click with it
        page.wait_for_selector("body[data-ready=yes][data-run]")
        page.click("[data-speed='1']")
        wait_until(lambda: at_s(page) > stood_s + 0.5, "time that goes on")
        assert at_s(page) < stood_s + 30
        leds = """row => { window.leds = []; new MutationObserver(() => window.leds.push(row.dataset.led))
                   .observe(row, { attributes: true }) }"""
        row.evaluate(leds)
        wait_until(lambda: {"on", "off"} <= set(page.evaluate("window.leds")), "a light that blinks")
        page.click("[data-speed='10']")
        expect(page.locator("[data-service=broker]")).to_have_attribute("data-state", "running")
        expect(row.locator("strong")).to_have_text("Received")
        page.click("[data-speed='']")
        expect(page.locator("#verdict")).to_have_text("passed")
        expect(page.locator("#done")).to_have_attribute("style", re.compile("100%"))
        assert float(row.locator("[data-stage=received]").inner_text()) > 18
        expect(page.locator("#expected li")).to_have_count(1)
        expect(page.locator("#expected li")).to_have_attribute("data-mark", "held")
        assert page.locator("#promises [data-mark=held]").count() >= 5
        assert page.locator("#promises [data-mark=broke]").count() == 0
        expect(page.locator("#repeat")).to_have_text(f"sigap scenario run {BROKER} --seed 3")
        events = page.locator("#events li").evaluate_all("rows => rows.map(row => row.dataset.key).reverse()")
        wanted = iter(events)
        for key in ("power.up", "press", "broker.gone", "alarm", "broker.running", "stage.received", "stage.accepted"):
            assert key in wanted, (key, events)
        found = []
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            found += problems(page)
        assert found == []
        page.click(".back")
        expect(page.locator("#runs li span")).to_contain_text(f"{BROKER} (3) · passed · received: ")
        check(page)


def test_what_broke_is_said_and_a_story_is_ended(chromium: Browser, tmp_path: Path) -> None:
    path = tmp_path / "fails.yaml"
    path.write_text(FAILS)
    with Own(path) as stories, opened(chromium, stories) as page:
        start(page, str(path), "")
        expect(page.locator("#verdict")).to_have_text("failed")
        expect(page.locator("#broken li")).to_contain_text("toko-1: alarms is 0, expected 1")
        expect(page.locator("#expected li")).to_have_attribute("data-mark", "broke")
        # What happens to both at once is one line.
        expect(page.locator("#events [data-key='power.down']")).to_have_text(
            re.compile("toko-1 and 1 others: power goes")
        )
        page.click(".back")
        start(page, "a-week-of-heartbeats", "1")
        page.click("#end")
        expect(page.locator("#verdict")).to_have_text("ended")
        page.goto(f"{page.url}0")
        assert "no run" in page.content()
        assert page.problems == []  # type: ignore[attr-defined]


def test_a_story_that_nobody_watches_is_ended(chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "ABANDONED_S", 1.0)
    with Stories() as stories, opened(chromium, stories) as page:
        start(page, "a-week-of-heartbeats", "1")
        wait_until(lambda: len(descendants(os.getpid())) > 0, "its process")
        (run,) = stories._runs.values()
        wait_until(lambda: any("lockstep" in args for args in descendants(run.process.pid).values()), "its board", 30)
        below = [run.process.pid, *descendants(run.process.pid)]
        page.reload()
        page.wait_for_selector("body[data-ready=yes]")
        assert run.runs
        page.goto("about:blank")
        wait_until(lambda: not any(is_alive(pid) for pid in below), "the end of the story and its boards", 20)
        wait_until(lambda: stories.state("1") == {"state": "ended"}, "its end in the list")


KILLED = """
import sys, time
from sigap.stories import Stories
with Stories() as stories:
    stories.start("a-week-of-heartbeats", 1, 1.0)
    print("started", flush=True)
    sys.stdin.read()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a board with its story")
def test_a_killed_panel_leaves_no_story() -> None:
    process = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        wait_until(lambda: any("lockstep" in args for args in descendants(process.pid).values()), "a board", 30)
        below = descendants(process.pid)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in below), "the end of every process below", 20)


def test_what_is_kept_of_a_story_is_bounded() -> None:
    course = _Course()
    for number in range(5 * EVENTS_KEPT):
        course.take({"event": {"at_s": number, "key": "press", "who": "a"}})
        course.take({"at_s": number, "speed": None, "done": 0, "services": {}, "boards": [{"name": "a", "n": number}]})
    whole = course.since(-1)
    assert len(whole["events"]) == EVENTS_KEPT
    assert whole["boards"] == [{"name": "a", "n": 5 * EVENTS_KEPT - 1}]
    assert course.since(whole["version"])["events"] == []
