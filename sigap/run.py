"""`sigap run`: everything on this machine, to press and to watch; or one press walked all the way."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NoReturn

import click
import segno

from gateway.backend_settings import DEFAULT_KIND, KINDS
from sigap.live import Live
from sigap.local import BASES, BUTTONS, MARKET, Local, Ports
from sigap.operator import DeskOperator
from sigap.problem import Problem
from sigap.processes import Interrupted, free_port, interruptible
from sigap.timeline import SHOWN, Watch, as_text, missing_from, timeline
from simulator.police.auto import AutoStages

LOOK_EVERY_S = 0.2
ONCE_BUTTON = "citizen-1"
# The operator's clicks, seconds after acceptance: each waits until the light has said the one before it in full.
ONCE_CLICKS = {"acknowledged": 2.5, "dispatched": 4.7, "on_scene": 6.7, "closed": 7.2}
DEFAULT = Ports()
PHONE_PORT = 18885


def port_option(name: str, what: str, default: int):
    return click.option(f"--{name}-port", default=default, show_default=True, type=click.IntRange(1, 65535), help=what)


@click.command()
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/run"),
    show_default=True,
    help="Where settings, database, flash images and logs live; kept from one run to the next.",
)
@click.option("--once", is_flag=True, help="Make one press, walk it to its end, print the timeline, and end.")
@click.option("--json", "as_json", is_flag=True, help="With --once: print the timeline as one JSON document.")
@click.option("--auto", type=AutoStages(), help="Stages the police desk sends by itself, seconds after acceptance.")
@click.option(
    "--backend",
    type=click.Choice(list(KINDS)),
    default=DEFAULT_KIND,
    show_default=True,
    help="The kind of police system that it is bridged to.",
)
@click.option("--faults", is_flag=True, help="Put a fault proxy on every link; `sigap fault` makes them bad.")
@click.option("--limit-s", default=30.0, show_default=True, help="With --once: how long all stages may take.")
@port_option("broker", "Port of the MQTT broker.", DEFAULT.broker)
@port_option("gateway", "Port of the gateway's HTTP side.", DEFAULT.gateway)
@port_option("police", "Port of the police desk's page.", DEFAULT.police)
@port_option("mail", "Port of the mail sink.", DEFAULT.mail)
@port_option("phone", "Port of the broker's WebSocket for phones.", PHONE_PORT)
def run(
    folder: Path,
    once: bool,
    as_json: bool,
    auto: dict[str, float] | None,
    backend: str,
    faults: bool,
    limit_s: float,
    broker_port: int,
    gateway_port: int,
    police_port: int,
    mail_port: int,
    phone_port: int,
) -> None:
    """Run a whole Sigap on this machine: broker, gateway, a police desk, a mail sink and virtual buttons.

    citizen-1 has a GPS; shop-1 is silent, at a fixed site; market-1 has no WiFi, and LoRa to the base station base-1 at
    a serial port of the gateway (on Linux). Press them from another terminal. A part that dies is
    started again. Ctrl-C ends everything.

    \b
    sigap run
    sigap run --auto "acknowledged=3,dispatched=8,on_scene=20,closed=30"
    sigap run --faults            and then, in another terminal: sigap fault set board:shop-1 cut=half-open
    sigap run --once              in a folder and on ports of its own; exit code 1 names a stage that did not come
    sigap run --once --json
    sigap run --once --backend dc09       the same, bridged to an alarm-receiving centre's receiver; or cap, mqtt
    """
    if as_json and not once:
        raise click.UsageError("--json goes with --once")
    if auto and backend != DEFAULT_KIND:
        raise click.UsageError(f"--auto goes with the police desk, not with --backend {backend}, which says no stages")
    if faults and once:
        raise click.UsageError("--faults does not go with --once, whose links nobody could reach")
    with interruptible():
        if once:
            _once(auto or {}, limit_s, as_json, backend)
        else:
            with contextlib.suppress(Interrupted):  # the way it is meant to end
                ports = Ports(broker_port, gateway_port, police_port, mail_port, phone_port)
                serial = sys.platform == "linux"
                with_lora = {"buttons": (*BUTTONS, MARKET), "bases": BASES} if serial else {}
                _stay(Local(folder, ports, auto=auto or {}, faults=faults, serial=serial, backend=backend, **with_lora))
            _say("ended; nothing is left running")


@contextlib.contextmanager
def running(local: Local) -> Iterator[None]:
    """A whole Sigap, started and ready; every part is ended in the end."""
    with local.alone():
        try:
            began = time.monotonic()
            local.prepare()
            _say("starting the broker, the gateway, the police desk and the virtual buttons ...")
            local.start_all()
            _say(f"ready after {time.monotonic() - began:.1f} s")
            yield
        finally:
            local.stop()


def _stay(local: Local) -> None:
    with running(local):
        for line in _welcome(local):
            click.echo(line)
        follow(local)


def follow(local: Local, check: Callable[[], None] = lambda: None) -> NoReturn:
    """Print what happens, start again what dies, call `check`; until Interrupted, or a Problem."""
    with Live(local) as live:
        while True:
            check()
            for line in [*local.processes.revive(), *live.lines()]:
                click.echo(f"{time.strftime('%H:%M:%S')}  {line}")
            sys.stdout.flush()
            time.sleep(LOOK_EVERY_S)


def _phone(local: Local) -> list[str]:
    """The link to the SOS page, and the same as a picture to scan."""
    link, picture = local.invitation(), io.StringIO()
    segno.make(link, error="l").terminal(picture, compact=True, border=2)
    ports = (local.ports.gateway, local.ports.phone)
    usb = "; ".join(f"adb reverse tcp:{port} tcp:{port}" for port in ports)
    return [
        f"  a phone     {link}   the SOS page, once; in a browser here",
        f"              on an Android phone at USB after {usb}",
        *(f"    {line}" for line in picture.getvalue().splitlines()),
    ]


def _welcome(local: Local) -> list[str]:
    where = "" if local.folder == Path("var/run").absolute() else f" --dir {local.folder}"
    sigap = Path(sys.argv[0]).with_name("sigap")
    with contextlib.suppress(ValueError):
        sigap = sigap.absolute().relative_to(Path.cwd())
    faults = f"  bad links   {sigap} fault list{where}   and fault set LINK delay_ms=300 loss=0.1"
    return [
        "",
        f"  desk        {local.login_link()}   log in with this link, once, within ten minutes",
        f"  police      {_police(local)}",
        f"  press       {sigap} press shop-1{where}       in another terminal (or citizen-1, whose light answers)",
        *(
            [f"  over LoRa   {sigap} press market-1{where}   it has no WiFi; its base station is base-1"]
            if local.bases
            else []
        ),
        *_phone(local),
        f"  pull a plug {sigap} board off shop-1{where}   and on again",
        *([faults] if local.faults else []),
        f"  mails       {local.mails}   what relatives were sent",
        f"  list        {sigap} incidents --config {local.config}",
        f"  logs        {local.processes.log_dir}",
        "",
        "  Ctrl-C ends everything.",
        "",
    ]


def _police(local: Local) -> str:
    if local.backend == DEFAULT_KIND:
        return f"{local.police_url}   another police system's desk: its buttons send each stage back"
    return f"a receiver of kind {local.backend}; what it takes is in {local.processes.log_dir}/police-desk.log"


def _once(auto: dict[str, float], limit_s: float, as_json: bool, backend: str) -> None:
    folder = Path(tempfile.mkdtemp(prefix="sigap-once-"))
    kept = False
    try:
        ports = Ports(free_port(), free_port(), free_port(), free_port())
        local = Local(folder, ports, auto=auto, backend=backend)
        with running(local):
            document = _one_press(local, limit_s)
        click.echo(json.dumps(document, indent=2) if as_json else as_text(document))
        if absent := missing_from(document):
            kept = True
            raise Problem(
                f"the press went not all the way within {limit_s:g} s; what did not come: {', '.join(absent)}",
                f"The logs are in {folder / 'logs'}",
            )
    except Problem:
        kept = True
        raise
    finally:
        if not kept:
            shutil.rmtree(folder, ignore_errors=True)


def _one_press(local: Local, limit_s: float) -> dict:
    device = local.device(ONCE_BUTTON)
    with local.world() as world, Watch(local.store, device.id) as watch:
        since = max((entry["seq"] for entry in world.pins(ONCE_BUTTON)), default=0)
        done = world.press(ONCE_BUTTON)
        pressed_at = done["presses"][2]["down_at"]
        if local.auto:
            _say("pressed three times; waiting for the police desk to close the incident ...")
        else:
            _say("pressed three times; an operator handles it at the desk ...")
            _handle(local, watch, limit_s)
        watch.wait("closed", limit_s)
        local.processes.check()
        document = timeline(watch, device.id, pressed_at, world.pins(ONCE_BUTTON, since))
        # The light's last word lasts: it can be told only when it has shone for a while.
        deadline = time.monotonic() + 3
        while set(document["shown"]) != set(SHOWN) and time.monotonic() < deadline:
            time.sleep(0.1)
            document = timeline(watch, device.id, pressed_at, world.pins(ONCE_BUTTON, since))
    return document


def _handle(local: Local, watch: Watch, limit_s: float) -> None:
    """What an operator does with the emergency, over the desk's own routes."""
    if not watch.wait("accepted", limit_s):
        return
    accepted_at = time.monotonic()
    operator = DeskOperator(local.login_link())
    incident = operator.open_incident()
    fields = {"dispatched": {"unit": operator.units(incident)[0]}, "closed": {"disposition": "genuine"}}
    for stage, after_s in ONCE_CLICKS.items():
        time.sleep(max(0.0, accepted_at + after_s - time.monotonic()))
        operator.act(incident, stage, **fields.get(stage, {}))


def _say(line: str) -> None:
    click.echo(line, err=True)
