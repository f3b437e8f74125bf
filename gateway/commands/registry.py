"""`sigap device`; and `sigap owner` and `sigap relative`, which live beside, for the command line's table."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from gateway.broker.certificates import device_tls
from gateway.broker.files import require_password
from gateway.clock import now_us
from gateway.commands import show
from gateway.commands.importing import import_options, run_import, write_secret
from gateway.commands.options import (
    config_option,
    json_option,
    print_facts,
    print_json,
    print_table,
    refresh_broker,
)
from gateway.commands.people import owner, relative
from gateway.commands.remote import REMOTE
from gateway.registry import csv_import, people
from gateway.registry.csv_import import Report
from gateway.registry.devices import Device, add_device, find_device, list_devices, revoke_device
from gateway.registry.provision import device_settings
from gateway.settings import Settings, load_settings
from gateway.store.engine import Store, open_store
from panic_wire import topics
from sigap.problem import USAGE, Problem

__all__ = ["device", "owner", "relative"]

out_option = click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Write the device's settings (with its key) to this new file.",
)
_WIFI = [
    click.option("--wifi-ssid", default="", help="WiFi name for --out."),
    click.option("--wifi-password", default="", envvar="SIGAP_WIFI_PASSWORD", help="WiFi password for --out."),
    click.option("--board", default="devkit", show_default=True, help="Kind of board for --out."),
]


def wifi_options(command: Any) -> Any:
    for option in reversed(_WIFI):
        command = option(command)
    return command


@click.group()
def device() -> None:
    """Add, list and revoke devices (buttons), and ask things of them. A running broker learns of changes at once.

    \b
    sigap device add shop-1 --owner "Toko Sinar" --out shop-1.json
    sigap device import shops.csv --dry-run
    sigap device show shop-1
    sigap device locate shop-1
    sigap device revoke shop-1
    """


for _command in REMOTE:
    device.add_command(_command)


@device.command("add")
@click.argument("name")
@click.option("--owner", help="The name of its owner.")
@click.option("--silent", is_flag=True, help="No light and no sound.")
@click.option("--site-name", help="Where it is mounted.")
@click.option("--lat", type=float, help="Latitude of the site in degrees.")
@click.option("--lon", type=float, help="Longitude of the site in degrees.")
@out_option
@wifi_options
@config_option
@json_option
def device_add(
    name: str,
    owner: str | None,
    silent: bool,
    site_name: str | None,
    lat: float | None,
    lon: float | None,
    out: Path | None,
    config_path: Path,
    as_json: bool,
    **provisioning: str,
) -> None:
    """Add the device NAME and draw its id and key.

    \b
    sigap device add shop-1 --owner "Toko Sinar" --site-name "Pasar" --lat -6.98 --lon 110.41 --out shop-1.json
    """
    settings = load_settings(config_path)
    require_password(settings.broker)
    with open_store(settings.store_url) as store:
        with store.write() as conn:
            added = add_device(
                conn,
                name=name,
                owner=owner,
                silent=silent,
                site_name=site_name,
                site_lat=lat,
                site_lon=lon,
                now_us=now_us(),
            )
            if out is not None:
                _write_settings(out, added, settings, provisioning)
        told = refresh_broker(settings, store)
    if as_json:
        print_json({**_shown(added, owner), "broker_told": told})
    else:
        click.echo(f"added {added.name} with id {topics.device_name(added.id)}{_broker_words(told)}")


@device.command("provision")
@click.argument("name")
@out_option
@wifi_options
@config_option
def device_provision(name: str, out: Path | None, config_path: Path, **provisioning: str) -> None:
    """Write the settings of the device NAME once more, for --out FILE (else to stdout)."""
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.read() as conn:
        found = find_device(conn, name)
    if found is None or found.revoked:
        raise Problem(f"there is no device {name} in use", "`sigap device list` shows all", USAGE)
    if out is None:
        print_json(_settings_of(found, settings, provisioning))
    else:
        _write_settings(out, found, settings, provisioning)


@device.command("list")
@config_option
@json_option
def device_list(config_path: Path, as_json: bool) -> None:
    """List every device, the revoked ones too."""
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        owners = {owner.id: owner.name for owner in people.list_owners(conn)}
        shown = [_shown(found, owners.get(found.owner_id or 0)) for found in list_devices(conn)]
    if as_json:
        print_json(shown)
        return
    rows = [(row["name"], row["id"], row["owner"] or "-", row["site_name"] or "-", _remarks(row)) for row in shown]
    print_table([("name", "id", "owner", "site", "remarks"), *rows])


@device.command("revoke")
@click.argument("name")
@config_option
@json_option
def device_revoke(name: str, config_path: Path, as_json: bool) -> None:
    """Take the device NAME's rights for good: lost, stolen, out of service.

    It has no login at the broker from now on. An alarm of it that comes all the same is shown at the desk as a revoked
    button's, and nobody is told of it until an operator sends somebody; all else it sends goes to quarantine.
    """
    settings = load_settings(config_path)
    require_password(settings.broker)
    with open_store(settings.store_url) as store:
        with store.write() as conn:
            revoked = revoke_device(conn, name, now_us())
        told = refresh_broker(settings, store)
    if as_json:
        print_json({**_shown(revoked, None), "broker_told": told})
    else:
        click.echo(f"revoked {revoked.name}{_broker_words(told)}")


@device.command("show")
@click.argument("name")
@config_option
@json_option
def device_show(name: str, config_path: Path, as_json: bool) -> None:
    """Show the device NAME: owner, site, when it was heard, its troubles and its newest incidents.

    \b
    sigap device show shop-1
    sigap device show shop-1 --json
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = find_device(conn, name)
        if found is None:
            raise Problem(f"there is no device named {name}", "`sigap device list` shows all", USAGE)
        owner = None if found.owner_id is None else people.get_owner(conn, found.owner_id)
        facts = {**_shown(found, owner and owner.name), **show.of_device(conn, found.id)}
    print_json(facts) if as_json else print_facts(show.flat(facts))


@device.command("import")
@import_options
def device_import(file: Path, dry_run: bool, config_path: Path, as_json: bool) -> None:
    """Add the devices of a CSV FILE: all, or none when a row is bad. Each bad row is named, with its column.

    Columns: name (required), owner, silent (yes or no), site_name, lat, lon (degrees). Comma or semicolon, UTF-8, as
    spreadsheets write it. Keys are drawn; `sigap device provision NAME --out FILE` writes each one's settings.

    \b
    sigap device import shops.csv --dry-run
    sigap device import shops.csv
    """

    def tell_broker(settings: Settings, store: Store, _report: Report) -> str:
        return _broker_words(refresh_broker(settings, store))

    require_password(load_settings(config_path).broker)
    run_import(csv_import.DEVICES, file, config_path, dry_run=dry_run, as_json=as_json, after=tell_broker)


def _shown(found: Device, owner: str | None) -> dict[str, Any]:
    """A device without its key."""
    return {
        "id": topics.device_name(found.id),
        "name": found.name,
        "owner": owner,
        "silent": found.silent,
        "site_name": found.site_name,
        "lat": None if found.site_lat_e7 is None else found.site_lat_e7 / 1e7,
        "lon": None if found.site_lon_e7 is None else found.site_lon_e7 / 1e7,
        "revoked": found.revoked,
    }


def _remarks(row: dict[str, Any]) -> str:
    return ", ".join(word for word in ("silent", "revoked") if row[word])


def _broker_words(told: bool) -> str:
    return "" if told else "; the broker does not run here and learns of it when it starts"


def _settings_of(found: Device, settings: Settings, provisioning: dict[str, str]) -> dict[str, Any]:
    tls_port = settings.broker.tls_port
    return device_settings(
        found,
        broker_host=settings.device_broker_host,
        broker_port=tls_port or settings.broker.port,
        broker_tls=device_tls(settings.broker_dir) if tls_port else None,
        wifi_ssid=provisioning["wifi_ssid"],
        wifi_password=provisioning["wifi_password"],
        board=provisioning["board"],
    )


def _write_settings(out: Path, found: Device, settings: Settings, provisioning: dict[str, str]) -> None:
    write_secret(out, json.dumps(_settings_of(found, settings, provisioning), indent=2) + "\n")
