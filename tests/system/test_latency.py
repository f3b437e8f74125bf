"""Third press to receipt, through the real MicroPython, Mosquitto and gateway."""

from __future__ import annotations

import statistics
from pathlib import Path

import pytest

from simulator import observe
from tests.system.local_lab import CITIZEN, committed, local, running, wait_until

TIMES = 20
MEDIAN_LIMIT_MS = 250.0
# The thumb rests first: a press right behind the one before would be chatter of that one.
PRESSES = [[300, 0], [390, 1], [600, 0], [690, 1], [900, 0], [990, 1]]


def test_the_median_of_twenty_receipts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    waits = []
    with running(local(tmp_path)) as one, one.world() as world:
        for number in range(1, TIMES + 1):
            since = max(entry["seq"] for entry in world.pins(CITIZEN.name))
            pressed_at = world.press(CITIZEN.name, script=PRESSES)["presses"][2]["down_at"]
            # The receipt's one tone: nothing else sounds, as nobody answers from the police desk.
            tones = wait_until(lambda since=since: observe.tones(world.pins(CITIZEN.name, since)), "the receipt's tone")
            waits.append(tones[0][0] - pressed_at)
            assert len(committed(one)) == number
    with capsys.disabled():
        print(
            f"\nthird press to receipt, {TIMES} times: median {statistics.median(waits):.0f} ms, "
            f"{min(waits):.0f} to {max(waits):.0f} ms (30 ms of it debounce)"
        )
    assert min(waits) >= 30
    assert statistics.median(waits) < MEDIAN_LIMIT_MS
