"""`sigap backends`: who is told, by which schedule, what a backend is good for; and a test alarm to try one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import click

from gateway.backend_settings import Backend
from gateway.backends import kinds
from gateway.backends.quality import MISBEHAVIOURS
from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.commands.outbox import MOST, age_s
from gateway.ingest.downlink import DeviceDestination
from gateway.operations.check_backend import Step, check
from gateway.outbox import amiss, breaker, rows
from gateway.outbox.port import Destination
from gateway.relatives.destination import RelativesDestination
from gateway.settings import Settings, load_settings
from gateway.store.engine import Store, open_store
from sigap.problem import Problem


@click.group(invoke_without_command=True)
@config_option
@json_option
@click.pass_context
def backends(ctx: click.Context, config_path: Path, as_json: bool) -> None:
    """Show whom this gateway tells: each destination with its schedule of attempts, what waits for it, its quality.

    \b
    sigap backends
    sigap backends --json
    sigap backends check police         send it a test alarm, and judge what it answers
    sigap backends receive dc09         be a receiver of that kind, to compare yours with
    """
    if ctx.invoked_subcommand is not None:
        return
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
                    each["where"] or each["kind"],
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
        for line in _quality_in_words(each["kind"]):
            click.echo(f"  {line}")


@backends.command("check")
@config_option
@json_option
@click.argument("name")
def check_one(config_path: Path, as_json: bool, name: str) -> None:
    """Send the backend NAME a test alarm, end it again, and show each step with its time.

    Nothing of it is kept here, so a callback about it is answered 404. Exit code 1 when the backend would not have
    been told of a real alarm.

    \b
    sigap backends check police
    sigap backends check police --json
    """
    settings = load_settings(config_path)
    backend = next((each for each in settings.backends if each.name == name), None)
    if backend is None:
        names = ", ".join(each.name for each in settings.backends) or "none is set"
        raise Problem(f"no [[backends]] has the name {name}", f"Give one of: {names}")

    async def walk() -> list[Step]:
        steps = []
        with open_store(settings.store_url) as store:
            async for step in check(backend, store, settings.gateway.name):
                steps.append(step)
                if not as_json:
                    mark = "ok    " if step.ok else "FAILED"
                    click.echo(f"{mark}  {step.name:12} {step.ms:8.1f} ms  {step.said}")
        return steps

    steps = asyncio.run(walk())
    verdict = _verdict(backend, steps)
    if as_json:
        print_json({"backend": name, "kind": backend.kind, "steps": [vars(each) for each in steps], **verdict})
    else:
        click.echo(f"\n{verdict['verdict']}")
    if not verdict["ok"]:
        raise click.exceptions.Exit(1)


def _verdict(backend: Backend, steps: list[Step]) -> dict[str, Any]:
    """What that means for a person who presses."""
    if not steps[-1].ok:
        return {"ok": False, "verdict": f"A real alarm would wait in the outbox: {steps[-1].said}."}
    accepted = any(each.said.startswith("it accepted") for each in steps)
    if not backend.receives:
        says = "accepted" if accepted else "taken"
        return {"ok": True, "verdict": f"The test alarm was {says}. By its settings this never counts for the person."}
    if accepted:
        return {"ok": True, "verdict": "It accepted the test alarm: after a real one the person's light would say so."}
    means = kinds.KINDS[backend.kind].quality.accepted
    return {"ok": True, "verdict": f"It has the test alarm and did not say that it accepted. Accepted is: {means}."}


def _described(settings: Settings, store: Store) -> list[dict[str, Any]]:
    """Each destination: what it is, its policy, and what the store says of it."""
    means = kinds.Means(lambda _delivery, _reference: lambda _conn: None, store, settings.gateway.name)
    told: list[tuple[type[Destination] | Destination, str, Backend | None]] = [
        *((kinds.make(each, means), each.kind, each) for each in settings.backends),
        (RelativesDestination, "relatives", None),
        (DeviceDestination, "devices", None),
    ]
    now = now_us()
    with store.read() as conn:
        waiting, dead = rows.backlog(conn, MOST), rows.dead_counts(conn)
    found = []
    for one, kind, backend in told:

        def serves(name: str, prefix: str = one.prefix) -> bool:
            return name == prefix or (prefix.endswith(":") and name.startswith(prefix))

        of = [each for each in waiting if serves(each.destination)]
        oldest_s = age_s(now, min(each.oldest_at for each in of)) if of else None
        found.append(
            {
                "destination": one.prefix,
                "kind": kind,
                "where": backend.where if backend else None,
                "receives": backend.receives if backend else None,
                "quality": kinds.KINDS[kind].quality.to_dict() if backend else None,
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


def _quality_in_words(kind: str) -> list[str]:
    """The checklist of a kind of backend; nothing for what is none."""
    if kind not in kinds.KINDS:
        return []
    quality = kinds.KINDS[kind].quality
    tested = [name for name in MISBEHAVIOURS if quality.is_test(quality.tested[name])]
    return [
        f"speaks {quality.speaks}",
        f"done: {quality.done}",
        f"accepted: {quality.accepted}",
        *(f"- {each}" for each in quality.guarantees),
        f"tested: {', '.join(tested)}",
    ]
