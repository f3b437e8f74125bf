"""`sigap lora chain`: press to receipt with the real firmware, and the table of it in docs/lora.md."""

from __future__ import annotations

import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import click

from sigap.generated import between
from sigap.lora_chain import Chain, Taken, measure
from simulator.virtual.cell import SCHEDULES, Case, run

BEGIN, END = "<!-- chain: written by `sigap lora chain --docs` -->", "<!-- end of chain -->"
# (buttons, rounds, worlds, loss, noise) of the page, at SF9 on one channel.
PAGE = ((1, 20, 30, 0.1, 0.0), (1, 20, 10, 0.1, 0.01), (10, 2, 5, 0.0, 0.0), (50, 1, 2, 0.0, 0.0))
FACTOR = 9


@click.command()
@click.option("--buttons", type=click.IntRange(1, 100), default=1, show_default=True, help="Who press within 1 s.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=10, show_default=True, help="So often, in each world.")
@click.option("--worlds", type=click.IntRange(1, 1000), default=4, show_default=True, help="Each from its own seed.")
@click.option("--sf", "factor", type=click.IntRange(7, 10), default=9, show_default=True, help="Spreading factor.")
@click.option("--loss", type=click.FloatRange(0, 0.9), default=0.1, show_default=True, help="Of packets, either way.")
@click.option("--noise", type=click.FloatRange(0, 0.1), default=0.0, show_default=True, help="Of bytes on the line.")
@click.option("--docs", type=click.Path(path_type=Path, file_okay=False, exists=True), help="Write lora.md's table.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def chain(
    buttons: int,
    rounds: int,
    worlds: int,
    factor: int,
    loss: float,
    noise: float,
    docs: Path | None,
    as_json: bool,
) -> None:
    """Press to receipt with the real firmware of buttons and base station, and the gateway's own code.

    \b
    sigap lora chain --worlds 30 --rounds 20           one button, 10 % loss each way
    sigap lora chain --buttons 50 --worlds 2 --rounds 1 --loss 0
    sigap lora chain --docs docs                       the table of docs/lora.md (`make lora` does it)
    """
    with ProcessPoolExecutor() as pool:
        if docs:
            lines = [_line(pool, *case[:3], FACTOR, *case[3:]) for case in PAGE]
            page = docs / "lora.md"
            page.write_text(between(page, BEGIN, END, table(lines)), encoding="utf-8")
            click.echo(json.dumps(lines) if as_json else table(lines))
            return
        line = _line(pool, buttons, rounds, worlds, factor, loss, noise)
    click.echo(json.dumps(line) if as_json else "\n".join(f"{name:<12} {value}" for name, value in line.items()))


def _line(
    pool: ProcessPoolExecutor, buttons: int, rounds: int, worlds: int, factor: int, loss: float, noise: float
) -> dict[str, Any]:
    both = Taken()
    cases = [Chain(buttons, rounds, factor, loss, seed, noise) for seed in range(1, worlds + 1)]
    for taken in pool.map(measure, cases):
        both.seconds += taken.seconds
        both.lost += taken.lost
    both.seconds.sort()
    model = run(Case(buttons, factor, 1, SCHEDULES["sigap"], loss=loss))
    return {
        "buttons": buttons,
        "sf": factor,
        "loss": loss,
        "noise": noise,
        "presses": len(both.seconds) + both.lost,
        "p50_s": _round(both.at(0.5)),
        "p99_s": _round(both.at(0.99)),
        "max_s": _round(both.at(1.0)),
        "lost": both.lost,
        "model_p50_s": _round(model.at(0.5)),
        "model_p99_s": _round(model.at(0.99)),
    }


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 2)


def table(lines: list[dict[str, Any]]) -> str:
    """Markdown."""
    out = [
        "| buttons | packets lost | line's bytes spoilt | presses | p50 | p99 | longest | lost | model's p50 / p99 |",
        "|--:|--:|--:|--:|--:|--:|--:|--:|---|",
    ]
    for line in lines:
        cells = [
            line["buttons"],
            f"{line['loss']:.0%}",
            f"{line['noise']:.0%}",
            line["presses"],
            *(f"{line[name]:.2f} s" if line[name] is not None else "–" for name in ("p50_s", "p99_s", "max_s")),
            line["lost"],
            f"{line['model_p50_s']} / {line['model_p99_s']} s" if not line["noise"] else "",
        ]
        out.append("| " + " | ".join(str(cell) for cell in cells) + " |")
    return "\n".join(out)
