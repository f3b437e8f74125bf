"""Runs one press (`sigap run --once --json`), draws docs/one-press.svg and fills the table in docs/architecture.md.

make picture
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

DOCS = Path(__file__).parent
BEGIN, END = "<!-- one press: written by `make picture` -->", "<!-- end of one press -->"
WIDTH, LEFT, RIGHT = 960, 130, 30
COLOURS = {"sending": "#c62828", "received": "#ef6c00", "acknowledged": "#1565c0", "dispatched": "#2e7d32"}
# stage: who, and the file in which it happens
WHERE = {
    "pressed": ("the thumb", "firmware/panic/presses.py"),
    "received": ("the gateway has it on disk", "gateway/ingest/writer.py"),
    "accepted": ("the police's system has taken it", "gateway/backends/webhook.py"),
    "relatives": ("the owner's relatives were sent the message", "gateway/relatives/destination.py"),
    "acknowledged": ("an operator has seen it", "gateway/desk/pages.py"),
    "dispatched": ("officers are assigned", "gateway/desk/pages.py"),
    "on_scene": ("they have arrived", "gateway/desk/pages.py"),
    "closed": ("it ended", "gateway/desk/pages.py"),
}


def one_press() -> dict[str, Any]:
    """What a run says of itself."""
    command = [sys.executable, "-m", "sigap.cli", "run", "--once", "--json"]
    return json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)


def text(x: float, y: float, words: str, **more: Any) -> str:
    """An SVG text element; `anchor`, `size`, `weight` and `fill` as in SVG."""
    style = {"text-anchor": more.get("anchor", "start"), "font-size": more.get("size", 13)}
    style |= {"font-weight": more.get("weight", "normal"), "fill": more.get("fill", "#222")}
    attributes = " ".join(f'{name}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'


def panel(document: dict[str, Any], top: float, title: str, until_ms: float, tick_ms: float) -> list[str]:
    """One time axis from the third press to `until_ms`, with the stages above and the light below."""
    scale = (WIDTH - LEFT - RIGHT) / until_ms
    axis = top + 110

    def place(ms: float) -> float:
        return LEFT + ms * scale

    out = [text(LEFT, top, title, size=15, weight="bold")]
    out.append(f'<line x1="{LEFT}" y1="{axis}" x2="{WIDTH - RIGHT}" y2="{axis}" stroke="#555"/>')
    ms = 0.0
    while ms <= until_ms:
        out.append(f'<line x1="{place(ms):.1f}" y1="{axis}" x2="{place(ms):.1f}" y2="{axis + 5}" stroke="#555"/>')
        label = f"{ms:.0f} ms" if until_ms < 1000 else f"{ms / 1000:g} s"
        out.append(text(place(ms), axis + 18, label, anchor="middle", size=11, fill="#555"))
        ms += tick_ms
    out.append(text(LEFT - 12, axis - 30, "the gateway", anchor="end"))
    for number, (stage, at) in enumerate(document["stages"].items()):
        if at > until_ms:
            continue
        height = 64 - 22 * (number % 3)  # falling, so that no later line crosses an earlier label
        out.append(
            f'<line x1="{place(at):.1f}" y1="{axis}" x2="{place(at):.1f}" y2="{axis - height}" stroke="#222"/>'
            f'<circle cx="{place(at):.1f}" cy="{axis}" r="4" fill="#222"/>'
        )
        end = place(at) > WIDTH - 160
        words = f"{stage.replace('_', ' ')} {at:,.0f} ms"
        out.append(text(place(at) + (-5 if end else 5), axis - height + 4, words, anchor="end" if end else "start"))
    out.append(text(LEFT - 12, axis + 46, "the light", anchor="end"))
    said = list(document["shown"].items())
    ends = [at for _, at in said[1:]] + [document["stages"]["closed"]]
    for (word, at), end in zip(said, ends, strict=True):
        if at >= until_ms:
            continue
        width = max(2.0, place(min(end, until_ms)) - place(at))
        box = f'x="{place(at):.1f}" y="{axis + 30}" width="{width:.1f}" height="24" fill="{COLOURS[word]}"'
        out.append(f"<rect {box}/>")
        if width > 8 * len(word):
            out.append(text(place(at) + 6, axis + 47, word, fill="#fff"))
    return out


def draw(document: dict[str, Any]) -> str:
    """The picture as SVG."""
    begun = document["stages"]["accepted"] + 20
    first_ms = -(-begun // 20) * 20
    all_ms = -(-(document["stages"]["closed"] + 500) // 1000) * 1000
    body = [
        *panel(document, 30, "The first moments after the third press", first_ms, 10),
        *panel(document, 240, "All of it: the police desk answers", all_ms, 1000),
    ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} 430" font-family="system-ui, sans-serif">'
    title = "<title>One press, through the real firmware, broker, gateway and a police desk, and back</title>"
    return "\n".join([head, title, f'<rect width="{WIDTH}" height="430" fill="#fff"/>', *body, "</svg>\n"])


def table(document: dict[str, Any]) -> str:
    """The same for docs/architecture.md."""
    lines = ["| stage | ms since the third press | the light says so | means | happens in |", "|---|---|---|---|---|"]
    stages, shown = document["stages"], document["shown"]
    for stage, (means, file) in WHERE.items():
        light = f"{shown[stage]:,.0f}" if stage in shown else ""
        if stage == "pressed":
            light = f"sending: {shown['sending']:,.0f}"
        lines.append(f"| {stage.replace('_', ' ')} | {stages[stage]:,.0f} | {light} | {means} | `{file}` |")
    return "\n".join(lines)


def main() -> None:
    """Write both files."""
    document = one_press()
    (DOCS / "one-press.svg").write_text(draw(document))
    page = DOCS / "architecture.md"
    before, _, rest = page.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{table(document)}\n\n{END}{after}")
    print("wrote docs/one-press.svg and the table in docs/architecture.md")


if __name__ == "__main__":
    main()
