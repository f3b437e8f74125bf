"""`sigap provision`: a device's identity made in the registry, its settings written to the board, its first heartbeat
seen."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import click

from gateway.broker.files import require_password
from gateway.clock import now_us
from gateway.commands.options import config_option, refresh_broker
from gateway.registry.devices import Device, add_device, find_device
from gateway.registry.people import find_owner
from gateway.registry.provision import device_settings
from gateway.settings import load_settings
from gateway.store.engine import Store, open_store
from gateway.store.schema import devices
from gateway.supervision import bases
from hardware.flashing.port import check
from hardware.flashing.provisioning import write_settings
from hardware.flashing.repl import open_repl
from panic_wire import topics
from sigap.flash import board_named
from sigap.problem import USAGE, Problem
from sigap.steps import Steps

LOOK_EVERY_S = 0.2


def registered(store: Store, name: str, owner: str, site: tuple[str, float, float] | None, silent: bool) -> Device:
    """The device, made, or found as a provisioning that was cut off has left it. Problem when it is another's."""
    with store.write() as conn:
        found = find_device(conn, name)
        if found is None:
            place = site or (None, None, None)
            return add_device(
                conn,
                name=name,
                owner=owner,
                silent=silent,
                site_name=place[0],
                site_lat=place[1],
                site_lon=place[2],
                now_us=now_us(),
            )
        if found.revoked:
            raise Problem(f"the name {name} was used by a revoked device", "Choose another", USAGE)
        mounted = (found.site_name, found.site_lat_e7, found.site_lon_e7) if found.fixed_site else None
        asked = (site[0], round(site[1] * 1e7), round(site[2] * 1e7)) if site else None
        if (found.owner_id, mounted, found.silent) != (find_owner(conn, owner).id, asked, silent):
            raise Problem(
                f"{name} is registered already, with another owner, site or silence",
                "Give the same as `sigap device list` shows, or another name",
                USAGE,
            )
        return found


ASLEEP_HEARTBEAT_S = 3600  # each costs a connection; on mains the firmware's own default holds


def plan_of(store: Store) -> list[list[int]]:
    """What a button tries over LoRa: each base station's row, as it said it (CONTRACT.md, section 11)."""
    with store.read() as conn:
        beats = [each["beat"] for each in bases.listed(conn)]
    rows = {(beat["up_hz"], beat["factor"], beat["down_hz"]) for beat in beats if "up_hz" in beat}
    return [list(row) for row in sorted(rows)][:16]


def wait_heard(store: Store, device: Device, since_us: int, limit_s: float) -> dict[str, Any]:
    """The device's first heartbeat after `since_us`, as the gateway recorded it. Problem when none comes."""
    deadline = time.monotonic() + limit_s
    query = devices.select().where(devices.c.id == device.id)
    while time.monotonic() < deadline:
        with store.read() as conn:
            row = conn.execute(query).one()
        if row.heartbeat and (row.last_heard_at or 0) >= since_us:
            return dict(row._mapping)
        time.sleep(LOOK_EVERY_S)
    raise Problem(
        f"{device.name} was not heard within {limit_s:g} s",
        "Look whether the gateway runs, and at the WiFi's name and password; `mpremote` shows what the board says",
    )


@click.command()
@click.option("--port", required=True, help="Where the board is plugged in, such as /dev/ttyUSB0.")
@click.option("--board", "kind", required=True, help="Its kind, of hardware/boards: devkit, tbeam.")
@click.option(
    "--name", required=True, help="The device's new name, such as shop-1; the same once more to write it again."
)
@click.option("--owner", required=True, help="The name of its owner, as `sigap owner add` made it.")
@click.option("--site", type=(str, float, float), metavar="NAME LAT LON", help="Where it is mounted, in degrees.")
@click.option("--silent", is_flag=True, help="No light and no sound.")
@click.option("--wifi", default="", metavar="SSID", help="The WiFi's name.")
@click.option("--wifi-password", envvar="SIGAP_WIFI_PASSWORD", help="Asked for when it is not given.")
@click.option(
    "--power",
    type=click.Choice(["mains", "light"]),
    help="light: it sleeps between presses, and says once an hour that it lives. By itself: light with a battery.",
)
@click.option("--lora", is_flag=True, help="It has LoRa too, and tries the base stations that `sigap bases` lists.")
@click.option("--wait", "wait_s", type=float, default=0.0, metavar="SECONDS", help="Wait for its first heartbeat.")
@config_option
def provision(
    port: str,
    kind: str,
    name: str,
    owner: str,
    site: tuple[str, float, float] | None,
    silent: bool,
    wifi: str,
    wifi_password: str | None,
    power: str | None,
    lora: bool,
    wait_s: float,
    config_path: Path,
) -> None:
    """Give the board at --port its identity, key and settings, and start it. Cut off, run the same command again.

    \b
    sigap provision --port /dev/ttyUSB0 --board devkit --name shop-1 --owner "Toko Sinar" \\
        --site "Toko Sinar" -6.9932 110.4203 --wifi "Sinar WiFi" --wait 60
    """
    power = power or ("light" if board_named(kind).battery else "mains")
    if lora and board_named(kind).lora is None:
        raise Problem(f"the board {kind} has no LoRa radio", "Leave --lora out, or take a tbeam", USAGE)
    check(port)  # before a name is taken
    if wifi and wifi_password is None:
        wifi_password = click.prompt("WiFi password", hide_input=True, default="", show_default=False)
    settings, steps = load_settings(config_path), Steps()
    require_password(settings.broker)
    with open_store(settings.store_url) as store:
        with open_repl(port) as repl:  # nor is it taken when nobody answers there
            steps("registering", 0.0)
            device = registered(store, name, owner, site, silent)
            refresh_broker(settings, store)
            steps("registering", 1.0)
            steps("writing the settings", 0.0)
            values = device_settings(
                device,
                broker_host=settings.device_broker_host,
                broker_port=settings.broker.port,
                wifi_ssid=wifi,
                wifi_password=wifi_password or "",
                board=kind,
            )
            if lora:
                values["lora"] = {"plan": plan_of(store)} if plan_of(store) else {}
            if power != "mains":
                values |= {"power": power, "heartbeat_s": ASLEEP_HEARTBEAT_S}
            write_settings(repl, values)
            steps("writing the settings", 1.0)
            since_us = now_us()
            repl.reset()
        click.echo(f"{port}: {name} is provisioned, with id {topics.device_name(device.id)}; the board starts")
        if wait_s:
            steps("waiting for its first heartbeat", 0.0)
            heard = wait_heard(store, device, since_us, wait_s)
            steps("waiting for its first heartbeat", 1.0)
            click.echo(f"{name} was heard after {(heard['last_heard_at'] - since_us) / 1e6:.1f} s")
