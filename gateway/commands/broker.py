"""`sigap broker`: Mosquitto in the foreground, with the logins of the registry."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.broker.running import find_mosquitto, require_listenable, run
from gateway.commands.options import config_option, refresh_broker
from gateway.settings import load_settings
from gateway.store.engine import open_store


@click.command()
@config_option
@click.option("--check", is_flag=True, help="Write the files and check the port, but start nothing.")
def broker(config_path: Path, check: bool) -> None:
    """Run the MQTT broker (Mosquitto) in the foreground; Ctrl-C ends it.

    Writes its configuration, password and access files into the data folder first. Devices that are added or
    revoked later reach the running broker by themselves.

    \b
    sigap broker
    sigap broker --config /etc/sigap/sigap.toml
    """
    settings = load_settings(config_path)
    mosquitto = find_mosquitto()
    require_listenable(settings.broker)
    with open_store(settings.store_url) as store:
        refresh_broker(settings, store)
    if check:
        click.echo(f"the broker's files are in {settings.broker_dir}")
        return
    run(mosquitto, settings.broker_dir)
