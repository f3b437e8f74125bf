"""Flash that fails under a board: worn blocks, and power cuts in the middle of a program."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from sigap.story.gateway import Gateway
from sigap.story.world import Board
from simulator import image
from simulator.testing import one_board
from simulator.world.client import WorldClient, WorldError
from tests.system.test_virtual_board_faults import said

ALL = [0, image.BLOCKS - 1]
TEARS = (0, 1, 31, 47, 200, 333, 500, 777, 1000)  # bytes; the four files below take more
COUNT = """
import machine, os
try:
    os.mkdir("/state")
except OSError:
    pass
n = 0
try:
    with open("/state/n") as f:
        n = int(f.read())
except OSError:
    pass
print("found", n, machine.reset_cause())
for n in range(n + 1, n + 5):
    with open("/state/n.new", "w") as f:
        f.write("%0200d" % n)
    os.rename("/state/n.new", "/state/n")
    print("kept", n)
print("ready")
"""
WRITE = """
try:
    with open("/n", "w") as f:
        f.write("1" * 5000)
    print("written")
except OSError as error:
    print("failed", error.errno)
with open("/main.py") as f:
    print("read", len(f.read()))
"""


def start_again(world: WorldClient, board: str, **faults: object) -> None:
    world.flash(board, **faults)
    world.power(board, False)
    world.power(board, True)


def test_torn_anywhere_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    with one_board(tmp_path, COUNT, restarts=20) as world:
        said(world, "ready")
        kept = 4
        for tear in TEARS:
            start_again(world, "b", tear=tear)
            assert world.event(lambda e: e["event"] == "reset")["cause"] == "power", f"torn after {tear} bytes"
            # What was said to be kept is there, or what came after it.
            found, cause = (int(word) for word in said(world, "found").split()[1:])
            assert found >= kept
            assert cause == 1, "it is a power cut"
            said(world, "ready")
            kept = found + 4


def test_a_worn_block_can_be_read_and_not_written(tmp_path: Path) -> None:
    with one_board(tmp_path, WRITE) as world:
        assert said(world, "written")
        start_again(world, "b", worn=ALL)
        assert said(world, "failed") == f"failed {errno.EIO}"
        assert said(world, "read") == f"read {len(WRITE)}"
        start_again(world, "b", worn=None)
        assert said(world, "written")
        for wrong in ({"worn": [5, image.BLOCKS]}, {"worn": [6, 5]}, {"worn": 5}, {"tear": -1}, {"tear": "all"}):
            with pytest.raises(WorldError):
                world.flash("b", **wrong)


def test_a_button_whose_flash_takes_nothing_still_calls(board: Board, gateway: Gateway) -> None:
    start_again(board.client, board.name, worn=ALL)
    board.prints("mqtt: connected")
    board.press(3)
    board.prints("journal: cannot write")
    gateway.waits_for_alarm(of=board)
    board.shows("received")
    assert len(gateway.alarms()) == 1
