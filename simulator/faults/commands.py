"""`sigap fault`: what is wrong with the links of a running Sigap."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import click

from sigap.problem import USAGE, Problem
from simulator.faults.client import FaultClient
from simulator.faults.model import CUTS, KEYS
from simulator.options import run_dir_option

RUN_DIR = run_dir_option("Where the running fault proxy left its faults.json.")


@click.group()
def fault() -> None:
    """Make the links of a running Sigap slow, lossy or silent.  `sigap run --faults` puts a proxy on each.

    \b
    Links are board:NAME, gateway:broker, gateway:police, gateway:mail, police:gateway; board:* names all boards'.
    Examples:  sigap fault list
               sigap fault set board:shop-1 delay_ms=300 jitter_ms=100 loss=0.1
               sigap fault set gateway:police cut=black-hole --for 3
               sigap fault clear
    """


@fault.command("list")
@RUN_DIR
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
def list_links(run_dir: Path, as_json: bool) -> None:
    """Show every link, what is wrong with it, and what it has carried.  Example: sigap fault list --json"""
    with FaultClient.find(run_dir) as client:
        links = client.links()
    if as_json:
        click.echo(json.dumps(links))
        return
    for one in links:
        wrong = " ".join(f"{key}={value:g}" if key != "cut" else f"cut={value}" for key, value in one["faults"].items())
        click.echo(
            f"{one['name']:20} {one['connections']:3} connections, {one['up']} bytes up, {one['down']} down, "
            f"{one['held']} held   {wrong or 'clear'}"
        )


@fault.command(
    "set",
    help=f"""Set faults of LINK (a name, or a pattern) on top of those it has.

    \b
    KEY is {", ".join(KEYS[:5])},
           {", ".join(KEYS[5:])}; up.KEY or down.KEY for one way.
    cut is {", ".join(CUTS)}.
    Examples:  sigap fault set board:shop-1 cut=half-open
               sigap fault set gateway:broker up.bandwidth_bps=9600 --for 60
    """,
)
@click.argument("link")
@click.argument("changes", metavar="KEY=VALUE...", nargs=-1, required=True)
@click.option(
    "--for", "for_s", type=click.FloatRange(0, 86_400, min_open=True), help="Seconds; then it is clear again."
)
@RUN_DIR
def set_faults(link: str, changes: tuple[str, ...], for_s: float | None, run_dir: Path) -> None:
    faults: dict[str, Any] = {}
    for change in changes:
        key, found, value = change.partition("=")
        if not found:
            raise Problem(f"{change!r} is not KEY=VALUE", "For example delay_ms=200", USAGE)
        faults[key] = value
    with FaultClient.find(run_dir) as client:
        client.set(link, for_s, **faults)
    click.echo(f"{link}: {' '.join(changes)}{f' for {for_s:g} s' if for_s else ''}")


@fault.command()
@click.argument("link", default="*")
@RUN_DIR
def clear(link: str, run_dir: Path) -> None:
    """Take every fault of LINK (all links when absent) away.  Example: sigap fault clear 'board:*'"""
    with FaultClient.find(run_dir) as client:
        client.clear(link)
    click.echo(f"{link}: clear")


@fault.command()
@click.argument("link")
@RUN_DIR
def reset(link: str, run_dir: Path) -> None:
    """Reset every connection of LINK now (RST to both sides).  Example: sigap fault reset gateway:broker"""
    with FaultClient.find(run_dir) as client:
        count = client.reset(link)
    click.echo(f"{link}: {count} connections reset")


@fault.command()
@click.option("--links", type=click.Path(path_type=Path), required=True, help="Links file, JSON.")
@click.option("--seed", default=1, show_default=True, help="Of all that is drawn: jitter, loss, garbage.")
@RUN_DIR
def proxy(links: Path, seed: int, run_dir: Path) -> None:
    """Run the fault proxy until Ctrl-C; `sigap run --faults` does it for you.

    \b
    Example:  sigap fault proxy --links links.json
    with links.json (ports of the loopback interface):
        {"links": [{"name": "gateway:broker", "port": 18884, "to": 18883}]}
    """
    from simulator.faults import control

    try:
        asyncio.run(control.run(links, run_dir, seed))
    except OSError as error:
        raise Problem(
            f"the fault proxy cannot use {error.filename or run_dir}: {error.strerror}", "Correct that, or give another"
        ) from error
