"""`sigap base`: a board becomes a base station for LoRa."""

from __future__ import annotations

import secrets
from typing import Any

import click

from hardware.flashing.port import check
from hardware.flashing.provisioning import BASE, write_settings
from hardware.flashing.repl import open_repl
from sigap.flash import board_named
from sigap.problem import USAGE, Problem
from sigap.steps import Steps

ROW = (921_400_000, 9, 921_800_000)


@click.group()
def base() -> None:
    """Base stations for LoRa: they hear buttons without WiFi, and stand at a serial port of the gateway."""


@base.command()
@click.option("--port", required=True, help="Where the board is plugged in, such as /dev/ttyUSB0.")
@click.option("--board", "kind", default="tbeam", show_default=True, help="Its kind, of hardware/boards.")
@click.option("--id", "identity", default="", help="Eight hex digits; a fresh one when it is not given.")
@click.option(
    "--row",
    type=(click.IntRange(920_000_000, 923_000_000), click.IntRange(7, 10), click.IntRange(920_000_000, 923_000_000)),
    default=ROW,
    show_default=True,
    metavar="HZ SF HZ",
    help="Where it hears, the spreading factor, where it answers. Buttons have the same in their plan.",
)
def provision(port: str, kind: str, identity: str, row: tuple[int, int, int]) -> None:
    """Make the flashed board at --port a base station. Then name its port in [bases] ports, and start the gateway.

    \b
    sigap flash --port /dev/ttyUSB0 --board tbeam
    sigap base provision --port /dev/ttyUSB0
    """
    if board_named(kind).lora is None:
        raise Problem(f"the board {kind} has no LoRa radio", "Take a tbeam", USAGE)
    identity = identity or f"b{secrets.randbits(28):07x}"
    if len(identity) != 8 or any(letter not in "0123456789abcdef" for letter in identity):
        raise Problem(f"{identity!r} is no id of a base station", "Give eight lower-case hex digits", USAGE)
    check(port)
    values: dict[str, Any] = {"base": identity, "board": kind, "lora": {"plan": [list(row)]}}
    steps = Steps()
    with open_repl(port) as repl:
        steps("writing the settings", 0.0)
        write_settings(repl, values, BASE)
        steps("writing the settings", 1.0)
        repl.reset()
    click.echo(f"{port}: the base station {identity} starts; its light is on once a gateway speaks to it")
