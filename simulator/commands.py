"""`sigap world`, `sigap press`, `sigap board`: virtual boards and the thumb that presses them."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Any

import click

from sigap.problem import Problem
from simulator.options import run_dir_option

CAUSES = {1: "power-on", 2: "hard", 3: "watchdog", 4: "deep sleep", 5: "soft"}
HOLD = [[0, 0], [10_200, 1], [10_800, 1]]  # [ms, level]: a little longer than a button asks for, and a pause
RUN_DIR = run_dir_option("Where the running world left its world.json.")
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def _client(run_dir: Path) -> Any:
    from simulator.world.client import WorldClient

    return WorldClient.find(run_dir)


def _show(value: object) -> None:
    click.echo(json.dumps(value))


@click.command()
@click.option("--config", type=click.Path(path_type=Path), required=True, help="World file, TOML or JSON.")
@RUN_DIR
def world(config: Path, run_dir: Path) -> None:
    """Run virtual boards until Ctrl-C.

    Prints one JSON line when every board has started. What the boards print goes to stderr.

    \b
    Example:  sigap world --config world.toml
    with world.toml:
        [[boards]]
        name = "shop-1"
        device = "shop-1.json"                   # becomes /device.json
        gps = { site = [-6.9932, 110.4203] }     # or track = [[seconds, lat, lon], ...], or sky = false
    """
    from simulator.world import main, settings

    logging.basicConfig(level=logging.INFO, stream=sys.stderr, format="%(name)s: %(message)s")
    try:
        asyncio.run(main.run(settings.load(config), run_dir))
    except OSError as error:
        where = error.filename or run_dir
        raise Problem(
            f"the world cannot use {where}: {error.strerror}", "Correct that, or give another place"
        ) from error


@click.command()
@click.argument("name")
@click.option("--presses", default=3, show_default=True, type=click.IntRange(1, 100), help="How many; three mean SOS.")
@click.option("--down-ms", default=90, show_default=True, type=click.IntRange(1, 60000), help="How long each lasts.")
@click.option("--gap-ms", default=210, show_default=True, type=click.IntRange(1, 60000), help="Pause after each.")
@click.option(
    "--bounce-ms",
    default=0,
    show_default=True,
    type=click.IntRange(0, 100),
    help="The contact chatters so long.",
)
@click.option("--test", "is_test", is_flag=True, help="Hold for ten seconds first: test mode.")
@RUN_DIR
@AS_JSON
def press(
    name: str, presses: int, down_ms: int, gap_ms: int, bounce_ms: int, is_test: bool, run_dir: Path, as_json: bool
) -> None:
    """Press the button of the virtual board NAME.

    \b
    Examples:  sigap press shop-1
               sigap press shop-1 --presses 1 --down-ms 2500     one long hold
               sigap press citizen-1 --test                      a test alarm
    """
    with _client(run_dir) as client:
        if is_test:
            if not as_json:
                click.echo(f"{name}: held for ten seconds ...", err=True)
            client.press(name, script=HOLD)
        done = client.press(name, presses, down_ms=down_ms, gap_ms=gap_ms, bounce_ms=bounce_ms)
    if as_json:
        _show({"board": name, **{key: done[key] for key in ("presses", "edges", "heard")}})
    elif done["heard"]:
        span_ms = done["presses"][-1]["up_at"] - done["presses"][0]["down_at"]
        click.echo(f"{name}: pressed {len(done['presses'])} times within {span_ms:.0f} ms")
    if not done["heard"]:
        raise Problem(f"{name} was not running while its button was pressed", f"`sigap board on {name}` powers it")


@click.group()
def board() -> None:
    """Power, reset and look at virtual boards.

    \b
    Examples:  sigap board list
               sigap board off shop-1      cut its supply, as a pulled plug does
               sigap board pins shop-1 --json
    """


@board.command("list")
@RUN_DIR
@AS_JSON
def list_boards(run_dir: Path, as_json: bool) -> None:
    """Show the boards of the running world.  Example: sigap board list --json"""
    with _client(run_dir) as client:
        boards = client.boards()
    if as_json:
        _show(boards)
        return
    for one in boards:
        cause = CAUSES.get(one["cause"], "not started")
        click.echo(
            f"{one['name']:20} {one['state']:9} last start: {cause}, resets {one['resets']}, "
            f"wifi {one['wifi']}, gps {one['gps'] or 'none'}" + (f", serial {one['serial']}" if one["serial"] else "")
        )


@board.command()
@click.argument("name")
@RUN_DIR
def on(name: str, run_dir: Path) -> None:
    """Connect the supply of board NAME.  Example: sigap board on shop-1"""
    with _client(run_dir) as client:
        client.power(name, True)
        client.wait_running(name)
    click.echo(f"{name}: on")


@board.command()
@click.argument("name")
@RUN_DIR
def off(name: str, run_dir: Path) -> None:
    """Cut the supply of board NAME at once.  Example: sigap board off shop-1"""
    with _client(run_dir) as client:
        client.power(name, False)
    click.echo(f"{name}: off")


@board.command()
@click.argument("name")
@RUN_DIR
def reset(name: str, run_dir: Path) -> None:
    """Push the reset button of board NAME.  Example: sigap board reset shop-1"""
    with _client(run_dir) as client:
        client.watch(name)
        client.reset(name)
        client.event(lambda e: e["event"] in ("boot", "gave-up"))
    click.echo(f"{name}: reset")


@board.command()
@click.argument("name")
@click.option("--since", default=0, help="Only entries after this seq.")
@RUN_DIR
@AS_JSON
def pins(name: str, since: int, run_dir: Path, as_json: bool) -> None:
    """Show what happened at the pins of board NAME.  Example: sigap board pins shop-1 --json"""
    with _client(run_dir) as client:
        entries = client.pins(name, since)
    if as_json:
        _show(entries)
        return
    for one in entries:
        what = f"pwm {one['pwm']} duty {one['duty']}" if "pwm" in one else f"pin {one['pin']} = {one['value']}"
        click.echo(f"{one['seq']:6} {one['at']:.1f} {what:24} by {one['by']}")


@board.command()
@click.argument("name")
@RUN_DIR
def console(name: str, run_dir: Path) -> None:
    """Show the last lines that board NAME printed.  Example: sigap board console shop-1"""
    with _client(run_dir) as client:
        for line in client.console(name):
            click.echo(line)


@board.command()
@click.argument("name")
@click.option("--worn", type=(int, int), metavar="FIRST LAST", help="Blocks that can no longer be written or erased.")
@click.option("--tear", type=int, metavar="BYTES", help="The next start programs so many; then its power goes.")
@RUN_DIR
def flash(name: str, worn: tuple[int, int] | None, tear: int | None, run_dir: Path) -> None:
    """Spoil the flash of board NAME from its next start on; without options it is whole again.

    \b
    Example:  sigap board flash shop-1 --worn 0 511 && sigap board off shop-1 && sigap board on shop-1
    """
    with _client(run_dir) as client:
        client.flash(name, worn=worn, tear=tear)
    click.echo(f"{name}: from its next start on, worn {worn or 'none'}, torn {'never' if tear is None else tear}")


@board.command()
@click.argument("name")
@RUN_DIR
@AS_JSON
def memory(name: str, run_dir: Path, as_json: bool) -> None:
    """Show the heap of board NAME after a collection.  Example: sigap board memory shop-1"""
    with _client(run_dir) as client:
        found = client.memory(name)
    figures = {key: found[key] for key in ("used", "free", "launcher", "firmware")}
    if as_json:
        _show(figures)
    else:
        click.echo(
            f"{name}: firmware {figures['firmware']} bytes, free {figures['free']}, launcher {figures['launcher']}"
        )


@board.command()
@click.argument("name")
@RUN_DIR
def serial(name: str, run_dir: Path) -> None:
    """Print the device of board NAME's serial port.  Example: mpremote connect $(sigap board serial shop-1) fs ls"""
    with _client(run_dir) as client:
        device = client.serial(name)
    if device is None:
        raise Problem(f"{name} has no serial port", "Give the board `serial = true` in the world file")
    click.echo(device)


@board.command()
@click.argument("name")
@click.argument("state", type=click.Choice(["up", "down"]))
@RUN_DIR
def wifi(name: str, state: str, run_dir: Path) -> None:
    """Take the access point of board NAME away, or give it back.  Example: sigap board wifi shop-1 down"""
    with _client(run_dir) as client:
        client.wifi(name, state == "up")
    click.echo(f"{name}: wifi {state}")
