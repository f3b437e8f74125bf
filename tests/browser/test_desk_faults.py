"""What goes wrong at a desk: the gateway is gone and comes back, a form is old, the browser blocks sound."""

from __future__ import annotations

import os
import re
import signal
import time

from playwright.sync_api import Browser, expect

from sigap.local import GATEWAY, Local
from tests.browser.desk_browser import LIMIT_MS, check, open_desk
from tests.system.local_lab import CITIZEN, event_kinds

NAME = CITIZEN.name
BAND_LIMIT_S = 3.0
LOGIN = re.compile("/login$")  # asked for, not waited for: a page may go there twice


def test_the_gateway_is_silent_killed_and_back_with_pages_open(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        queue, second = open_desk(chromium, one, "Ani"), open_desk(chromium, one, "Budi")
        world.press(NAME)
        second.click("tr.open a")
        pid = one.processes.pid(GATEWAY)
        since = time.monotonic()
        os.kill(pid, signal.SIGSTOP)
        for desk in (queue, second):
            desk.wait_for_selector("#line-gone", state="visible")
        assert time.monotonic() - since < BAND_LIMIT_S
        os.kill(pid, signal.SIGCONT)
        for desk in (queue, second):
            desk.wait_for_selector("#line-gone", state="hidden")

        one.processes.kill(GATEWAY)
        queue.wait_for_selector("#line-gone", state="visible")
        world.press(NAME)  # nobody takes it yet
        one.processes.restart(GATEWAY)
        # Nobody touched the pages: they know the second press, and the sessions are still theirs.
        expect(queue.locator("tr.open")).to_contain_text("2×", timeout=15_000)
        queue.wait_for_selector("#line-gone", state="hidden")
        expect(second.locator(".events")).to_contain_text("ditekan lagi", timeout=15_000)
        second.click("text=Saya lihat")
        expect(queue.locator("tr.acknowledged")).to_contain_text("Budi")
        queue.reload()
        expect(queue.locator("tr.acknowledged")).to_contain_text("Budi")
        check(queue, second)


def test_a_stale_form_twice(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Ani")
        world.press(NAME)
        desk.click("tr.open a")
        desk.wait_for_selector("form[action$=acknowledged]")
        # The same form, sent twice more from a page as old as it was then.
        send = """form => fetch(form.action, {method: "POST", body: new URLSearchParams(new FormData(form)),
            redirect: "follow"}).then(answer => answer.url)"""
        form = desk.locator("form[action$=acknowledged]").element_handle()
        before = event_kinds(one).count("acknowledged")
        first, again = desk.evaluate(send, form), desk.evaluate(send, form)
        assert "second" not in first
        assert again.endswith("?second=acknowledged")
        assert event_kinds(one).count("acknowledged") == before + 1
        desk.goto(again)
        expect(desk.locator(".problem")).to_contain_text("Ani")
        check(desk)


def test_sound_that_the_browser_blocks_is_said_and_one_press_turns_it_on(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        desk = open_desk(chromium, one, "Ani")
        # A page that was opened without any click, as from a bookmark.
        fresh = desk.context.new_page()
        desk.close()
        fresh.goto(f"http://127.0.0.1:{one.ports.gateway}/")
        world.press(NAME)
        fresh.wait_for_selector("tr.open")
        fresh.wait_for_selector("#sound-blocked", state="visible")
        fresh.click("#sound-blocked button")
        fresh.wait_for_selector("#sound-blocked", state="hidden")
        fresh.wait_for_function("document.body.dataset.sound === 'rings'")


def test_a_session_that_has_ended_leads_to_the_login(one: Local, chromium: Browser) -> None:
    with one.world() as world:
        queue, second = open_desk(chromium, one, "Ani"), open_desk(chromium, one, "Budi")
        world.press(NAME)
        second.click("tr.open a")
        second.wait_for_selector("#past")
        second.context.clear_cookies()
        queue.click("tr.open a")
        queue.click("text=Saya lihat")  # something to be fetched
        expect(second).to_have_url(LOGIN, timeout=LIMIT_MS)
        # And a line that is refused says so too: nobody sits before a page that has gone deaf.
        queue.context.clear_cookies()
        one.processes.kill(GATEWAY)
        one.processes.restart(GATEWAY)
        expect(queue).to_have_url(LOGIN, timeout=LIMIT_MS)
