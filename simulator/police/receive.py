"""`sigap backends receive KIND`: the far side of each kind of backend, to try a gateway or compare a receiver with."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import uvicorn

from sigap.problem import Problem
from simulator.police.commands import police_desk
from simulator.police.receivers import cap, dc09, mqtt

MOST_LINES = 100_000  # of --json-log, so that a forgotten receiver fills no disk

port_option = click.option("--port", default=0, type=click.IntRange(0, 65535), help="0: any free port.")
log_option = click.option(
    "--json-log", type=click.Path(dir_okay=False, path_type=Path), help="Append what arrives, a JSON line each."
)


class Heard:
    """Prints what arrives, a line each, and keeps it where asked."""

    def __init__(self, path: Path | None) -> None:
        self._path, self._left = path, MOST_LINES

    def __call__(self, what: dict[str, Any]) -> None:
        words = "  ".join(f"{name}={value}" for name, value in what.items() if value not in (None, "", []))
        # Whatever a far side sends, a terminal must not obey.
        click.echo(f"{time.strftime('%H:%M:%S')}  {re.sub(r'[^ -~]', '?', words)}")
        if self._path is not None and self._left:
            self._left -= 1
            with self._path.open("a") as file:
                file.write(json.dumps(what) + "\n")


@click.group()
def receive() -> None:
    """Be a receiver of one kind: it prints what arrives and accepts it.

    \b
    sigap backends receive dc09 --port 12000
    sigap backends receive cap --port 8480
    sigap backends receive mqtt --port 18900
    sigap backends receive webhook --help       a police desk with a page
    """


receive.add_command(police_desk, "webhook")


@receive.command("dc09")
@port_option
@log_option
@click.option(
    "--key", envvar="SIGAP_DC09_KEY", show_envvar=True, default="", help="AES key, hex; empty: not encrypted."
)
@click.option("--behave", type=click.Choice(["nak", "duh", "silent"]), help="Answer everything so.")
@click.option("--clock", "clock_s", default=0.0, help="Seconds by which its clock is ahead.")
def receive_dc09(port: int, json_log: Path | None, key: str, behave: str | None, clock_s: float) -> None:
    """A SIA DC-09 receiver on TCP and UDP of one port."""
    try:
        secret = bytes.fromhex(key)
    except ValueError:
        secret = b"?"
    if len(secret) not in (0, 16, 24, 32):
        raise click.UsageError("--key is 32, 48 or 64 hex digits")
    receiver = dc09.Receiver(Heard(json_log), secret or None)
    receiver.behave, receiver.clock_s = behave or "", clock_s

    async def run() -> None:
        try:
            listening = await receiver.listen("127.0.0.1", port)
        except OSError as error:
            raise _in_use(port, error) from error
        click.echo(f"DC-09 receiver: 127.0.0.1 port {listening}, TCP and UDP")
        await _until_stopped()

    asyncio.run(run())


@receive.command("cap")
@port_option
@log_option
def receive_cap(port: int, json_log: Path | None) -> None:
    """A CAP 1.2 receiver: POST to /cap, answered with a CAP Ack."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(("127.0.0.1", port))
    except OSError as error:
        listener.close()
        raise _in_use(port, error) from error
    click.echo(f"CAP receiver: http://127.0.0.1:{listener.getsockname()[1]}/cap")
    config = uvicorn.Config(
        cap.Receiver(Heard(json_log)).asgi, log_level="warning", access_log=False, timeout_graceful_shutdown=1
    )
    try:
        asyncio.run(uvicorn.Server(config).serve(sockets=[listener]))
    except KeyboardInterrupt:
        raise click.Abort() from None


@receive.command("mqtt")
@click.option("--port", default=18900, show_default=True, type=click.IntRange(1, 65535), help="Of its broker.")
@click.option("--topic", default="sigap/incidents", show_default=True, help="Where events are published.")
@click.option("--broker", "broker_host", help="A broker that runs already; by default one of its own, on this machine.")
@log_option
def receive_mqtt(port: int, topic: str, broker_host: str | None, json_log: Path | None) -> None:
    """A subscriber that accepts each event on its reply topic, and a broker to find it at."""
    broker = None if broker_host else mqtt.Broker(port)
    receiver = mqtt.Receiver(port, topic, Heard(json_log), broker_host or "127.0.0.1")
    try:
        if not receiver.wait():
            raise Problem(
                f"no broker answers at port {port}", "See that the port is free, or give --port another number"
            )
        click.echo(f"MQTT receiver: {topic} at {broker_host or '127.0.0.1'} port {port}")
        asyncio.run(_until_stopped())
    finally:
        receiver.close()
        if broker is not None:
            broker.close()


def _in_use(port: int, error: OSError) -> Problem:
    what = f"the receiver cannot listen on port {port}: {os.strerror(error.errno or 0)}"
    return Problem(what, "End what listens there, or give --port another number")


async def _until_stopped() -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    handle: Callable[[], None] = stop.set
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, handle)
    await stop.wait()
