"""What a virtual board is wired like: boards.json, which `make generate` makes from hardware/boards/*.toml."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

BOARDS: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("boards.json").read_text(encoding="utf-8"))
DEFAULT = "devkit"


def kind_of(device: dict[str, Any] | None) -> str:
    """The board that a device's settings name, if there is one; else the default: settings may be wrong on any
    board."""
    named = (device or {}).get("board")
    return named if named in BOARDS else DEFAULT
