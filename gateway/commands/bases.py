"""`sigap bases`: the base stations for LoRa, and how they are."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.settings import load_settings
from gateway.store.engine import open_store
from gateway.supervision import bases as roll
from panic_wire.topics import device_id
from sigap.problem import Problem


@click.group(invoke_without_command=True)
@click.pass_context
@config_option
@json_option
def bases(context: click.Context, config_path: Path, as_json: bool) -> None:
    """List base stations: whether each says something, since when, and what it says of itself.

    \b
    sigap bases
    sigap bases --json
    sigap bases forget b0000001      it was taken down: it is no trouble any more
    """
    if context.invoked_subcommand is not None:
        return
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = roll.listed(conn)
    for each in found:
        each["since_at"], each["heard_at"] = rfc3339(each["since_at"]), rfc3339(each["heard_at"])
    if as_json:
        print_json({"bases": found})
        return
    rows = [
        (
            each["base"],
            each["state"],
            str(each["since_at"]),
            f"{each['beat'].get('up_hz', 0) / 1e6:g} MHz SF{each['beat'].get('factor', '?')}",
            str(each["beat"].get("heard", 0)),
            str(each["beat"].get("waiting", 0)),
            f"{each['beat'].get('airtime_ms', 0) / 360:.1f} %",
            each["port"],
        )
        for each in found
    ]
    print_table([("base", "state", "since", "hears", "frames", "waiting", "of its hour", "port"), *rows])


@bases.command()
@click.argument("base")
@config_option
def forget(base: str, config_path: Path) -> None:
    """A base station was taken down for good."""
    try:
        number = device_id(base)
    except ValueError as error:
        raise click.UsageError(f"{base!r} is no base station: eight lower-case hex digits") from error
    with open_store(load_settings(config_path).store_url) as store, store.write() as conn:
        if not roll.forget(conn, number):
            raise Problem(f"there is no base station {base}", "See `sigap bases`")
    click.echo(f"{base} is forgotten")
