"""`sigap lora`: what LoRa can carry, by the models of the simulator's air; docs/lora.md's tables and picture."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from sigap.charts import Log, svg, text
from sigap.generated import between
from sigap.lora_real import chain
from simulator.radio.regions import AS923_2
from simulator.virtual.cell import SCHEDULES, Case, Result, run

BEGIN, END = "<!-- cells: written by `sigap lora grid` -->", "<!-- end of cells -->"
PAGE, PICTURE = "lora.md", "lora.svg"
BUTTONS, FACTORS, CHANNELS = (1, 10, 50, 200, 500), (7, 9, 10), (1, 2, 8)
HIDDEN = "sigap, hidden"
COLOURS = {"sigap": "#c62828", HIDDEN: "#ef9a9a", "lorawan": "#1565c0", "aloha": "#6d4c41"}
WIDTH, PANEL_WIDTH, PANEL_HEIGHT, LEFT, TOP = 960, 250, 190, 60, 70
LIMIT_S = 600.0


@click.group()
def lora() -> None:
    """What LoRa can carry: airtime, and how long a receipt takes when many press at once."""


lora.add_command(chain)


@lora.command()
@click.option("--bytes", "lengths", multiple=True, type=click.IntRange(1, 255), default=(24, 40, 51), show_default=True)
def airtime(lengths: tuple[int, ...]) -> None:
    """Milliseconds on the air by spreading factor, at 125 kHz and 4/5, and the most that the dwell time leaves.

    \b
    sigap lora airtime --bytes 24 --bytes 46
    """
    click.echo("SF   " + "".join(f"{length:>6} B" for length in lengths) + f"   most in {AS923_2.dwell_us // 1000} ms")
    for factor in range(7, 13):
        times = "".join(f"{AS923_2.airtime_us(length, factor) / 1000:8.0f}" for length in lengths)
        most = AS923_2.most_bytes(factor)
        click.echo(f"SF{factor:<3}{times}   {f'{most} B' if most else 'none'}")


@lora.command()
@click.option("--buttons", type=click.IntRange(1, 2000), default=50, show_default=True, help="Who press within 1 s.")
@click.option("--sf", "factor", type=click.IntRange(7, 10), default=9, show_default=True, help="Spreading factor.")
@click.option("--channels", type=click.IntRange(1, 8), default=1, show_default=True, help="As many receivers.")
@click.option("--schedule", type=click.Choice(list(SCHEDULES)), default="sigap", show_default=True)
@click.option("--hidden", is_flag=True, help="No button detects another: hills and walls between them.")
@click.option(
    "--loss", type=click.FloatRange(0, 0.9), default=0.0, show_default=True, help="Share of packets that fade."
)
@click.option("--seed", default=1, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def cell(
    buttons: int, factor: int, channels: int, schedule: str, hidden: bool, loss: float, seed: int, as_json: bool
) -> None:
    """One cell: how long until each button has its receipt.

    \b
    sigap lora cell --buttons 200 --sf 7 --channels 8
    """
    case = Case(buttons, factor, channels, SCHEDULES[schedule], seed=seed, hidden=hidden, loss=loss)
    line = _line(schedule, run(case))
    click.echo(json.dumps(line) if as_json else "\n".join(f"{name:<12} {value}" for name, value in line.items()))


@lora.command()
@click.option("--docs", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write lora.md there.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def grid(docs: Path | None, as_json: bool) -> None:
    """Every cell of docs/lora.md: buttons by spreading factors, channels and schedules. It takes minutes.

    \b
    sigap lora grid --docs docs      (`make lora` does it)
    """
    cases = _cases()
    lines = []
    progress = click.progressbar(length=len(cases), label="cells", file=sys.stderr)
    with ProcessPoolExecutor() as pool, progress as bar:
        for (name, _), result in zip(cases, pool.map(run, [case for _, case in cases]), strict=True):
            lines.append(_line(name, result))
            bar.update(1)
    if docs:
        page = docs / PAGE
        page.write_text(between(page, BEGIN, END, section(lines)), encoding="utf-8")
        (docs / PICTURE).write_text(picture(lines), encoding="utf-8")
    click.echo(json.dumps(lines) if as_json else table(lines))


def _cases() -> list[tuple[str, Case]]:
    named = []
    for factor in FACTORS:
        for channels in CHANNELS:
            for buttons in BUTTONS:
                cases = {name: Case(buttons, factor, channels, SCHEDULES[name]) for name in COLOURS if name != HIDDEN}
                cases[HIDDEN] = replace(cases["sigap"], hidden=True)
                named += [(name, cases[name]) for name in COLOURS]
    # The long ones first, so that the processors end together.
    return sorted(named, key=lambda each: -each[1].buttons)


def _line(name: str, result: Result) -> dict[str, Any]:
    """What is told of a cell."""
    case = result.case
    return {
        "schedule": name,
        "sf": case.factor,
        "channels": case.channels,
        "buttons": case.buttons,
        "p50_s": _round(result.at(0.5)),
        "p99_s": _round(result.at(0.99)),
        "lost": result.lost,
        "frames": round(result.sent / case.buttons, 1),
        "base_s": round(result.base_ms / 1000, 1),
        "broken": len(result.broken),
    }


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown: a line for each cell, a group of columns for each schedule: p50 / p99, and how many were lost."""
    names = list(COLOURS)
    out = ["| SF | channels | buttons | " + " | ".join(names) + " |", "|--:|--:|--:|" + "---|" * len(names)]
    by_key = {(each["sf"], each["channels"], each["buttons"], each["schedule"]): each for each in lines}
    for factor in FACTORS:
        for channels in CHANNELS:
            for buttons in BUTTONS:
                told = " | ".join(_told(by_key[factor, channels, buttons, name]) for name in names)
                out.append(f"| {factor} | {channels} | {buttons} | {told} |")
    return "\n".join(out)


def _told(line: dict[str, Any]) -> str:
    times = " / ".join("–" if line[name] is None else f"{line[name]:.1f}" for name in ("p50_s", "p99_s"))
    return times + (f", **{line['lost']} lost**" if line["lost"] else "")


def section(lines: list[dict[str, Any]]) -> str:
    """What stands between the marks in docs/lora.md."""
    ours = [each for each in lines if each["schedule"] == "sigap"]
    return (
        f"![Time to receipt by buttons]({PICTURE})\n\n{table(lines)}\n\n"
        f"Of the schedule *sigap*: {max(each['frames'] for each in ours)} frames a button at most, "
        f"{max(each['base_s'] / each['channels'] for each in ours):.1f} s of the {AS923_2.duty * 3600:.0f} s that a "
        f"base may send in an hour, and {sum(each['broken'] for each in ours)} transmissions that the region forbids."
    )


def picture(lines: list[dict[str, Any]]) -> str:
    """Nine panels, spreading factor by channels: p99 (line) and p50 (dashed) over the buttons; crosses: some lost."""
    body = [
        text(
            LEFT,
            26,
            "Press to receipt: p99 (line), p50 (dashed); × more than 1 % lost",
            size=15,
            weight="bold",
        )
    ]
    for number, (name, colour) in enumerate(COLOURS.items()):
        body.append(text(LEFT + number * 130, 48, name, fill=colour, weight="bold"))
    for row, factor in enumerate(FACTORS):
        for column, channels in enumerate(CHANNELS):
            left, top = LEFT + column * (PANEL_WIDTH + 50), TOP + row * (PANEL_HEIGHT + 45)
            some = [each for each in lines if each["sf"] == factor and each["channels"] == channels]
            body += _panel(some, left, top, f"SF{factor}, {channels} channel{'s' * (channels > 1)}")
    return svg(WIDTH, TOP + len(FACTORS) * (PANEL_HEIGHT + 45), body)


def _panel(lines: list[dict[str, Any]], left: float, top: float, title: str) -> list[str]:
    across = Log(BUTTONS[0], BUTTONS[-1], left, left + PANEL_WIDTH)
    up = Log(0.1, LIMIT_S, top + PANEL_HEIGHT, top + 16)
    out = [text(left, top + 8, title, size=12, weight="bold")]
    for seconds in (0.1, 1, 10, 100, 600):
        y = up(seconds)
        out.append(f'<line x1="{left}" y1="{y:.1f}" x2="{left + PANEL_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        out.append(text(left - 4, y + 4, f"{seconds:g} s", anchor="end", size=10))
    out += [text(across(each), top + PANEL_HEIGHT + 16, str(each), anchor="middle", size=10) for each in BUTTONS]
    for name, colour in COLOURS.items():
        of_name = sorted((each for each in lines if each["schedule"] == name), key=lambda each: each["buttons"])
        for value, dash in (("p99_s", ""), ("p50_s", ' stroke-dasharray="5 4"')):
            known = [each for each in of_name if each[value] is not None]
            points = " ".join(f"{across(each['buttons']):.1f},{up(max(each[value], 0.1)):.1f}" for each in known)
            out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        gone = [each for each in of_name if each["p99_s"] is None]
        shift = list(COLOURS).index(name) * 9 - 30
        out += [
            text(across(each["buttons"]) + shift, up(LIMIT_S) + 5, "×", fill=colour, weight="bold") for each in gone
        ]
    return out
