"""`sigap troubles`: what is amiss with devices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.settings import load_settings
from gateway.store.engine import open_store
from gateway.supervision import crashes
from gateway.supervision.troubles import listed
from panic_wire.topics import device_name

MOST = 10_000


@click.command()
@config_option
@json_option
@click.option("--all", "with_ended", is_flag=True, help="Those that are over, too.")
def troubles(config_path: Path, as_json: bool, with_ended: bool) -> None:
    """List devices' troubles: those that last, the newest first. A device that is gone from the broker is `silent`.

    \b
    sigap troubles
    sigap troubles --all --json
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = shown(conn, lasting=True) + (shown(conn, lasting=False) if with_ended else [])
    if as_json:
        print_json({"troubles": found})
        return
    rows = [
        (each["device_name"], each["trouble"], str(each["value"]), each["began_at"] or "?", each["ended_at"] or "-")
        for each in found
    ]
    print_table([("device", "trouble", "value", "began", "ended"), *rows])
    for each in found:
        if "said" in each:
            click.echo(f"\n{each['device_name']} said before it crashed:\n{each['said']}")


def shown(conn: sa.Connection, *, lasting: bool, device_id: int | None = None) -> list[dict[str, Any]]:
    """Troubles as JSON has them; a crash with the newest text that the device sent."""
    found = []
    told: set[int] = set()
    for each in listed(conn, lasting=lasting, limit=MOST, device_id=device_id):
        row = {
            "device": device_name(each["device_id"]),
            "device_name": each["device"],
            "trouble": each["name"],
            "value": each["value"],
            "began_at": rfc3339(each["began_at"]),
            "ended_at": rfc3339(each["ended_at"]),
        }
        if each["name"] == "crashed" and each["device_id"] not in told:
            told.add(each["device_id"])
            texts = crashes.listed(conn, each["device_id"])
            if texts:
                row["said"] = texts[0]["text"]
        found.append(row)
    return found
