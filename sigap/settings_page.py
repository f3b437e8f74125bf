"""The table of the gateway's settings in docs/administrator.md, from their schema (gateway/settings.py).

python -m sigap.settings_page            write it
python -m sigap.settings_page --check    exit 1 when it differs
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from gateway.settings import SECTIONS, says

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "administrator.md"
BEGIN, END = "<!-- settings: made by `make generate` -->", "<!-- end of settings -->"


def table() -> str:
    """The settings as Markdown: one row each, in the order of the file."""
    lines = ["| key | default | meaning | value |", "|---|---|---|---|"]
    for section, model in SECTIONS.items():
        for key, field in model.model_fields.items():
            default = "required" if field.is_required() else f"`{json.dumps(field.default)}`"
            expected = says(section, key)
            secret = "; never shown" if expected.secret else ""
            lines.append(f"| `{section}.{key}` | {default} | {field.description} | {expected.expected}{secret} |")
    return "\n".join(lines)


def text() -> str:
    """What the page should hold."""
    head, rest = PAGE.read_text(encoding="utf-8").split(BEGIN)
    return f"{head}{BEGIN}\n\n{table()}\n\n{END}{rest.split(END)[1]}"


def main(arguments: list[str]) -> int:
    """0; with --check 1 when the page differs from what the schema makes."""
    made = text()
    if arguments != ["--check"]:
        PAGE.write_text(made, encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != made:
        print(f"sigap: {PAGE.relative_to(ROOT)} is not what its source makes. Run `make generate`.")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
