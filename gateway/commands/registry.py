"""`sigap device`; and `sigap owner` and `sigap relative`, which live beside, for the command line's table."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import click

from gateway.broker.certificates import device_tls
from gateway.broker.files import require_password
from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table, refresh_broker
from gateway.commands.people import owner, relative
from gateway.commands.remote import REMOTE
from gateway.registry import csv_import, people
from gateway.registry.devices import Device, add_device, find_device, list_devices, revoke_device
from gateway.registry.provision import device_settings
from gateway.settings import Settings, load_settings
from gateway.store.engine import open_store
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
    """Add the device NAME and draw its id and key."""
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
    """Take the device NAME's rights for good: no login at the broker, its frames go to quarantine."""
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


@device.command("import")
@click.argument("file", type=click.Path(path_type=Path))
@config_option
def device_import(file: Path, config_path: Path) -> None:
    """Add the devices of a CSV FILE with the columns name, owner, silent, site_name, lat, lon: all, or
    none."""
    settings = load_settings(config_path)
    require_password(settings.broker)
    with open_store(settings.store_url) as store:
        with store.write() as conn:
            count = csv_import.import_devices(conn, file, now_us())
        told = refresh_broker(settings, store)
    click.echo(f"added {count} devices{_broker_words(told)}")


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
    try:
        descriptor = os.open(out, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    except FileExistsError as error:
        raise Problem(f"{out} is there already", "Name a new file: it may hold another device's key", USAGE) from error
    except OSError as error:
        raise Problem(f"{out} cannot be written: {error.strerror}", "Name another file", USAGE) from error
    with open(descriptor, "w", encoding="utf-8") as file:
        json.dump(_settings_of(found, settings, provisioning), file, indent=2)
        file.write("\n")
