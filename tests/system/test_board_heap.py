"""The whole firmware in the heap of a board: full of open alarms, cut off and connected again, and never out of memory.

140 kB with the unix port's 64-bit objects stand for about 96 kB of an ESP32 without PSRAM. The launcher and the shims,
which on a chip are C, have theirs on top (simulator/world/process.py); this test fails when they outgrow it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from sigap.local import BROKER
from simulator.world.process import SHIMS_KB
from simulator.world.settings import BoardSettings
from tests.system.local_lab import CITIZEN, committed, local, running, wait_until
from tests.system.test_latency import PRESSES

NAME = CITIZEN.name
HEAP_KB = 140
OPEN_ALARMS = 10  # two more than the journal holds
LIMIT_KB = 126  # used after a collection with the journal full; the rest is for what comes and goes


def test_it_runs_in_the_heap_of_a_board(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert BoardSettings("b", tmp_path / "b.img").heap_kb == HEAP_KB
    with running(local(tmp_path)) as one, one.world() as world:
        idle = world.memory(NAME)
        for number in range(1, OPEN_ALARMS + 1):
            world.press(NAME, script=PRESSES)
            wait_until(lambda number=number: len(committed(one)) == number, f"alarm {number}")
        full = world.memory(NAME)
        one.processes.kill(BROKER)
        world.watch(NAME)
        one.processes.restart(BROKER)
        world.event(lambda event: event["event"] == "console" and "mqtt: connected" in event["text"], 30)
        world.press(NAME, script=PRESSES)
        wait_until(lambda: len(committed(one)) == OPEN_ALARMS + 1, "an alarm after the broker's return")
        (board,) = world.boards()
        console = world.console(NAME)
    with capsys.disabled():
        print(
            f"\nfirmware on a board of {HEAP_KB} kB: {idle['firmware'] / 1024:.0f} kB idle, "
            f"{full['firmware'] / 1024:.0f} kB with the journal full, {full['free'] / 1024:.0f} kB free; "
            f"launcher and shims {full['launcher'] / 1024:.0f} kB of {SHIMS_KB} on top"
        )
    assert board["resets"] == 0
    assert not [line for line in console if "crashed" in line or "memory" in line]
    assert full["launcher"] <= SHIMS_KB * 1024
    assert full["firmware"] <= LIMIT_KB * 1024
