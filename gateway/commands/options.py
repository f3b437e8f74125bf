"""What the gateway's commands share: the --config option, the open store, telling the broker, printing."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from gateway.broker.running import refresh
from gateway.registry.devices import list_devices
from gateway.settings import DEFAULT_PATH, Settings
from gateway.store.engine import Store

config_option: Callable[[Any], Any] = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path),
    default=DEFAULT_PATH,
    show_default=True,
    envvar="SIGAP_CONFIG",
    help="The settings file.",
)
json_option: Callable[[Any], Any] = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")


def refresh_broker(settings: Settings, store: Store) -> bool:
    """Write the broker's files for the devices of the store, tell the broker; False when none runs here."""

    def devices():
        with store.read() as conn:
            return list_devices(conn, revoked=False)

    return refresh(settings.broker_dir, settings.broker, devices)


def print_json(document: Any) -> None:
    """Exactly one JSON document on stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def print_facts(facts: dict[str, Any]) -> None:
    """One thing: each fact on a line; lists one item a line."""
    width = max(len(name) for name in facts)
    for name, value in facts.items():
        items = value if isinstance(value, list) else [value]
        for number, item in enumerate(items or [None]):
            shown = {None: "-", "True": "yes", "False": "no"}.get(item if item is None else str(item), item)
            click.echo(f"{(name if number == 0 else '').replace('_', ' ').ljust(width)}  {shown}".rstrip())


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Columns as wide as they need; the first row is the heading."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    for row in rows:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
