"""Options that several commands of the simulator have."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click


def run_dir_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """--run-dir, or --dir: the folder of what runs. what: the help's text."""
    return click.option(
        "--run-dir",
        "--dir",
        "run_dir",
        type=click.Path(path_type=Path),
        default=Path("var/run"),
        show_default=True,
        help=what,
    )
