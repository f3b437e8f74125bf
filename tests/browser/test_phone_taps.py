"""The page counts taps as the button counts presses: the shipped script beside the shipped firmware, tap for tap."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page

from panic.presses import ACTIVATION, DEBOUNCE_MS, Presses
from sigap.local import Local
from tests.browser.phone_browser import new_context

CONTACT_MS = DEBOUNCE_MS + 10  # how long a press lasts, so that it is one
# Around each limit, and anything else: gaps between one tap and the next.
GAPS = st.one_of(st.sampled_from([100, 499, 500, 501, 999, 1000, 1001, 1999, 2000, 2001]), st.integers(80, 2500))
PLAY = """async (gestures) => {
  const { Taps } = await import('/sos/static/taps.js');
  return gestures.map((gaps) => {
    const taps = new Taps();
    let now = 0;
    return [0, ...gaps].map((gap) => taps.tap((now += gap)));
  });
}"""


def by_the_button(gaps: list[int]) -> list[bool]:
    presses, now, out = Presses(), 0, []
    for gap in [0, *gaps]:
        now += gap
        presses.poll(now - 1, False)
        presses.edge(now, True)
        happened = presses.poll(now + DEBOUNCE_MS, True)
        presses.edge(now + CONTACT_MS, False)
        presses.poll(now + CONTACT_MS + DEBOUNCE_MS, False)
        out.append(any(kind == ACTIVATION for kind, _ in happened))
    return out


@pytest.fixture
def page(one: Local, chromium: Browser) -> Page:
    found = new_context(chromium).new_page()
    found.goto(f"http://127.0.0.1:{one.ports.gateway}/sos/")
    return found


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.lists(GAPS, max_size=12), min_size=20, max_size=40))
def test_three_taps_are_three_presses(page: Page, gestures: list[list[int]]) -> None:
    for gaps, said in zip(gestures, page.evaluate(PLAY, gestures), strict=True):
        assert said == by_the_button(gaps), gaps


def test_the_limits_are_the_buttons(page: Page) -> None:
    assert by_the_button([1000, 1000]) == [False, False, True]
    assert by_the_button([1000, 1001]) == [False, False, False]
    assert page.evaluate(PLAY, [[1000, 1000], [1000, 1001], [100] * 5]) == [
        [False, False, True],
        [False, False, False],
        [False, False, True, False, False, True],
    ]
