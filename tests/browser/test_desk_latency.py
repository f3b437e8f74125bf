"""From the third press to visible on open desks, measured in the browsers, with twenty desks open."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest
from playwright.sync_api import Browser

from sigap.operator import DeskOperator
from tests.browser.desk_browser import check, open_desk
from tests.system.local_lab import CITIZEN, local, running, wait_until

NAME = CITIZEN.name
DESKS, PRESSES = 20, 5
ROUNDS = 3  # this machine has other work at times: one quiet round is asked for
AIM_MS = 300
LIMIT_MS = 5000  # what a broken live line would take: how fast it is, is measured and printed, and no reason to fail
# Two frames after the row is there, it has been painted.
LOOK = """() => {
  window.shown = {};
  new MutationObserver(() => {
    for (const row of document.querySelectorAll("tr[data-incident]")) {
      const id = row.dataset.incident;
      if (id in window.shown) continue;
      window.shown[id] = null;
      requestAnimationFrame(() => requestAnimationFrame(() => {
        window.shown[id] = performance.timeOrigin + performance.now();
      }));
    }
  }).observe(document.getElementById("queue"), { childList: true, subtree: true });
}"""


@pytest.mark.alone
def test_press_to_visible_with_twenty_desks(
    tmp_path: Path, chromium: Browser, capsys: pytest.CaptureFixture[str]
) -> None:
    with running(local(tmp_path)) as one, one.world() as world:
        desks = [open_desk(chromium, one, f"Operator {number}") for number in range(DESKS)]
        for desk in desks:
            desk.evaluate(LOOK)
        operator = DeskOperator(one.login_link())

        def measure() -> list[float]:
            """Milliseconds from the third press to each desk, PRESSES times."""
            spans: list[float] = []
            for _ in range(PRESSES):
                pressed_at = world.press(NAME)["presses"][2]["down_at"]
                incident = wait_until(operator.find_open_incident, "the incident on the queue")
                for desk in desks:
                    desk.wait_for_function("id => window.shown[id]", arg=incident)
                    spans.append(desk.evaluate("id => window.shown[id]", incident) - pressed_at)
                operator.act(incident, "closed", disposition="exercise")
                wait_until(lambda: world.console(NAME)[-1].endswith(": closed"), "the end on the button")
            return spans

        for _ in range(ROUNDS):
            spans = measure()
            median = statistics.median(spans)
            with capsys.disabled():
                print(
                    f"\nthird press to visible, {DESKS} desks open, {len(spans)} measured in the browsers: "
                    f"median {median:.0f} ms, {min(spans):.0f} to {max(spans):.0f} ms (aim: {AIM_MS})"
                )
            assert min(spans) > 0
            if median < AIM_MS:
                break
        check(*desks)
        for desk in desks:
            desk.context.close()
    assert median < LIMIT_MS
