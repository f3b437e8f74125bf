"""`sigap bench`."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from sigap.bench import accepted, extra, machine, peers, plan, report
from sigap.bench.run import Results, run_cases
from sigap.problem import Problem
from sigap.processes import interruptible

SHARES = {"p50": 0.5, "p99": 0.99, "max": 1.0}


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("build/bench"),
    show_default=True,
    help="Where results.json goes, and where Node-RED was installed.",
)
@click.option("--peer", "chosen", type=click.Choice(peers.NAMES), multiple=True, help="Only this one; repeat for more.")
@click.option("--rate", "rates", type=float, multiple=True, help="Only cases of so many alarms a second; repeat.")
@click.option("--kind", type=click.Choice([plan.FEW, plan.MANY]), help="Only few devices, or only many.")
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=plan.ROUNDS, show_default=True, help="Each case so often."
)
@click.option("--seconds", type=click.FloatRange(0.1, 600), help="How long a case of few devices lasts, instead.")
@click.option("--memory", "minutes", type=float, help="Instead: memory over so many minutes at 2,000 alarms/s.")
@click.option("--rows", type=click.IntRange(1), help="Instead: p99 with so many old events beside none.")
@click.option("--webhook", is_flag=True, help="Instead: press to accepted by a fast police system, told by webhook.")
@click.option("--docs", type=click.Path(path_type=Path, exists=True), help="Put table and picture into this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print results.json on stdout.")
def bench(
    out: Path,
    chosen: tuple[str, ...],
    rates: tuple[float, ...],
    kind: str | None,
    rounds: int,
    seconds: float | None,
    minutes: float | None,
    rows: int | None,
    webhook: bool,
    docs: Path | None,
    as_json: bool,
) -> None:
    """Measure press to receipt, beside others that do the same work, and write build/bench/results.json.

    Alarms are sent at intended times whatever comes back, and each wait counts from the time that was intended.
    All of it takes some six minutes; quieter machines give better figures than busy ones.

    \b
    sigap bench
    sigap bench --peer sigap --peer naive --rate 3000 --rounds 1
    sigap bench --webhook
    sigap bench --memory 10
    sigap bench --rows 10000000 --rounds 5
    """
    cases = [case for case in plan.CASES if (not rates or case.per_s in rates) and kind in (None, case.kind)]
    if not cases:
        offered = ", ".join(f"{rate:g}" for rate in sorted({case.per_s for case in plan.CASES}))
        raise Problem("no case is left to measure", f"Choose a --rate of {offered}")
    if seconds is not None:
        cases = [replace(case, seconds=seconds) for case in cases]
    out = out.absolute()
    out.mkdir(parents=True, exist_ok=True)
    with _folder(out) as folder, interruptible():
        if minutes is not None:
            click.echo(json.dumps(extra.memory(folder, minutes, _say), indent=1))
            return
        if rows is not None:
            click.echo(json.dumps(extra.many_rows(folder, rows, rounds, _say), indent=1))
            return
        if webhook:
            listed = accepted.run_accepted(folder, rounds, _say)
            text = report.accepted_section(_about(rounds), listed)
            if docs is not None:
                report.write_section(docs, text, report.ACCEPTED_BEGIN, report.ACCEPTED_END)
            click.echo(json.dumps(listed, indent=1) if as_json else text)
            return
        results = run_cases(folder, cases, chosen or peers.NAMES, rounds, out / "node-red", _say)
    document = _document(results, rounds)
    text = json.dumps(document, indent=1) + "\n"
    (out / "results.json").write_text(text)
    (out / report.PICTURE).write_text(report.picture(document))
    if docs is not None:
        report.write_docs(document, docs)
    click.echo(text if as_json else report.section(document))


@contextlib.contextmanager
def _folder(out: Path) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=out))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def _document(results: Results, rounds: int) -> dict[str, Any]:
    return {
        **_about(rounds),
        "sync_ms": {name: round(_at(results.sync, share), 3) for name, share in SHARES.items()},
        "cases": [one.to_dict() for one in results.measured],
    }


def _about(rounds: int) -> dict[str, Any]:
    return {"date": datetime.now(UTC).strftime("%Y-%m-%d"), "machine": machine.describe(), "rounds": rounds}


def _at(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def _say(text: str) -> None:
    click.echo(text, err=True)
