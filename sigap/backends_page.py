"""The tables of docs/backends.md, from the checklists of the kinds of backend (gateway/backends/quality.py).

python -m sigap.backends_page            write them
python -m sigap.backends_page --check    exit 1 when they differ
"""

from __future__ import annotations

import sys

from gateway.backends.dc09.codes import EVENTS, TROUBLES, trouble_event
from gateway.backends.kinds import KINDS
from gateway.backends.quality import MISBEHAVIOURS, Quality
from sigap.generated import ROOT, between, write_or_check

PAGE = ROOT / "docs" / "backends.md"
BEGIN, END = "<!-- kinds: made by `make generate` -->", "<!-- end of kinds -->"


def tables() -> str:
    """What each kind guarantees, and what is tested of each, as Markdown."""
    lines = ["| kind | speaks | done | `accepted` |", "|---|---|---|---|"]
    for name, kind in KINDS.items():
        quality = kind.quality
        lines.append(f"| `{name}` | {quality.speaks} | {quality.done} | {quality.accepted} |")
    for name, kind in KINDS.items():
        lines += ["", f"**`{name}`** holds:", "", *(f"- {each}" for each in kind.quality.guarantees)]
    lines += ["", "## What a far side may do", "", f"| it | {' | '.join(f'`{name}`' for name in KINDS)} |"]
    lines.append("|---" * (len(KINDS) + 1) + "|")
    for name, means in MISBEHAVIOURS.items():
        cells = [_cell(kind.quality, name) for kind in KINDS.values()]
        lines.append(f"| **{name}**: {means} | {' | '.join(cells)} |")
    lines += ["", "## DC-09 codes", "", "| SIA (DC-03) | Contact ID | means |", "|---|---|---|"]
    pairs = [each for pair in TROUBLES.values() for each in pair] + [trouble_event("", each) for each in (True, False)]
    listed = dict.fromkeys([*EVENTS, *pairs])
    lines += [f"| `{each.sia}` | `{each.cid}` | {each.means} |" for each in listed]
    return "\n".join(lines)


def _cell(quality: Quality, misbehaviour: str) -> str:
    said = quality.tested[misbehaviour]
    if not quality.is_test(said):
        return said
    path, _, test = said.partition("::")
    return f"[{test.removeprefix('test_').replace('_', ' ')}](../{path})"


def text() -> str:
    """What the page should hold."""
    return between(PAGE, BEGIN, END, tables())


def main(arguments: list[str]) -> int:
    """0; with --check 1 when the page differs from what its sources make."""
    return write_or_check({PAGE: text()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
