"""What was measured, as a table and a picture, for the terminal and for docs/performance.md."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from sigap.bench import accepted, plan
from sigap.bench.peers import NAIVE, NODE_RED, SIGAP, SUBSCRIBER, WORK
from sigap.charts import Log, svg, text
from sigap.generated import between

BEGIN, END = "<!-- bench: written by `make bench` -->", "<!-- end of bench -->"
ACCEPTED_BEGIN, ACCEPTED_END = "<!-- webhook: written by `make bench` -->", "<!-- end of webhook -->"
PAGE, PICTURE = "performance.md", "performance.svg"
COLUMNS = ("alarms/s", "devices", "peer", "carried/s", "p50 ms", "p99 ms", "max ms", "µs of CPU", "missing", "doubled")
COLOURS = {SIGAP: "#c62828", NAIVE: "#1565c0", NODE_RED: "#6d4c41", SUBSCRIBER: "#888"}
WIDTH, HEIGHT, LEFT, TOP, PLOT_WIDTH, PLOT_HEIGHT = 960, 420, 70, 50, 560, 300
MANY_WORD, FEW_WORD = f"{plan.MANY_DEVICES:,} × 1", f"{plan.FEW_DEVICES}"


def table(document: dict[str, Any]) -> str:
    """A Markdown table of every case and peer."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "|" + "--:|" * 2 + "---|" + "--:|" * 7]
    for case in document["cases"]:
        lines.append(
            f"| {case['offered_per_s']:,.0f} | {MANY_WORD if case['kind'] == plan.MANY else FEW_WORD} | {case['peer']} "
            f"| {case['carried_per_s']:,.0f} | {_ms(case['p50_ms'])} | {_ms(case['p99_ms'])} | {_ms(case['max_ms'])} "
            f"| {case['cpu_us_per_alarm']:,.0f} | {case['missing']} | {case['doubled']} |"
        )
    return "\n".join(lines)


def section(document: dict[str, Any]) -> str:
    """What stands between the marks in docs/performance.md."""
    sync = document["sync_ms"]
    work = "\n".join(f"- **{name}**: {WORK[name]}" for name in dict.fromkeys(c["peer"] for c in document["cases"]))
    return (
        f"Measured on {document['date']}, {document['machine']}. "
        f"`fdatasync` of 8 KiB there, before, between and after: "
        f"p50 {sync['p50']:.2f} ms, p99 {sync['p99']:.2f} ms, max {sync['max']:.1f} ms. "
        f"{document['rounds']} rounds, each with every peer in turn.\n\n"
        f"![Press to receipt by rate]({PICTURE})\n\n{table(document)}\n\n{work}"
    )


def accepted_section(about: dict[str, Any], cases: list[dict[str, Any]]) -> str:
    """Press to accepted, what stands between its marks in docs/performance.md."""
    columns = ("alarms/s", "peer", "told/s", "p50 ms", "p99 ms", "max ms", "µs of CPU", "missing", "doubled")
    lines = ["| " + " | ".join(columns) + " |", "|--:|---|" + "--:|" * 7]
    for case in cases:
        lines.append(
            f"| {case['offered_per_s']:,.0f} | {case['peer']} | {case['carried_per_s']:,.0f} | {_ms(case['p50_ms'])} "
            f"| {_ms(case['p99_ms'])} | {_ms(case['max_ms'])} | {case['cpu_us_per_alarm']:,.0f} "
            f"| {case['missing']} | {case['doubled']} |"
        )
    table = "\n".join(lines)
    work = "\n".join(f"- **{name}**: {words}" for name, words in accepted.WORK.items())
    head = f"Measured on {about['date']}, {about['machine']}. {about['rounds']} rounds, each with every peer in turn."
    return f"{head}\n\n{table}\n\n{work}"


def write_docs(document: dict[str, Any], docs: Path) -> None:
    """Put table and picture into docs/."""
    (docs / PICTURE).write_text(picture(document))
    write_section(docs, section(document), BEGIN, END)


def write_section(docs: Path, section: str, begin: str, end: str) -> None:
    """Put it between two marks of the page."""
    page = docs / PAGE
    page.write_text(between(page, begin, end, section), encoding="utf-8")


def picture(document: dict[str, Any]) -> str:
    """Press to receipt over the offered rate, both logarithmic, for the few devices; and what each carried at most."""
    few = [case for case in document["cases"] if case["kind"] == plan.FEW and case["p99_ms"] is not None]
    rates = sorted({case["offered_per_s"] for case in few}) or [1.0]
    across = Log(min(rates), max(rates), LEFT, LEFT + PLOT_WIDTH)
    times = [case[name] for case in few for name in ("p50_ms", "p99_ms")] or [1.0]
    bounds = 10 ** math.floor(math.log10(min(times))), 10 ** math.ceil(math.log10(max(times)))
    up = Log(*bounds, TOP + PLOT_HEIGHT, TOP)
    body = [text(LEFT, 26, "Press (as intended) to receipt: p99 (line) and p50 (dashed)", size=15, weight="bold")]
    decade = bounds[0]
    while decade <= bounds[1] * 1.001:
        y = up(decade)
        body.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{LEFT + PLOT_WIDTH}" y2="{y:.1f}" stroke="#ddd"/>')
        body.append(text(LEFT - 8, y + 4, f"{decade:g} ms", anchor="end", size=11))
        decade *= 10
    for rate in rates:
        body.append(text(across(rate), TOP + PLOT_HEIGHT + 20, f"{rate:,.0f}/s", anchor="middle", size=11))
    for peer, colour in COLOURS.items():
        of_peer = sorted((case for case in few if case["peer"] == peer), key=lambda case: case["offered_per_s"])
        for name, dash in (("p99_ms", ""), ("p50_ms", ' stroke-dasharray="5 4"')):
            points = " ".join(f"{across(case['offered_per_s']):.1f},{up(case[name]):.1f}" for case in of_peer)
            body.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
    body += _carried(document, LEFT + PLOT_WIDTH + 50)
    return svg(WIDTH, HEIGHT, body)


def _carried(document: dict[str, Any], left: float) -> list[str]:
    """Bars: the most alarms a second that each carried with nothing missing."""
    out = [text(left, 26, "Carried at most, alarms/s", size=15, weight="bold")]
    most: dict[str, float] = {}
    for case in document["cases"]:
        if not case["missing"]:
            most[case["peer"]] = max(most.get(case["peer"], 0.0), case["carried_per_s"])
    scale = (WIDTH - left - 70) / max([*most.values(), 1.0])
    for number, (peer, carried) in enumerate(most.items()):
        y = TOP + 20 + number * 64
        out.append(text(left, y, peer, fill=COLOURS[peer]))
        out.append(f'<rect x="{left}" y="{y + 8}" width="{carried * scale:.1f}" height="22" fill="{COLOURS[peer]}"/>')
        out.append(text(left + carried * scale + 6, y + 24, f"{carried:,.0f}"))
    return out


def _ms(value: float | None) -> str:
    return "" if value is None else f"{value:,.1f}"
