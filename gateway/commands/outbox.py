"""`sigap outbox`: what waits, what was given up, and a worker of its own."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.logs import log_to_stderr
from gateway.outbox import rows
from gateway.settings import load_settings
from gateway.store.engine import open_store
from gateway.worker import run_worker
from sigap.problem import Problem

MOST = 10_000


@click.group()
def outbox() -> None:
    """What must be told: what waits, what was given up (dead letters), and a worker of its own.

    \b
    sigap outbox list
    sigap outbox resend --all
    """


@outbox.command("list")
@config_option
@json_option
@click.option("--limit", type=click.IntRange(1, MOST), default=50, show_default=True, help="How many dead letters.")
def list_outbox(config_path: Path, as_json: bool, limit: int) -> None:
    """List what waits, by destination, and the dead letters, those that died last first.

    \b
    sigap outbox list
    sigap outbox list --json
    """
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.read() as conn:
        waiting, letters = rows.backlog(conn), rows.dead(conn, limit)
    now = now_us()
    shown = [
        {
            "destination": each.destination,
            "pending": each.pending,
            "oldest_s": age_s(now, each.oldest_at),
            "attempts": each.most_attempts,
            "last_error": each.last_error,
        }
        for each in waiting
    ]
    dead = [
        {
            "delivery": each.id,
            "destination": each.destination,
            "incident": each.incident_id,
            "kind": each.kind,
            "attempts": each.attempts,
            "last_error": each.last_error,
            "created_at": rfc3339(each.created_at),
            "died_at": rfc3339(each.died_at),
        }
        for each in letters
    ]
    if as_json:
        print_json({"waiting": shown, "dead": dead})
        return
    wanted = ("destination", "pending", "oldest_s", "attempts", "last_error")
    print_table([wanted, *(tuple(str(each[name] or "-") for name in wanted) for each in shown)])
    if dead:
        click.echo("\nDead letters; `sigap outbox resend DELIVERY` sends one again:")
        wanted = ("delivery", "destination", "incident", "died_at", "attempts", "last_error")
        print_table([wanted, *(tuple(str(each[name] or "-") for name in wanted) for each in dead)])


@outbox.command()
@config_option
@json_option
@click.argument("deliveries", nargs=-1)
@click.option("--all", "every", is_flag=True, help="Every dead letter there is.")
def resend(config_path: Path, as_json: bool, deliveries: tuple[str, ...], every: bool) -> None:
    """Send dead letters again, under the ids that they always had. The running gateway does it within seconds.

    \b
    sigap outbox resend 01a3f4e2-9c62-7000-8000-000000000002
    sigap outbox resend --all
    """
    if bool(deliveries) == every:
        raise click.UsageError("Name deliveries, or say --all.")
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.write() as conn:
        ids = [each.id for each in rows.dead(conn, MOST)] if every else list(deliveries)
        sent = [each for each in ids if rows.resend(conn, each, now_us=now_us())]
        missing = [each for each in ids if each not in sent]
        if missing:  # nothing is done by halves
            raise Problem(f"{missing[0]} is not a dead letter", "See `sigap outbox list`")
    if as_json:
        print_json({"resent": sent})
    else:
        click.echo(f"{len(sent)} to be sent again")


@outbox.command()
@config_option
def work(config_path: Path) -> None:
    """Tell backends and relatives in a process of its own, beside `sigap gateway --without-outbox`.

    Ctrl-C or SIGTERM ends it in order. Logs are JSON lines on stderr.

    \b
    sigap outbox work --config /etc/sigap/sigap.toml
    """
    settings = load_settings(config_path)
    log_to_stderr(settings.gateway.log_level, settings.secrets())
    run_worker(settings)


def age_s(now: int, at: int) -> float:
    return round(max(0, now - at) / 1e6, 3)
