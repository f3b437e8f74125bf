"""What `import` says and does, for every kind of the registry."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json
from gateway.registry.csv_import import Kind, Report, import_file
from gateway.settings import Settings, load_settings
from gateway.store.engine import Store, open_store
from sigap.problem import USAGE, Problem

# What else follows from an import that was done; its words.
After = Callable[[Settings, Store, Report], str]
_OPTIONS: list[Callable[[Any], Any]] = [
    click.argument("file", type=click.Path(path_type=Path)),
    click.option("--dry-run", is_flag=True, help="Only say what would be added, and each mistake."),
    config_option,
    json_option,
]


def import_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def run_import(
    kind: Kind, file: Path, config_path: Path, *, dry_run: bool, as_json: bool, after: After | None = None
) -> None:
    """Import, and print what came of it. A Problem (exit code 2) when a row is bad: nothing was added then."""
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store:
        report = import_file(store, kind, file, now_us(), dry_run=dry_run)
        added = report.rows if not (report.mistakes or dry_run) else 0
        more = after(settings, store, report) if after is not None and added else ""
    bad = len(report.mistakes) + report.more
    if as_json:
        mistakes = [vars(each) for each in report.mistakes]
        counts = {"added": added, "good": report.rows, "bad": bad, "dry_run": dry_run}
        print_json({"kind": kind.name, **counts, "mistakes": mistakes})
    else:
        for each in report.mistakes:
            column = f", column {each.column}" if each.column else ""
            click.echo(f"row {each.row}{column}: {each.what}. {each.todo}.")
        if report.more:
            click.echo(f"and {report.more} more")
        if not bad:
            click.echo(f"added {added} {kind.name}{more}" if added or not dry_run else _would(report, kind))
    if bad:
        rows = "1 row is" if bad == 1 else f"{bad} rows are"
        raise Problem(f"{file}: {rows} wrong, and nothing was added", "Correct the file, and import it again", USAGE)


def _would(report: Report, kind: Kind) -> str:
    return f"{report.rows} {kind.name} would be added; every row is good, and nothing was added"


def write_secret(path: Path, text: str) -> None:
    """A new file for its owner only. Problem when it is there already, or cannot be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Problem(f"{path} is there already", "Name a new file: it may hold another's secret", USAGE) from error
    except OSError as error:
        raise Problem(f"{path} cannot be written: {error.strerror}", "Name another file", USAGE) from error
    with open(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
