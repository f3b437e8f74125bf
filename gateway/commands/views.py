"""`sigap incidents`, `sigap devices`, `sigap quarantine`: what is in the store, to read only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import sqlalchemy as sa

from gateway.commands import eido
from gateway.commands.options import config_option, json_option, print_json, print_table
from gateway.commands.rebuild import rebuild
from gateway.commands.troubles import shown
from gateway.incidents.cloudevents import rfc3339
from gateway.incidents.facts import cancel_says
from gateway.ingest import quarantine as kept
from gateway.ingest.judge import REASONS
from gateway.settings import load_settings
from gateway.store.engine import open_store
from gateway.store.schema import alarms, owners
from gateway.store.schema import devices as device_rows
from gateway.store.schema import incidents as incident_rows
from panic_wire.frames import alarm_id
from panic_wire.topics import device_id, device_name

limit_option = click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=50,
    show_default=True,
    help="How many, the newest first.",
)


@click.group(invoke_without_command=True)
@config_option
@json_option
@limit_option
@click.option("--open", "only_open", is_flag=True, help="Only those that are not closed.")
@click.pass_context
def incidents(ctx: click.Context, config_path: Path, as_json: bool, limit: int, only_open: bool) -> None:
    """List incidents, the newest first; or hold their rows against their events.

    \b
    sigap incidents --open
    sigap incidents --json
    sigap incidents rebuild --check
    sigap incidents eido INCIDENT       as a NENA EIDO document
    """
    if ctx.invoked_subcommand is not None:
        return
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = list_incidents(conn, limit, only_open)
    if as_json:
        print_json({"incidents": found})
        return
    print_table(
        [
            ("incident", "opened", "state", "accepted", "device", "alarms"),
            *(
                (
                    each["incident"],
                    each["opened_at"],
                    _state(each),
                    "yes" if each["accepted"] else "no",
                    each["device_name"],
                    " ".join(alarm["alarm"] for alarm in each["alarms"]),
                )
                for each in found
            ),
        ]
    )


incidents.add_command(rebuild)
incidents.add_command(eido.export)


@click.command()
@config_option
@json_option
def devices(config_path: Path, as_json: bool) -> None:
    """List devices as they were last heard: online or not, and their newest heartbeat.

    \b
    sigap devices --json
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = list_heard(conn)
    if as_json:
        print_json({"devices": found})
        return
    print_table(
        [
            ("name", "device", "online", "last heard", "battery mV", "firmware", "owner", "troubles"),
            *(
                (
                    each["name"] + (" (revoked)" if each["revoked"] else ""),
                    each["device"],
                    {True: "yes", False: "no", None: "never"}[each["online"]],
                    each["last_heard_at"] or "never",
                    str(heartbeat.get("battery_mv") or "-"),
                    ".".join(str(part) for part in heartbeat.get("firmware", ())) or "-",
                    each["owner"] or "-",
                    " ".join(trouble["trouble"] for trouble in each["troubles"]) or "-",
                )
                for each in found
                for heartbeat in [each["heartbeat"] or {}]
            ),
        ]
    )


@click.command()
@config_option
@json_option
@limit_option
@click.option("--reason", type=click.Choice(sorted(REASONS)), help="Only messages refused for this reason.")
def quarantine(config_path: Path, as_json: bool, limit: int, reason: str | None) -> None:
    """Show what was refused: how often for each reason, ever, and the newest messages.

    \b
    sigap quarantine
    sigap quarantine --reason bad-tag --json
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        counts, newest = kept.summary(conn), kept.newest(conn, limit, reason)
    for row in newest:
        row["at"] = rfc3339(row["at"])
    if as_json:
        print_json({"counts": counts, "newest": newest})
        return
    print_table([("refused", "reason", "means"), *((str(n), r, REASONS.get(r, "")) for r, n in counts.items())])
    click.echo()
    print_table(
        [
            ("at", "reason", "bytes", "topic", "detail"),
            *((row["at"], row["reason"], str(row["size_bytes"]), row["topic"], row["detail"]) for row in newest),
        ]
    )


def _state(each: dict[str, Any]) -> str:
    if each["merged_into"] is not None:
        return f"merged into {each['merged_into']}"
    if each["disposition"] is not None:
        return f"{each['state']} ({each['disposition']})"
    cancelled = "" if each["cancel"] is None else f", {each['cancel']}"
    cancelled += ", held: of a revoked device" if each["held"] else ""
    return ("test: " if each["test"] else "") + each["state"] + cancelled


def list_incidents(conn: sa.Connection, limit: int, only_open: bool = False) -> list[dict[str, Any]]:
    """Incidents, newest first, each with its alarms; times RFC 3339, positions in degrees."""
    query = (
        sa.select(incident_rows, device_rows.c.name)
        .join(device_rows, device_rows.c.id == incident_rows.c.device_id)
        .order_by(incident_rows.c.id.desc())
        .limit(limit)
    )
    if only_open:
        query = query.where(incident_rows.c.state != "closed")
    found = {
        row.id: {
            "incident": row.id,
            "test": bool(row.test),
            "state": row.state,
            "accepted": bool(row.accepted),
            "disposition": row.disposition,
            "merged_into": row.merged_into,
            "held": bool(row.held),
            "raised": row.raised,
            "device": device_name(row.device_id),
            "device_name": row.name,
            "opened_at": rfc3339(row.opened_at),
            "changed_at": rfc3339(row.changed_at),
            "cancel": None,
            "alarms": [],
        }
        for row in conn.execute(query)
    }
    ids = list(found)
    for start in range(0, len(ids), 500):
        query = sa.select(alarms).where(alarms.c.incident_id.in_(ids[start : start + 500]))
        said: dict[str, list[Any]] = {}
        for row in conn.execute(query.order_by(alarms.c.received_at)):
            said.setdefault(row.incident_id, []).append(row._mapping)
            found[row.incident_id]["alarms"].append(
                {
                    "alarm": alarm_id(row.device_id, row.activation),
                    "activation": row.activation,
                    "pressed_at": rfc3339(row.pressed_at),
                    "age_is_minimum": bool(row.age_is_minimum),
                    "received_at": rfc3339(row.received_at),
                    "silent": bool(row.silent),
                    "bearer": row.bearer,
                    "lat": None if row.lat_e7 is None else row.lat_e7 / 1e7,
                    "lon": None if row.lon_e7 is None else row.lon_e7 / 1e7,
                    "accuracy_m": row.accuracy_m,
                    "fix_at": rfc3339(row.fix_at),
                    "battery_mv": row.battery_mv,
                    "moved": bool(row.moved),
                    "doubtful": bool(row.doubtful),
                    "cancelled_at": rfc3339(row.cancelled_at),
                    "duress": bool(row.duress),
                }
            )
        for incident_id, rows in said.items():
            found[incident_id]["cancel"] = cancel_says(rows)
    return list(found.values())


def list_heard(conn: sa.Connection) -> list[dict[str, Any]]:
    """Devices by name, with what was last heard of each."""
    query = (
        sa.select(device_rows, owners.c.name.label("owner"))
        .join(owners, owners.c.id == device_rows.c.owner_id, isouter=True)
        .order_by(device_rows.c.name)
    )
    found = []
    open_troubles: dict[int, list[dict[str, Any]]] = {}
    for each in shown(conn, lasting=True):
        open_troubles.setdefault(device_id(each["device"]), []).append(each)
    for row in conn.execute(query):
        heartbeat = None if row.heartbeat is None else json.loads(row.heartbeat)
        if heartbeat is not None:
            heartbeat["at"] = rfc3339(heartbeat["at"])
        found.append(
            {
                "device": device_name(row.id),
                "name": row.name,
                "owner": row.owner,
                "silent": bool(row.silent),
                "site": row.site_name,
                "revoked": row.revoked_at is not None,
                "online": row.online,
                "last_heard_at": rfc3339(row.last_heard_at),
                "heartbeat": heartbeat,
                "troubles": [
                    {key: each[key] for key in ("trouble", "value", "began_at")}
                    for each in open_troubles.get(row.id, [])
                ],
            }
        )
    return found
