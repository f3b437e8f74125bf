"""Progress of a long step for a person: a line that counts on a terminal, a line a step elsewhere."""

from __future__ import annotations

import sys

import click


class Steps:
    """Call it with what is being done and its share, 0 to 1. Goes to stderr; stdout is for results."""

    def __init__(self) -> None:
        self._doing, self._percent = "", -1
        self._live = sys.stderr.isatty()

    def __call__(self, doing: str, share: float) -> None:
        percent = int(share * 100)
        if (doing, percent) == (self._doing, self._percent):
            return
        is_new = doing != self._doing
        self._doing, self._percent = doing, percent
        if self._live:
            end = "\n" if share >= 1 else ""
            click.echo(f"\r{doing:32} {percent:3d} %{end}", err=True, nl=False)
        elif is_new or share >= 1:
            click.echo(f"{doing}: {'done' if share >= 1 else '...'}", err=True)
