"""The whole firmware in the heap of a board: full of open alarms, cut off and connected again, and never out of memory.

140 kB with the unix port's 64-bit objects stand for about 96 kB of an ESP32 without PSRAM. The launcher and the shims,
which on a chip are C, have theirs on top (simulator/world/process.py); this test fails when they outgrow it, and when
it is more than they take.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from sigap.story.gateway import Gateway
from sigap.story.parts import Broker
from sigap.story.world import Board, World
from simulator.world.process import ASYNCIO_KB, SHIMS_KB, micropython
from simulator.world.settings import BoardSettings

HEAP_KB = 140
OPEN_ALARMS = 10  # six more than RAM holds
TOO_SMALL_KB = 132  # for a button that sleeps: it refuses (hal/start.py)
# Used after a collection with the journal full, asyncio with it; the rest is for what comes and goes.
LIMIT_KB = 119
ASYNCIO = """
import gc
gc.collect()
before = gc.mem_alloc()
import asyncio.core
gc.collect()
print(gc.mem_alloc() - before)
"""


def test_it_runs_in_the_heap_of_a_board(
    board: Board, broker: Broker, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert BoardSettings("b", Path("b.img")).heap_kb == HEAP_KB
    idle = board.memory()
    full = filled(board, broker, gateway)
    (state,) = board.client.boards()
    command = Path(f"/proc/{state['pid']}/cmdline").read_bytes().split(b"\0")
    console = board.console()
    # And with all of it on flash it also starts: what is resumed costs most while the rest is being imported.
    board.power(False)
    board.power(True)
    board.prints("mqtt: connected", within_s=30)
    board.press(3)
    gateway.waits_for_alarm(of=board)
    resumed = board.memory()
    console += board.console()
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
    assert board.restarts() == 0
    assert not [line for line in console if "crashed" in line or "memory" in line]
    assert max(full["firmware"], resumed["firmware"]) + asyncio <= LIMIT_KB * 1024


def test_what_sleeps_is_refused_where_it_would_run_out(world: World, broker: Broker, gateway: Gateway) -> None:
    board = world.board("shop", settings={"power": "light"}, heap_kb=TOO_SMALL_KB)
    assert any(line.startswith("sigap: power: mains instead of light: ") for line in board.console())
    board.press(3)
    gateway.waits_for_alarm(of=board)
    assert board.restarts() == 0


def test_lora_is_refused_where_both_ways_would_not_fit(world: World, broker: Broker, gateway: Gateway) -> None:
    board = world.board("shop", kind="tbeam", settings={"lora": {}}, heap_kb=HEAP_KB)
    assert any(line.startswith("sigap: lora: not used, as ") for line in board.console())
    board.press(3)
    gateway.waits_for_alarm(of=board)
    assert board.restarts() == 0


@pytest.mark.parametrize("kind", ["devkit", "tbeam"])
def test_a_button_that_sleeps_runs_in_the_same_heap(
    kind: str, world: World, broker: Broker, gateway: Gateway, capsys: pytest.CaptureFixture[str]
) -> None:
    board = world.board("shop", kind=kind, settings={"power": "light"})
    assert not [line for line in board.console() if "power: mains" in line]
    board.client.watch(board.name)
    board.press(1)
    board.client.event(lambda event: event["event"] == "cpu" and event["state"] == "light", 90)
    idle = board.memory()
    full = filled(board, broker, gateway)
    with capsys.disabled():
        print(
            f"\na {kind} that sleeps, in {HEAP_KB} kB: {_kb(idle['firmware'])} kB asleep, "
            f"{_kb(full['firmware'])} kB with the journal full, {_kb(full['free'])} kB free"
        )
    assert board.restarts() == 0
    assert not [line for line in board.console() if "crashed" in line or "memory" in line]


def filled(board: Board, broker: Broker, gateway: Gateway) -> dict[str, int]:
    """The memory with the journal full; then the broker goes and comes back, and one more alarm gets through."""
    for _ in range(OPEN_ALARMS):
        board.press(3)
        gateway.waits_for_alarm(of=board)
    full = board.memory()
    broker.kill()
    broker.start()
    board.prints("mqtt: connected", within_s=30)
    board.press(3)
    gateway.waits_for_alarm(of=board)
    return full


def _kb(size: int) -> str:
    return f"{size / 1024:.1f}"
