"""`sigap config`: write an example, show what is in force and where each value comes from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.settings import MASK, SECTIONS, Settings, load_settings, says
from gateway.settings_example import write_example

GATEWAY_PORT = 18884  # in a new file: so that no crowd at the devices' port can shut the gateway out


@click.group()
def config() -> None:
    """Write and check the settings file.

    \b
    sigap config init          write sigap.toml here, with fresh secrets
    sigap config show          what is in force, and where it comes from
    """


@config.command()
@config_option
def init(config_path: Path) -> None:
    """Write a commented settings file with fresh random secrets; one that exists is left as it is."""
    if write_example(config_path, {"broker.gateway_port": GATEWAY_PORT}):
        click.echo(f"wrote {config_path}; set name and the backend's url in it")
    else:
        click.echo(f"{config_path} is there already and stays as it is")


@config.command()
@config_option
@json_option
def show(config_path: Path, as_json: bool) -> None:
    """Check the settings and show them, secrets masked."""
    settings = load_settings(config_path)
    rows = in_force(settings)
    if as_json:
        print_json({"file": str(config_path.absolute()), "data_dir": str(settings.data_dir), "settings": rows})
        return
    lines = [(row["key"], str(row["value"]), row["origin"]) for row in rows]
    print_table([("key", "value", "from"), *lines])


def in_force(settings: Settings) -> list[dict[str, Any]]:
    """Every setting as {"key", "value", "origin"}, in the order of the example; secrets masked."""
    rows = []
    for section in SECTIONS:
        value = getattr(settings, section)
        parts = (
            [(f"{section}.{i}", part) for i, part in enumerate(value)] if section == "backends" else [(section, value)]
        )
        for prefix, part in parts:
            for key in type(part).model_fields:
                shown = getattr(part, key)
                if says(type(part), key).secret and shown:
                    shown = MASK
                rows.append({"key": f"{prefix}.{key}", "value": shown, "origin": settings.origin(f"{prefix}.{key}")})
    return rows
