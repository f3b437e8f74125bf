"""`sigap sim`: the panel of the virtual buttons, beside a running Sigap or with one of its own."""

from __future__ import annotations

import contextlib
import importlib.resources
import socket
import sys
import time
import webbrowser
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import click

from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.local import Local, Ports
from sigap.problem import Problem
from sigap.processes import Interrupted, interruptible
from sigap.records import Records
from sigap.run import DEFAULT, follow, port_option, running
from sigap.stories import Stories
from simulator.panel.server import Serving, listen, serving
from simulator.world.client import WorldClient, find

LOOK_EVERY_S = 0.2


@click.command()
@click.option("--port", default=8490, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/run"),
    show_default=True,
    help="Where `sigap run` runs; or where to start a Sigap, kept from one time to the next.",
)
@click.option("--open", "is_opened", is_flag=True, help="Open the page in the browser.")
@port_option("broker", "Port of the MQTT broker.", DEFAULT.broker)
@port_option("gateway", "Port of the gateway's HTTP side.", DEFAULT.gateway)
@port_option("police", "Port of the police desk's page.", DEFAULT.police)
@port_option("mail", "Port of the mail sink.", DEFAULT.mail)
def sim(
    port: int, folder: Path, is_opened: bool, broker_port: int, gateway_port: int, police_port: int, mail_port: int
) -> None:
    """Open the panel: a page with the virtual buttons, to press with mouse or keys and to pull plugs.

    It shows each button's light, buzzer, stage, console, battery and position, and the timeline of each alarm from
    the thumb to its end, to save as JSON or CSV. Power, WiFi and sky are switches.

    When a Sigap runs in --dir, the panel opens beside it; otherwise it starts one of its own, on the other ports
    here. Only this machine reaches the page, and only with the link that is printed. Ctrl-C ends what was started.

    \b
    sigap sim
    sigap sim --open
    sigap sim --dir var/other --port 0
    """
    with interruptible(), contextlib.suppress(Interrupted), listen(port) as listener:
        if _is_world_in(folder):
            _beside(folder, listener, is_opened)
        else:
            local = Local(folder, Ports(broker_port, gateway_port, police_port, mail_port))
            with running(local), panel(listener, local.folder, Records(local.store)) as serves:
                _welcome(serves, is_opened, f"desk     {local.login_link()}   log in with this link, once")
                follow(local, serves.check)
    click.echo("ended; nothing is left running", err=True)


@contextlib.contextmanager
def panel(listener: socket.socket, folder: Path, records: Records | None) -> Iterator[Serving]:
    """Serve the panel of the world in `folder`. The map comes from the desk. records: None without a gateway."""
    with Stories() as stories, serving(listener, partial(find, folder), assets(), records, stories) as serves:
        yield serves


def assets() -> Path:
    """Leaflet and the coasts, as the desk has them."""
    return Path(str(importlib.resources.files("gateway.desk") / "static"))


def _is_world_in(folder: Path) -> bool:
    try:
        WorldClient.find(folder).close()
    except Problem:
        return False
    return True


def _beside(folder: Path, listener: socket.socket, is_opened: bool) -> None:
    with _records(folder) as records, panel(listener, folder, records) as serves:
        what = "its gateway's records" if records else "no gateway: the timeline has the lights only"
        _welcome(serves, is_opened, f"beside   what runs in {folder}, with {what}")
        while True:
            serves.check()
            time.sleep(LOOK_EVERY_S)


@contextlib.contextmanager
def _records(folder: Path) -> Iterator[Records | None]:
    """Of the gateway whose settings are in the folder; None when there are none."""
    config = folder / "sigap.toml"
    if not config.exists():
        yield None
        return
    with open_store(load_settings(config).store_url) as store:
        yield Records(store)


def _welcome(serves: Serving, is_opened: bool, more: str) -> None:
    lines = [
        "",
        f"  panel    {serves.url}",
        "           Open it, and press a button three times: with the mouse, or with the key 1.",
        f"  {more}",
        "",
        "  Ctrl-C ends it.",
        "",
    ]
    click.echo("\n".join(lines))
    sys.stdout.flush()
    if is_opened:
        webbrowser.open(serves.url)
