"""`sigap gateway`: from the broker to the police and back, in the foreground."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option
from gateway.logs import log_to_stderr
from gateway.main import run_gateway
from gateway.settings import load_settings


@click.command()
@config_option
@click.option("--without-outbox", is_flag=True, help="Leave backends and relatives to `sigap outbox work`.")
def gateway(config_path: Path, without_outbox: bool) -> None:
    """Run the gateway in the foreground; Ctrl-C or SIGTERM ends it in order.

    Takes alarms from the broker, commits them, receipts them, tells the backends, and brings each stage back
    down to the button. It waits for a broker that is not there yet. Logs are JSON lines on stderr; GET
    /health at [http] host and port says how it is.

    \b
    sigap gateway
    sigap gateway --config /etc/sigap/sigap.toml
    """
    settings = load_settings(config_path)
    log_to_stderr(settings.gateway.log_level, settings.secrets())
    run_gateway(settings, tells=not without_outbox)
