"""The whole firmware in the heap of a board: full of open alarms, cut off and connected again, and never out of memory.

140 kB with the unix port's 64-bit objects stand for about 96 kB of an ESP32 without PSRAM. The launcher and the shims,
which on a chip are C, have theirs on top (simulator/world/process.py); this test fails when they outgrow it, and when
it is more than they take.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sigap.local import BROKER
from simulator.world.process import ASYNCIO_KB, SHIMS_KB, micropython
from simulator.world.settings import BoardSettings
from tests.system.local_lab import CITIZEN, committed, local, running, wait_until
from tests.system.test_latency import PRESSES

NAME = CITIZEN.name
HEAP_KB = 140
OPEN_ALARMS = 10  # four more than the journal holds
# Used after a collection with the journal full, asyncio with it; the rest is for what comes and goes.
LIMIT_KB = 126
ASYNCIO = """
import gc
gc.collect()
before = gc.mem_alloc()
import asyncio.core
gc.collect()
print(gc.mem_alloc() - before)
"""


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
        command = Path(f"/proc/{board['pid']}/cmdline").read_bytes().split(b"\0")
        console = world.console(NAME)
        # And with all of it on flash it also starts: what is resumed costs most while the rest is being imported.
        world.power(NAME, False)
        world.power(NAME, True)
        world.event(lambda event: event["event"] == "console" and "mqtt: connected" in event["text"], 30)
        world.press(NAME, script=PRESSES)
        wait_until(lambda: len(committed(one)) == OPEN_ALARMS + 2, "an alarm after the power's return")
        resumed = world.memory(NAME)
        (again,) = world.boards()
        console += world.console(NAME)
    done = subprocess.run([str(micropython()), "-c", ASYNCIO], capture_output=True, text=True, check=True, timeout=30)
    asyncio = int(done.stdout)
    shims = full["launcher"] - asyncio
    with capsys.disabled():
        used = [_kb(found["firmware"] + asyncio) for found in (idle, full, resumed)]
        print(
            f"\nfirmware on a board of {HEAP_KB} kB: {used[0]} kB idle, {used[1]} kB with the journal full, "
            f"{used[2]} kB after a power cut, {_kb(full['free'])} kB free; "
            f"launcher and shims {_kb(shims)} kB of {SHIMS_KB} on top"
        )
    assert f"heapsize={HEAP_KB + SHIMS_KB}k".encode() in command
    assert (SHIMS_KB - 2) * 1024 < shims <= SHIMS_KB * 1024
    assert asyncio >= ASYNCIO_KB * 1024
    assert board["resets"] == again["resets"] == 0
    assert not [line for line in console if "crashed" in line or "memory" in line]
    assert max(full["firmware"], resumed["firmware"]) + asyncio <= LIMIT_KB * 1024


def _kb(size: int) -> str:
    return f"{size / 1024:.1f}"
