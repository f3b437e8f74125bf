"""`sigap flash`: MicroPython and our firmware onto a board at a serial port."""

from __future__ import annotations

from pathlib import Path

import click

from hardware.flashing import images
from hardware.flashing.copying import copy
from hardware.flashing.port import check
from hardware.flashing.repl import ANSWERS_S, open_repl
from hardware.flashing.rom import Rom
from hardware.generate import BOARDS, read_board
from hardware.schema import Board
from sigap.firmware import bundle
from sigap.problem import USAGE, Problem
from sigap.steps import Steps

FIRST_START_S = 20.0  # MicroPython makes its filesystem then


def board_named(name: str) -> Board:
    """A board of hardware/boards."""
    path = BOARDS / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(each.stem for each in BOARDS.glob("*.toml")))
        raise Problem(f"there is no board {name!r}", f"Give one of {known} by --board", USAGE)
    return read_board(path)


def flash_micropython(port: str, board: Board, path: Path, image: images.Image, steps: Steps) -> None:
    """Look whether the chip is the board's, then erase, write, verify."""
    rom = Rom(port, steps)
    chip, flash_mb = rom.chip()
    if chip != board.board.chip:
        raise Problem(
            f"{port}: the chip is an {chip}, and {board.board.name} has an {board.board.chip}",
            "Give the board that is plugged in by --board",
        )
    if 0 < flash_mb < board.board.flash_mb:
        raise Problem(
            f"{port}: the chip has {flash_mb} MB of flash, and {board.board.name} needs {board.board.flash_mb}",
            "Use another board",
        )
    rom.flash(image, path)


@click.command()
@click.option("--port", required=True, help="Where the board is plugged in, such as /dev/ttyUSB0.")
@click.option("--board", "name", required=True, help="Its kind, of hardware/boards: devkit, tbeam.")
@click.option("--image", type=click.Path(path_type=Path), help="A MicroPython image in place of the pinned one.")
@click.option("--sha256", help="Its SHA-256, where none is pinned.")
@click.option("--keep", is_flag=True, help="Only our firmware: MicroPython, settings, counters, journal stay.")
@click.option("--micropython-only", is_flag=True, help="Only MicroPython, for a board that gets its firmware later.")
def flash(port: str, name: str, image: Path | None, sha256: str | None, keep: bool, micropython_only: bool) -> None:
    """Put MicroPython and Sigap's firmware on the board at --port. Everything that was on it goes, unless --keep.

    \b
    sigap flash --port /dev/ttyUSB0 --board devkit
    sigap flash --port /dev/ttyUSB0 --board tbeam --keep
    """
    if keep and (micropython_only or image or sha256):
        raise Problem("--keep leaves MicroPython alone", "Leave out --image, --sha256 and --micropython-only", USAGE)
    board, steps = board_named(name), Steps()
    made = bundle.make()  # before anything is erased
    if not keep:
        pinned = images.find(board.board.image)
        path = images.get(pinned, image, sha256, lambda line: click.echo(line, err=True))
        flash_micropython(check(port), board, path, pinned, steps)
        click.echo(f"{port}: MicroPython is on the board, verified ({path.name})")
    if micropython_only:
        return
    with open_repl(port, ANSWERS_S if keep else FIRST_START_S) as repl:
        done = copy(repl, made, steps)
        repl.reset()
    click.echo(
        f"{port}: firmware {done.version} is on the board, verified: {done.written} files sent, {done.same} there"
    )
    if not keep:
        click.echo(f"next: sigap provision --port {port} --board {name} --name NAME --owner OWNER --wifi SSID")
