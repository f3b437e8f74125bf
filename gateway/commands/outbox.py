"""`sigap backends` and `sigap outbox`: who is told, by which schedule, what waits, and what was given up."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.backends.webhook import WebhookBackend
from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.incidents.cloudevents import rfc3339
from gateway.ingest.downlink import DeviceDestination
from gateway.logs import log_to_stderr
from gateway.outbox import amiss, breaker, rows
from gateway.outbox.port import Destination
from gateway.relatives.destination import RelativesDestination
from gateway.settings import Settings, load_settings
from gateway.store.engine import Store, open_store
from gateway.worker import book_of, run_worker
from sigap.problem import Problem

MOST = 10_000


@click.command()
@config_option
@json_option
def backends(config_path: Path, as_json: bool) -> None:
    """Show whom this gateway tells: each destination with its schedule of attempts, and what waits for it.

    \b
    sigap backends
    sigap backends --json
    """
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store:
        found = _described(settings, store)
    if as_json:
        print_json({"backends": found})
        return
    print_table(
        [
            ("destination", "told by", "waiting", "oldest", "dead", "last error"),
            *(
                (
                    each["destination"],
                    each["url"] or each["kind"],
                    str(each["pending"]),
                    "-" if each["oldest_s"] is None else f"{each['oldest_s']:.0f} s{' (late)' if each['late'] else ''}",
                    str(each["dead"]),
                    each["last_error"] or "-",
                )
                for each in found
            ),
        ]
    )
    for each in found:
        click.echo(f"\n{each['destination']}: {_in_words(each)}")


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
            "oldest_s": _age_s(now, each.oldest_at),
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


def _described(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Each destination: what it is, its policy, and what the store says of it."""
    record_stage = book_of(settings).record_stage
    kinds: list[tuple[type[Destination] | Destination, str, str | None]] = [
        *((WebhookBackend(each, record_stage), each.kind, each.url) for each in settings.backends),
        (RelativesDestination, "relatives", None),
        (DeviceDestination, "devices", None),
    ]
    now = now_us()
    with store.read() as conn:
        waiting, dead = rows.backlog(conn, MOST), rows.dead_counts(conn)
    found = []
    for one, kind, url in kinds:

        def serves(name: str, prefix: str = one.prefix) -> bool:
            return name == prefix or (prefix.endswith(":") and name.startswith(prefix))

        of = [each for each in waiting if serves(each.destination)]
        oldest_s = _age_s(now, min(each.oldest_at for each in of)) if of else None
        found.append(
            {
                "destination": one.prefix,
                "kind": kind,
                "url": url,
                "policy": one.policy.to_dict(),
                "concurrency": one.concurrency,
                "attempt_limit_s": one.limit_s,
                "breaker": None  # many destinations share this line: one of them must not hold up the rest
                if one.prefix.endswith(":")
                else {"opens_after": breaker.OPEN_AFTER, "probes_every_s": breaker.PROBE_EVERY_S},
                "pending": sum(each.pending for each in of),
                "oldest_s": oldest_s,
                "late": oldest_s is not None and oldest_s > one.policy.deadline_s,
                "dead": sum(number for name, number in dead.items() if serves(name)),
                "last_error": next((each.last_error for each in of if each.last_error), None),
            }
        )
    served = {each["destination"]: 0.0 for each in found}
    unserved = [each for each in waiting if amiss.deadline_s(each.destination, served) is None]
    if unserved:
        names = ", ".join(each.destination for each in unserved)
        click.echo(f"sigap: deliveries wait for {names}, which no [[backends]] serves", err=True)
    return found


def _in_words(each: dict[str, Any]) -> str:
    policy, down = each["policy"], each["breaker"]
    waits = [row["longest_s"] for row in policy["schedule"]]
    later = ", ".join(f"{wait_s:g}" for wait_s in sorted(set(waits) - {policy["first_s"]}))
    lines = [
        f"after a failed attempt it waits {policy['first_s']:g} s, {policy['first_tries']} times, then {later} s;",
        f"  each wait is up to {policy['jitter']:.0%} shorter, by chance; loud from attempt {policy['shout_from']} on;",
        f"  {each['concurrency']} at once, {each['attempt_limit_s']:g} s for an attempt;",
        f"  a trouble on the desk after {policy['deadline_s']:g} s;",
    ]
    if down:
        probes = f"a probe each {down['probes_every_s']:g} s"
        lines.append(f"  down after {down['opens_after']} failures in a row, then {probes};")
    ends = [f"after being refused for {policy['refused_s']:g} s"] if down else []
    if policy["lasts_s"]:
        ends.append(f"{policy['lasts_s']:g} s old")
    lines.append(f"  a dead letter {' or '.join(ends)}" if ends else "  never given up")
    return "\n".join(lines)


def _age_s(now: int, at: int) -> float:
    return round(max(0, now - at) / 1e6, 3)
