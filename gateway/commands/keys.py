"""`sigap key`: the master key, under which the store's device keys are wrapped."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option, json_option, print_json
from gateway.settings import load_settings
from gateway.store import rotation
from gateway.store.engine import open_store
from gateway.store.keys import keyring_of


@click.group()
def key() -> None:
    """The master key: without it, the devices' keys in the database (and in its backups) cannot be read.

    \b
    sigap key show             where it is and which
    sigap key rotate-master    another one, for a key that somebody may have seen
    """


@key.command()
@config_option
@json_option
def show(config_path: Path, as_json: bool) -> None:
    """Where the master key is and its id; it is made here for a new store. Keep a copy of the file elsewhere."""
    with open_store(load_settings(config_path).store_url) as store:
        keyring = keyring_of(store.engine.dialect)
        wrapped = rotation.wrapped_under(store)
    if as_json:
        print_json({"file": str(keyring.path), "id": keyring.id, "devices": wrapped})
        return
    click.echo(f"master key {keyring.id} in {keyring.path}")
    for each, number in wrapped.items():
        click.echo(f"{number} devices' keys are wrapped under {each}")
    click.echo("keep a copy of the file away from this machine and away from the backups")


@key.command("rotate-master")
@config_option
@json_option
def rotate_master(config_path: Path, as_json: bool) -> None:
    """Make another master key and wrap every device's key under it. The gateway may run meanwhile."""
    with open_store(load_settings(config_path).store_url) as store:
        done = rotation.rotate(store)
    if as_json:
        print_json({"id": done.id, "before": done.before, "devices": done.devices, "kept": str(done.kept)})
        return
    click.echo(f"the keys of {done.devices} devices are wrapped under the master key {done.id} now")
    click.echo(f"the one before is {done.kept}: backups from before need it; delete it when you keep none of those")
