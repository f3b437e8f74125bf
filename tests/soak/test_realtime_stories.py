"""Short stories in realtime, side by side: each with a Sigap of its own, and the checkers of virtual time.

Named, not collected: `pytest tests/soak`.
"""

from __future__ import annotations

import json

import pytest

from sigap.realtime import able
from tests.system.test_scenarios import sigap

STORIES = (
    "broker-dies-at-the-third-press",
    "by-satellite",
    "jammed-gps",
    "no-sky",
    "pressed-while-it-starts",
    "through-the-tunnel",
)
LIMIT_S = 300


@pytest.mark.timeout(LIMIT_S + 30)
def test_short_stories_in_realtime() -> None:
    assert [name for name in STORIES if able.said(name)] == []
    done = sigap("run", *STORIES, "--realtime", "--workers", str(len(STORIES)), "--json", timeout_s=LIMIT_S)
    results = json.loads(done.stdout)
    for result in results:
        print(f"{result['scenario']}: {result['stages']}, {result['took_s']} s")
    assert [result["broken"] for result in results] == [[]] * len(STORIES)
