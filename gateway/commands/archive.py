"""`sigap archive`: old events out of the way, one file for each month."""

from __future__ import annotations

import json
from pathlib import Path

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json
from gateway.incidents.archive import archive as move
from gateway.incidents.archive import archived
from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.problem import Problem

MONTH_US = 30 * 86_400 * 1_000_000


@click.group(invoke_without_command=True)
@click.option("--months", type=click.IntRange(1), default=12, show_default=True, help="Closed at least so long ago.")
@config_option
@json_option
@click.pass_context
def archive(context: click.Context, months: int, config_path: Path, as_json: bool) -> None:
    """Move the events of incidents that were closed long ago into data_dir/archive, a file for each month.

    The gateway may run meanwhile: each transaction takes some milliseconds. Safe to end and to run again; a timer
    may run it each night. The incidents themselves, with their alarms, stay.

    \b
    sigap archive --months 12
    sigap archive show 01a1c3f0-0000-7000-8000-000000000000
    """
    if context.invoked_subcommand is not None:
        return
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store:
        moved = move(store, settings.data_dir / "archive", now_us() - months * MONTH_US)
    if as_json:
        print_json(moved)
        return
    for month, number in sorted(moved.items()):
        click.echo(f"{month}: {number} events moved")
    if not moved:
        click.echo("nothing is that old")


@archive.command("show")
@click.argument("incident")
@config_option
def show(incident: str, config_path: Path) -> None:
    """Print the events of INCIDENT that were moved, one JSON document a line."""
    found = archived(load_settings(config_path).data_dir / "archive", incident)
    if not found:
        raise Problem(f"the archive has no events of {incident}", "`sigap incidents` shows what is in the store")
    for row in found:
        click.echo(json.dumps({**row, "data": json.loads(row["data"])}, ensure_ascii=False))
