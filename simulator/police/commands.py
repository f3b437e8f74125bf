"""`sigap police-desk`."""

from __future__ import annotations

import asyncio
import base64
import errno
import json
import os
import socket
import sys
import time
from pathlib import Path

import click
import uvicorn

from sigap.problem import Problem
from simulator.police.answers import Answers
from simulator.police.app import App
from simulator.police.auto import AutoStages
from simulator.police.desk import Behaviour, Desk


class Secret(click.ParamType):
    """A Standard Webhooks secret."""

    name = "whsec_..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        kind, _, encoded = str(value).partition("_")
        try:
            key = base64.b64decode(encoded, validate=True)
        except ValueError:
            key = b""
        if kind != "whsec" or not 24 <= len(key) <= 64:
            what = "a secret is whsec_ and 24 to 64 bytes in base64, as in the gateway's [[backends]]"
            self.fail(what, param, ctx)
        return str(value)


@click.command("police-desk")
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8480, show_default=True, type=click.IntRange(0, 65535), help="0: any free port.")
@click.option(
    "--secret",
    required=True,
    type=Secret(),
    envvar="SIGAP_POLICE_SECRET",
    show_envvar=True,
    help="Verifies the alarms: `secret` of the gateway's [[backends]].",
)
@click.option("--callback-url", help="The gateway's .../v1/backends/NAME/status; without it the desk only receives.")
@click.option(
    "--callback-secret",
    type=Secret(),
    envvar="SIGAP_POLICE_CALLBACK_SECRET",
    show_envvar=True,
    help="Signs the stages: `callback_secret` of the gateway's [[backends]].",
)
@click.option(
    "--auto",
    type=AutoStages(),
    default=dict,
    help="Send these stages by itself, so many seconds after an incident was accepted.",
)
@click.option("--slow", "slow_s", default=0.0, type=click.FloatRange(0, 86_400), help="Seconds before each answer.")
@click.option("--refuse", is_flag=True, help="Answer every alarm with 403.")
@click.option("--fail", default=0, type=click.IntRange(0, 86_400), help="Answer the first so many with 503.")
@click.option("--later", is_flag=True, help="Answer 202 without accepting; accept by a button or --auto.")
@click.option("--json-log", type=click.Path(dir_okay=False, path_type=Path), help="Append every answer as a JSON line.")
@click.option("--ready-json", is_flag=True, help="Print one JSON line on stdout when it listens; the rest on stderr.")
def police_desk(
    host: str,
    port: int,
    secret: str,
    callback_url: str | None,
    callback_secret: str | None,
    auto: dict[str, float],
    slow_s: float,
    refuse: bool,
    fail: int,
    later: bool,
    json_log: Path | None,
    ready_json: bool,
) -> None:
    """A police desk to try Sigap with: receives signed alarms, shows them on a page, answers each stage.

    \b
    sigap police-desk --secret whsec_... --callback-url http://127.0.0.1:8470/v1/backends/police/status \\
        --callback-secret whsec_...
    sigap police-desk ... --auto "acknowledged=2,dispatched=5,on_scene=20,closed=30"
    curl -X POST -H 'content-type: application/json' -d '{"fail": 3}' http://127.0.0.1:8480/behave

    While it runs, POST /behave changes slow_s, refuse, fail and later; GET /api/received lists what arrived.
    """
    if callback_url and not callback_secret:
        raise click.UsageError("--callback-url needs --callback-secret")
    listener = _listen(host, port)
    port = listener.getsockname()[1]
    at = f"http://{f'[{host}]' if ':' in host else host}:{port}"

    def line(text: str) -> None:
        click.echo(f"{time.strftime('%H:%M:%S')}  {text}", err=ready_json)

    def ready() -> None:
        if ready_json:
            said = {
                "ready": True,
                "port": port,
                "url": f"{at}/",
                "alarms": f"{at}/alarms",
                "pid": os.getpid(),
            }
            click.echo(json.dumps(said))
            sys.stdout.flush()
        line(f"police desk: {at}/ (alarms to {at}/alarms)")

    desk = Desk(Behaviour(slow_s, refuse, fail, later))
    app = App(desk, Answers(desk, callback_url, callback_secret), secret, auto, line, json_log)
    config = uvicorn.Config(app.asgi, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    try:
        asyncio.run(_Server(config, ready).serve(sockets=[listener]))
    except KeyboardInterrupt:
        raise click.Abort() from None


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, ready: object) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started and callable(self._ready):
            self._ready()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise Problem(
                f"port {port} of {host} is in use", "End what listens there, or give --port another number"
            ) from error
        raise Problem(
            f"the police desk cannot listen on {host} port {port}: {error.strerror}",
            "Give another --host or --port",
        ) from error
    return listener
