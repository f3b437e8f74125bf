"""What is soldered around the chip, as its description in hardware/boards says: on a real board, or on one of each
kind.

A board to be tested lies untouched: nobody presses, and a T-Beam has its battery in.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from hardware.generate import read_boards
from hardware.schema import Board
from sigap.firmware.compiling import for_board
from simulator.testing import running_world
from simulator.world.settings import BoardSettings, WorldSettings
from tests.system.mpremote_lab import Mpremote

BOARDS = read_boards()


@pytest.fixture(scope="module", params=list(BOARDS))
def part(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Mpremote, Board]]:
    """mpremote at a board, and what the board is."""
    kind = request.param
    if port := request.config.getoption("--port"):
        if kind != request.config.getoption("--board"):
            pytest.skip(f"at {port} is another board: --board {kind}")
        real = Mpremote(port)
        real("exec", "pass")
        yield real, BOARDS[kind]
        real("reset")
        return
    one = BoardSettings("part", tmp_path_factory.mktemp("part") / "board.img", serial=True, board=kind)
    with running_world(WorldSettings([one])) as world:
        world.wait_running("part")
        yield Mpremote(str(world.serial("part"))), BOARDS[kind]


def test_the_board_as_it_is_described(part: tuple[Mpremote, Board]) -> None:
    mpremote, board = part
    code = f"""
from hal.board import Board
board = Board({board.board.name!r})
print(board.button.is_down(), board.gps is not None, board.pmu is not None, board.button.lost)
board.lamp.led(True)
board.lamp.led(False)
print(board.battery_mv())
"""
    parts, battery_mv = mpremote("exec", for_board(code)).splitlines()
    assert parts == f"False {board.gps is not None} {board.pmu is not None} 0"
    if board.battery:
        assert board.battery.empty_mv - 300 <= int(battery_mv) <= board.battery.full_mv + 100
    else:
        assert battery_mv == "0"


def test_the_power_chip(part: tuple[Mpremote, Board]) -> None:
    mpremote, board = part
    if board.pmu is None:
        code = f"from hal.board import Board\nprint(Board({board.board.name!r}).pmu)"
        assert mpremote("exec", for_board(code)) == "None\n"
        return
    code = f"""
from hal.board import Board
from machine import Pin
pmu = Board({board.board.name!r}).pmu
print(pmu.on_mains() in (True, False), Pin({board.pmu.irq}, Pin.IN).value())
pmu.gps(False)
pmu.gps(True)
pmu.quiet()
print(Pin({board.pmu.irq}, Pin.IN).value())
"""
    assert mpremote("exec", for_board(code)) == "True 1\n1\n", "nothing is pending once it is quiet"
