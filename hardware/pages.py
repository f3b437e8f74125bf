"""A page and a drawing of each board, for who builds it."""

from __future__ import annotations

from html import escape

from hardware.chips import CHIPS
from hardware.schema import Board

ROW, TOP, LEFT, WIDTH = 26, 64, 40, 760
# What a wire goes to, by the first word of its place.
COLOURS = {"button": "#c0392b", "led": "#d35400", "buzzer": "#8e44ad", "gps": "#2471a3", "lora": "#117a65"}
COLOURS |= {"pmu": "#7d6608", "battery": "#566573"}


def drawing(board: Board) -> str:
    """An SVG: the chip on the left, a line for each pin in use, and what it goes to."""
    uses = sorted(board.uses(), key=lambda use: (list(COLOURS).index(use.place.split(".")[0]), use.pin))
    height = TOP + ROW * len(uses) + 24
    title = escape(board.board.title)
    text = '<text x="{x}" y="{y}" {more}>{text}</text>'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{title}"'
        ' font-family="sans-serif" font-size="14">',
        f'<rect width="{WIDTH}" height="{height}" fill="#fff"/>',
        text.format(x=LEFT, y=28, more='font-size="18" font-weight="bold"', text=title),
        f'<rect x="{LEFT}" y="{TOP - 16}" width="190" height="{ROW * len(uses) + 16}" rx="8" fill="#2c3e50"/>',
    ]
    for row, use in enumerate(uses):
        y, part = TOP + ROW * row + 10, use.place.split(".")[0]
        colour = COLOURS[part]
        arrow = {"in": "\u2190", "out": "\u2192", "both": "\u2194", "analog": "\u2190"}[use.way]
        lines += [
            text.format(x=LEFT + 178, y=y + 5, more='fill="#fff" text-anchor="end"', text=f"GPIO{use.pin}"),
            f'<path d="M{LEFT + 190} {y} H{LEFT + 400}" stroke="{colour}" stroke-width="3"/>',
            text.format(x=LEFT + 295, y=y - 5, more=f'fill="{colour}" text-anchor="middle"', text=arrow),
            f'<rect x="{LEFT + 400}" y="{y - 11}" width="280" height="22" rx="4" fill="none" stroke="{colour}"/>',
            text.format(x=LEFT + 410, y=y + 5, more=f'fill="{colour}"', text=escape(_words(board, use.place))),
        ]
    return "\n".join([*lines, "</svg>"]) + "\n"


def _words(board: Board, place: str) -> str:
    part, _, pin = place.partition(".")
    known = {
        "button": "push button",
        "led": "LED",
        "buzzer": "buzzer, through a transistor",
        "gps": f"GPS {'TX' if pin == 'rx' else 'RX'}",
        "lora": f"LoRa {pin.upper()}",
        "pmu": f"{board.pmu.kind.upper() if board.pmu else ''} {pin.upper()}",
        "battery": "battery, through the divider",
    }
    return known[part]


def _table(head: tuple[str, ...], rows: list[tuple[object, ...]]) -> list[str]:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return [*lines, *("| " + " | ".join(str(cell).replace("|", "/") for cell in row) + " |" for row in rows), ""]


def page(board: Board) -> str:
    """The Markdown of hardware/pages/<name>.md."""
    about, sleep, chip = board.board, board.sleep, CHIPS[board.board.chip]
    excused = {each.pin: each.why for each in board.exception}
    lines = [
        f"# {about.title}",
        "",
        f"<!-- made by `make generate` from hardware/boards/{about.name}.toml -->",
        "",
        f'`"board": "{about.name}"` in `/device.json`; `sigap flash --board {about.name}`. Tried: {about.tried}.',
        "",
        f"![Pins of the {about.title}]({about.name}.svg)",
        "",
        "## Pins",
        "",
    ]
    ways = {"in": "input", "out": "output", "both": "both", "analog": "ADC"}
    rows: list[tuple[object, ...]] = []
    for use in board.uses():
        notes = [
            ways[use.way],
            *(["pull-up inside"] if use.pull else []),
            *(["wakes"] if use.pin in sleep.wake else []),
        ]
        notes += ["input only"] if use.pin in chip.input_only else []
        notes += [f"strapping pin: {excused[use.pin]}"] if use.pin in excused else []
        rows.append((use.pin, _words(board, use.place), ", ".join(notes)))
    lines += _table(("GPIO", "to", "how"), rows)
    lines += ["## Wiring", "", *_table(("from", "to", "note"), [(w.from_, w.to, w.note) for w in board.wire])]
    if board.pmu:
        rails: list[tuple[object, ...]] = [(r.output.upper(), r.feeds, r.mv or "as it is") for r in board.pmu.rails]
        lines += [f"## Supplies ({board.pmu.kind.upper()})", "", *_table(("output", "feeds", "mV"), rails)]
        lines += [f"Charges with {board.pmu.charge_ma} mA to 4.2 V.", ""]
    lines += ["## Parts", "", *_table(("part", "count", "note"), [(p.name, p.count, p.note) for p in board.part])]
    lines += ["## Battery and sleep", ""]
    if battery := board.battery:
        how = "a divider" if battery.divider else "the PMU"
        lines.append(
            f"{battery.cell}: {battery.usable_mah} mAh usable, measured by {how}; full {battery.full_mv} mV, "
            f"low {battery.low_mv} mV, empty {battery.empty_mv} mV."
        )
    else:
        lines.append("No battery: `battery_mv` is 0 (mains or unknown).")
    deep = {"no": "never", "hold": "a hold of 2 s is the SOS there", "counted": "hardware counts presses there"}
    counter = {"none": "nothing", "pcnt": "the pulse counter while awake", "ulp": "the ULP, asleep too"}
    lines += [
        "",
        f"Light sleep: {'yes' if sleep.light else 'no'}. Deep sleep: {deep[sleep.deep]}. "
        f"Woken by GPIO {', '.join(map(str, sleep.wake))}. "
        f"Presses are counted in hardware by: {counter[sleep.counter]}.",
        "",
        "## Current",
        "",
        "`light_sleep`, `deep_sleep` and `cpu` are the whole board; the others come on top.",
        "",
    ]
    lines += _table(
        ("state", "mA", "basis", "source"), [(e.state, f"{e.ma:g}", e.basis, e.source) for e in board.energy]
    )
    lines += ["## References", "", *(f"- {each.title}" for each in board.reference)]
    return "\n".join(lines) + "\n"
