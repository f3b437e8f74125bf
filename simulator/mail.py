"""`sigap mail-sink`: a real SMTP server that keeps mails in a folder instead of passing them on."""

from __future__ import annotations

import asyncio
import signal
from email import message_from_bytes, policy
from itertools import count
from pathlib import Path
from typing import Any

import click
from aiosmtpd.smtp import SMTP

from sigap.problem import Problem

KEPT = 200  # mails; the oldest go
SIZE_LIMIT_BYTES = 256 * 1024


class Sink:
    """aiosmtpd's handler: one file a mail, 0001.eml and so on, and a line for each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._numbers = count(1 + max((int(path.stem) for path in folder.glob("[0-9]*.eml")), default=0))

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        number = next(self._numbers)
        part = self._folder / f"{number:04}.part"
        part.write_bytes(envelope.content)
        part.replace(self._folder / f"{number:04}.eml")  # so that whoever looks finds whole mails only
        (self._folder / f"{number - KEPT:04}.eml").unlink(missing_ok=True)
        subject = message_from_bytes(envelope.content, policy=policy.default)["subject"]
        click.echo(f"mail {number} to {', '.join(envelope.rcpt_tos)}: {subject}")
        return "250 kept"


@click.command("mail-sink")
@click.option("--port", default=8425, show_default=True, type=click.IntRange(1, 65535))
@click.option(
    "--dir",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("var/mails"),
    show_default=True,
    help="Where mails are kept, the newest 200.",
)
def mail_sink(port: int, folder: Path) -> None:
    """A mail server to try Sigap with: takes every mail on the loopback interface, and keeps it in a folder.

    \b
    sigap mail-sink
    sigap relative add "Toko Sinar" Keluarga "mailto://127.0.0.1:8425/?from=sigap@example.org&to=a@example.org"
    """
    try:
        asyncio.run(_serve(port, folder))
    except OSError as error:
        raise Problem(
            f"mails cannot be taken at port {port}: {error.strerror}", "Choose another with --port"
        ) from error


async def _serve(port: int, folder: Path) -> None:
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    sink = Sink(folder)
    server = await loop.create_server(
        lambda: SMTP(sink, data_size_limit=SIZE_LIMIT_BYTES, enable_SMTPUTF8=True), "127.0.0.1", port
    )
    async with server:
        click.echo(f"mails to 127.0.0.1 port {port} are kept in {folder}")
        await stop.wait()
