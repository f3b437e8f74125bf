"""`sigap unit`: the officers that an operator can send."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands.importing import import_options, run_import
from gateway.commands.options import config_option, json_option, print_facts, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.registry import csv_import, units
from gateway.settings import load_settings
from gateway.store.engine import Store, open_store


@click.group()
def unit() -> None:
    """Add, list and revoke units, which operators send. The desk offers those whose post is nearest first.

    \b
    sigap unit add "Patroli Simpang Lima" --area "Simpang Lima" --lat -6.9903 --lon 110.4229
    sigap unit import units.csv --dry-run
    sigap unit revoke "Patroli Simpang Lima"
    """


@unit.command("add")
@click.argument("name")
@click.option("--area", help="Where it patrols, in words.")
@click.option("--lat", type=float, help="Latitude of its post in degrees.")
@click.option("--lon", type=float, help="Longitude of its post in degrees.")
@config_option
def add(name: str, area: str | None, lat: float | None, lon: float | None, config_path: Path) -> None:
    """Add the unit NAME; one that was revoked is back in use.

    \b
    sigap unit add "Patroli Simpang Lima" --area "Simpang Lima" --lat -6.9903 --lon 110.4229
    """
    with _store(config_path) as store, store.write() as conn:
        click.echo(f"added {units.add_unit(conn, name, now_us(), area=area, lat=lat, lon=lon)}")


@unit.command("import")
@import_options
def import_(file: Path, dry_run: bool, config_path: Path, as_json: bool) -> None:
    """Add the units of a CSV FILE: all, or none when a row is bad. Each bad row is named, with its column.

    Columns: name (required), area (in words), lat, lon (of its post, degrees). Comma or semicolon, UTF-8, as
    spreadsheets write it.

    \b
    sigap unit import units.csv --dry-run
    sigap unit import units.csv
    """
    run_import(csv_import.UNITS, file, config_path, dry_run=dry_run, as_json=as_json)


@unit.command("list")
@config_option
@json_option
def list_all(config_path: Path, as_json: bool) -> None:
    """List every unit, the revoked ones too."""
    with _store(config_path) as store, store.read() as conn:
        found = [_shown(each) for each in units.every_unit(conn)]
    if as_json:
        print_json(found)
        return
    rows = [(each["name"], each["area"] or "-", _post(each), "revoked" * each["revoked"]) for each in found]
    print_table([("name", "area", "post", "remarks"), *rows])


@unit.command("show")
@click.argument("name")
@config_option
@json_option
def show(name: str, config_path: Path, as_json: bool) -> None:
    """Show the unit NAME, revoked or not.

    \b
    sigap unit show "Patroli Simpang Lima"
    """
    with _store(config_path) as store, store.read() as conn:
        found = units.find_unit(conn, name)
    facts = {**_shown(found), "registered_at": rfc3339(found.created_at)}
    print_json(facts) if as_json else print_facts(facts)


@unit.command("revoke")
@click.argument("name")
@config_option
def revoke(name: str, config_path: Path) -> None:
    """Take the unit NAME off the list; what was said of it stays."""
    with _store(config_path) as store, store.write() as conn:
        click.echo(f"revoked {units.revoke_unit(conn, name, now_us())}")


def _store(config_path: Path) -> Store:
    return open_store(load_settings(config_path).store_url)


def _shown(found: units.Unit) -> dict[str, Any]:
    return {
        "name": found.name,
        "area": found.area,
        "lat": None if found.lat_e7 is None else found.lat_e7 / 1e7,
        "lon": None if found.lon_e7 is None else found.lon_e7 / 1e7,
        "revoked": found.revoked,
    }


def _post(each: dict[str, Any]) -> str:
    return "-" if each["lat"] is None else f"{each['lat']:.5f}, {each['lon']:.5f}"
