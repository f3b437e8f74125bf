"""`sigap incidents rebuild`: the rows of incidents and alarms against their events."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option, json_option, print_json
from gateway.incidents import rebuild as made_anew
from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.problem import Problem

SHOWN = 50


@click.command()
@click.option("--check", "only_check", is_flag=True, help="Change nothing; say what differs.")
@config_option
@json_option
def rebuild(only_check: bool, config_path: Path, as_json: bool) -> None:
    """Make the rows of incidents and alarms anew from their events, which are never changed.

    Rows and events are written together, so nothing should ever differ; this shows it, and mends what a person did
    to the database by hand. Exit code 1 when something differs afterwards. The gateway may run meanwhile.

    \b
    sigap incidents rebuild --check
    sigap incidents rebuild
    """
    with open_store(load_settings(config_path).store_url) as store:
        before = made_anew.check(store) if only_check else made_anew.rebuild(store)
        left = before if only_check else made_anew.check(store)
    if as_json:
        print_json(
            {
                "incidents": before.incidents,
                "archived": before.archived,
                "rebuilt": not only_check,
                "differences": [vars(each) for each in before.differences],
                "left": len(left.differences),
            }
        )
    else:
        for each in before.differences[:SHOWN]:
            click.echo(f"{each.incident} {each.what}: the row has {each.stored!r}, the events say {each.told!r}")
        if len(before.differences) > SHOWN:
            click.echo(f"and {len(before.differences) - SHOWN} more; --json has all")
        archived = f", {before.archived} of them without events (archived)" if before.archived else ""
        click.echo(f"{before.incidents} incidents{archived}: {len(before.differences)} differences")
    if left.differences:
        todo = (
            "Run `sigap incidents rebuild`"
            if only_check
            else "Keep a copy of the database, and look at these incidents"
        )
        raise Problem(f"{len(left.differences)} values differ from what the events say", todo)
