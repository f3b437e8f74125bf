"""`sigap unit`: the officers that an operator can send."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.clock import now_us
from gateway.commands.options import config_option
from gateway.registry import units
from gateway.settings import load_settings
from gateway.store.engine import open_store


@click.group()
def unit() -> None:
    """Add, list and revoke units, which operators send.

    \b
    sigap unit add "Patroli Simpang Lima"
    """


@unit.command("add")
@click.argument("name")
@config_option
def add(name: str, config_path: Path) -> None:
    """Add the unit NAME."""
    with open_store(load_settings(config_path).store_url) as store, store.write() as conn:
        click.echo(f"added {units.add_unit(conn, name, now_us())}")


@unit.command("list")
@config_option
def list_all(config_path: Path) -> None:
    """List the units in use."""
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        for name in units.list_units(conn):
            click.echo(name)


@unit.command("revoke")
@click.argument("name")
@config_option
def revoke(name: str, config_path: Path) -> None:
    """Take the unit NAME off the list; what was said of it stays."""
    with open_store(load_settings(config_path).store_url) as store, store.write() as conn:
        click.echo(f"revoked {units.revoke_unit(conn, name, now_us())}")
