"""`sigap energy`: how many days a battery lasts, from virtual days of the real firmware."""

from __future__ import annotations

import json
import shutil
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

import click

from sigap.virtual_gateway import VirtualStore
from simulator.virtual.energy import Ledger, used_mah
from simulator.virtual.world import Button, VirtualWorld
from simulator.world.wiring import BOARDS, DEFAULT

SITE = (-6.9904, 110.4229)
USABLE_MAH = 2900  # of an 18650 of 3000 mAh or more
SETTLED_S = 600  # after its start a button does the same again and again; the start is not counted


@dataclass(frozen=True)
class Day:
    """What a button's parts do in a day. lasted_us: state -> how long, scaled to 24 hours."""

    mode: str
    sky: str
    lasted_us: dict[str, int]


@dataclass(frozen=True)
class Line:
    """One line of the table."""

    board: str
    mode: str
    sky: str
    mean_ma: float
    days: float


FIXED = "fixed site"
# mode, what its receiver sees (FIXED: it has none), hours that are run: awake, every hour is like the other
CASES = (
    ("mains", FIXED, 1.0),
    ("mains", "open", 0.5),
    *((mode, sky, 24.0) for mode in ("light", "deep") for sky in (FIXED, "open", "none")),
)


def run_day(mode: str, sky: str, *, hours: float, heartbeat_s: int | None = None, seed: int = 1) -> Day:
    """A button that nobody presses, for so long after it has settled; its WiFi takes 3 s to join (DHCP)."""
    folder = Path(tempfile.mkdtemp(prefix="sigap-energy-"))
    beat_s = heartbeat_s or (300 if mode == "mains" else 3600)
    board = "tbeam" if mode == "deep" else DEFAULT  # of those that have the mode, whichever: the currents come after
    button = Button(
        "button",
        settings={"heartbeat_s": beat_s, **({"site": SITE} if sky == FIXED else {})},
        device={"board": board, "power": mode, "hold_is_sos": mode == "deep"},
        wifi={"join_ms": 3000},
        track=None if sky == FIXED else [(0.0, *SITE)],
        sky="open" if sky == FIXED else sky,
        plan={"board": board, "ledger": Ledger()},
    )
    try:
        with VirtualWorld(folder, [button], seed=seed, make_store=VirtualStore) as world:
            world.start()
            world.run(SETTLED_S)
            ledger = world.boards["button"].ledger
            ledger.settle(int(SETTLED_S * 1e6))
            before = dict(ledger.lasted_us)
            end_s = SETTLED_S + hours * 3600
            world.run(end_s)
            ledger.settle(int(end_s * 1e6))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    scale = 24 / hours
    spent = {state: round((us - before.get(state, 0)) * scale) for state, us in ledger.lasted_us.items()}
    return Day(mode, sky, spent)


def table(days: list[Day], usable_mah: float = USABLE_MAH) -> list[Line]:
    """Each day on each board that has the figures for it."""
    lines = []
    for board, wired in BOARDS.items():
        each = wired["energy_ma"]
        for day in days:
            if any(state not in each for state, us in day.lasted_us.items() if us):
                continue  # a board that has no such mode
            used = used_mah(day.lasted_us, each)
            lines.append(Line(board, day.mode, day.sky, used / 24, usable_mah / used))
    return lines


def markdown(lines: list[Line]) -> str:
    """As docs/firmware.md has it."""
    rows = ["| board | mode | sky | mean mA | days |", "|---|---|---|---|---|"]
    rows += [f"| {each.board} | {each.mode} | {each.sky} | {each.mean_ma:.2f} | {each.days:.1f} |" for each in lines]
    return "\n".join(rows)


@click.command()
@click.option("--capacity-mah", default=USABLE_MAH, show_default=True, help="What the battery gives.")
@click.option("--hours", default=0.0, help="Run so many virtual hours of each mode instead of its usual ones.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def energy(capacity_mah: float, hours: float, as_json: bool) -> None:
    """Print days per board and mode: a virtual day of the real firmware times the board's currents.

    \b
    sigap energy                        the table of docs/firmware.md
    sigap energy --capacity-mah 1000    with a smaller cell
    """
    days = []
    for mode, sky, usual in CASES:
        click.echo(f"{mode}, {sky}", err=True)
        days.append(run_day(mode, sky, hours=hours or usual))
    lines = table(days, capacity_mah)
    if as_json:
        click.echo(json.dumps([asdict(each) for each in lines]))
    else:
        click.echo(markdown(lines))
