"""The table of the gateway's settings in docs/administrator.md, from their schema (gateway/settings.py).

python -m sigap.settings_page            write it
python -m sigap.settings_page --check    exit 1 when it differs
"""

from __future__ import annotations

import json
import sys

from pydantic import BaseModel

from gateway.backend_settings import DEFAULT_KIND, KINDS, Backend
from gateway.settings import SECTIONS, models, says
from sigap.generated import ROOT, between, write_or_check

PAGE = ROOT / "docs" / "administrator.md"
BEGIN, END = "<!-- settings: made by `make generate` -->", "<!-- end of settings -->"


def table() -> str:
    """The settings as Markdown: one row each, in the order of the file; of backends each kind's."""
    lines = ["| key | default | meaning | value |", "|---|---|---|---|"]
    for section in SECTIONS:
        rows: dict[tuple[str, str], list[str]] = {}
        for model in models(section):
            for key in model.model_fields:
                kind = next((name for name, each in KINDS.items() if each is model), "")
                rows.setdefault((key, _row(model, key)), []).append(kind)
        for (key, row), kinds in rows.items():
            of = "" if len(kinds) == len(models(section)) else f" ({', '.join(kinds)})"
            lines.append(f"| `{section}.{key}`{of} | {row}")
    return "\n".join(lines)


def _row(model: type[BaseModel], key: str) -> str:
    if issubclass(model, Backend) and key == "kind":
        model, default = Backend, DEFAULT_KIND
    else:
        field = model.model_fields[key]
        default = None if field.is_required() else field.default
    expected = says(model, key)
    secret = "; never shown" if expected.secret else ""
    shown = "required" if default is None else f"`{json.dumps(default)}`"
    return f"{shown} | {model.model_fields[key].description} | {expected.expected}{secret} |"


def text() -> str:
    """What the page should hold."""
    return between(PAGE, BEGIN, END, table())


def main(arguments: list[str]) -> int:
    """0; with --check 1 when the page differs from what the schema makes."""
    return write_or_check({PAGE: text()}, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
