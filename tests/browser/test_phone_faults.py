"""A phone's bad days: what is down, denied, full, wrong or killed. The alarm is kept, and arrives once."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, BrowserContext, expect

from sigap.local import BROKER, GATEWAY, Local
from tests.browser.conftest import NAMES
from tests.browser.phone_browser import PLACE, alarms_of, enrolled, new_context, reached, ready, tap
from tests.browser.test_phone_sos import word
from tests.system.local_lab import wait_until

HOUR_S = 3600


@contextlib.contextmanager
def without(one: Local, *parts: str) -> Iterator[None]:
    """These parts are killed, and started again."""
    for part in parts:
        one.processes.kill(part)
    try:
        yield
    finally:
        one.start(*parts)
        wait_until(lambda: one.health().get("ok"), "a healthy gateway", 30)


def test_without_the_broker_it_goes_by_https(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    with without(one, BROKER):
        tap(page)
        reached(page, 1)
        assert len(alarms_of(one, phone)) == 1


def test_without_https_it_goes_by_the_broker(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    page.route("**/sos/up*", lambda route: route.abort())
    tap(page)
    reached(page, 1)
    assert len(alarms_of(one, phone)) == 1


def test_with_nothing_the_person_is_told_to_telephone_and_it_arrives_once(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    page.evaluate("async () => { await navigator.serviceWorker.ready }")
    page.reload()  # its worker has the page from now on
    page.wait_for_selector("#sos:not([hidden])")
    with without(one, BROKER, GATEWAY):
        tap(page)
        expect(page.locator("#sos .status")).to_have_text(word("sending"))
        expect(page.locator("#sos .status")).to_have_text(word("unsent"), timeout=15_000)
        expect(page.locator("body")).to_have_class("alone")
        # Reloaded, while nobody serves the page: it is there, and so is the alarm.
        page.reload()
        expect(page.locator("#sos .status")).to_have_text(word("unsent"))
    reached(page, 1)
    (alarm,) = alarms_of(one, phone)
    late_s = (alarm["received_at"] - alarm["pressed_at"]) / 1e6
    assert 10 < late_s < 60
    assert not alarm["age_is_minimum"]


def test_an_hour_later_it_is_an_hour_old(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    page, phone = enrolled(one, context)
    page.clock.install()
    with without(one, BROKER, GATEWAY):
        page.evaluate("async () => (await import('/sos/static/store.js')).set('rehearsed', true)")
        page.click("nav [data-to=sos]")
        tap(page)
        page.clock.fast_forward(HOUR_S * 1000)
    page.clock.fast_forward(20_000)
    wait_until(lambda: (page.clock.run_for(500), alarms_of(one, phone))[1], "the alarm", 30)
    (alarm,) = alarms_of(one, phone)
    late_s = (alarm["received_at"] - alarm["pressed_at"]) / 1e6
    assert HOUR_S <= late_s < HOUR_S + 300


def test_a_clock_that_was_set_back_says_at_least(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    page, phone = ready(one, context)
    with without(one, BROKER, GATEWAY):
        tap(page)
        expect(page.locator("#sos .status")).to_have_text(word("sending"))
        page.wait_for_timeout(500)
    page.route("**/sos/up*", lambda route: route.abort())
    page.close()
    day_ms = 24 * HOUR_S * 1000
    context.add_init_script(f"const real = Date.now.bind(Date); Date.now = () => real() - {day_ms};")
    again = context.new_page()
    again.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    wait_until(lambda: alarms_of(one, phone), "the alarm")
    (alarm,) = alarms_of(one, phone)
    # Nobody can say how old it is; and it is not a day late for that.
    assert (alarm["received_at"] - alarm["pressed_at"]) / 1e6 < 60


def test_it_may_not_say_where_it_is(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium, located=False))
    expect(page.locator("#sos .place")).to_have_text(word("place_denied"))
    tap(page)
    reached(page, 1)
    (alarm,) = alarms_of(one, phone)
    assert alarm["lat_e7"] is None


def test_a_position_that_gets_better_follows(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    context.set_geolocation({**PLACE, "accuracy": 1500})
    page, phone = ready(one, context)
    tap(page)
    reached(page, 1)
    assert alarms_of(one, phone)[0]["accuracy_m"] == 1500
    context.set_geolocation({**PLACE, "accuracy": 9})
    wait_until(lambda: alarms_of(one, phone)[0]["accuracy_m"] == 9, "the better position", 30)


@pytest.mark.parametrize("what", ["full", "gone"])
def test_a_store_that_takes_nothing_keeps_no_alarm_back(one: Local, chromium: Browser, what: str) -> None:
    page, phone = ready(one, new_context(chromium))
    page.evaluate(
        """(what) => {
          const put = IDBObjectStore.prototype.put;
          IDBObjectStore.prototype.put = function (value, key) {
            if (value.pressed || what === 'gone') throw new DOMException('no room', 'QuotaExceededError');
            return put.call(this, value, key);
          };
        }""",
        what,
    )
    tap(page)
    reached(page, 1)
    assert len(alarms_of(one, phone)) == 1


def test_a_killed_browser_sends_it_when_it_is_back(one: Local, chromium: Browser, tmp_path: Path) -> None:
    def opened() -> BrowserContext:
        path = next(found for name in NAMES if (found := shutil.which(name)))
        arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
        return chromium.browser_type.launch_persistent_context(
            tmp_path / "profile", executable_path=path, args=arguments, permissions=["geolocation"], geolocation=PLACE
        )

    context = opened()
    page, phone = ready(one, context)
    with without(one, BROKER, GATEWAY):
        tap(page)
        expect(page.locator("#sos .status")).to_have_text(word("sending"))
        _kill_browser(tmp_path / "profile")
        with contextlib.suppress(Exception):  # what is left of it has nothing more to say
            context.close()
    assert alarms_of(one, phone) == []
    context = opened()
    page = context.new_page()
    page.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    reached(page, 1)
    assert len(alarms_of(one, phone)) == 1
    context.close()


def test_a_tab_that_sleeps_holds_no_alarm_back(one: Local, chromium: Browser) -> None:
    context = new_context(chromium)
    leads, phone = ready(one, context)
    other = context.new_page()
    other.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    other.wait_for_selector("#sos:not([hidden])")
    session = context.new_cdp_session(leads)
    session.send("Debugger.enable")  # it stands still, as a tab that the system has put to sleep
    session.send("Debugger.pause")
    leads.wait_for_timeout(500)
    tap(other)
    reached(other, 1)
    assert len(alarms_of(one, phone)) == 1
    session.send("Debugger.resume")


def test_a_gateway_that_hangs_loses_nothing(one: Local, chromium: Browser) -> None:
    page, phone = ready(one, new_context(chromium))
    pid = one.processes.pid(GATEWAY)
    os.kill(pid, signal.SIGSTOP)
    try:
        tap(page)
        expect(page.locator("#sos .status")).to_have_text(word("unsent"), timeout=15_000)
    finally:
        os.kill(pid, signal.SIGCONT)
    reached(page, 1)
    assert len(alarms_of(one, phone)) == 1


def test_a_new_worker_takes_every_file_anew(one: Local, chromium: Browser) -> None:
    page, _ = ready(one, new_context(chromium))
    page.evaluate("async () => { await navigator.serviceWorker.ready }")
    (name,) = page.evaluate("caches.keys()")
    assert re.fullmatch(r"sigap-sos-[0-9a-f]{16}", name)
    kept = page.evaluate("(name) => caches.open(name).then((cache) => cache.keys()).then((keys) => keys.length)", name)
    assert kept >= 15


def _kill_browser(profile: Path) -> None:
    """kill -9 of the browser that has this profile, and of nothing else."""
    found = _processes_of(profile)
    assert found
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not _processes_of(profile), "the end of the browser")


def _processes_of(profile: Path) -> list[int]:
    found = []
    for each in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"--user-data-dir={profile}".encode() in (each / "cmdline").read_bytes().split(b"\0"):
                found.append(int(each.name))
    return found
