"""`sigap phone`: people's own phones, on the SOS page."""

from __future__ import annotations

import getpass
import secrets
from pathlib import Path
from typing import BinaryIO

import click
import segno

from gateway.broker.files import require_password
from gateway.clock import now_us
from gateway.commands.options import config_option, json_option, print_json, print_table, refresh_broker
from gateway.incidents.cloudevents import rfc3339
from gateway.ingest import phone as contract
from gateway.ingest.judge import Opened, Rejection, judge
from gateway.ingest.windows import WIDTH
from gateway.phone.apps import OWNTRACKS, TRACCAR, key_of
from gateway.registry import people, phones
from gateway.registry.devices import PHONE, ROOT_KEY_BYTES, Device
from gateway.settings import load_settings
from gateway.store.engine import open_store
from panic_wire.replay import ReplayWindow
from panic_wire.topics import device_id, device_name
from sigap.problem import USAGE, Problem

HOUR_US = 3600 * 1_000_000
TODO = {
    TRACCAR: "In Traccar Client, as the server's address (any device identifier):",
    OWNTRACKS: "In OwnTracks, Preferences, Connection, Mode HTTP, as the URL (no encryption key):",
}
KINDS = {number: name for name, number in contract.TYPES.items()}


@click.group()
def phone() -> None:
    """Invite people's phones to the SOS page, list and revoke them.

    \b
    sigap phone invite --owner "Siti"
    sigap phone invite                   whoever scans it says who they are
    sigap phone list
    sigap phone app traccar --owner "Siti"    an app that she already has
    sigap phone check sent.txt --phone 0000a1b2 --root-key …    messages of another client
    sigap phone revoke phone-0000a1b2    a lost one; the broker ends its connection at once
    """


@phone.command("invite")
@click.option("--owner", help="Whose phone it will be. Without it, the person says so on the phone.")
@click.option("--hours", default=48, show_default=True, type=click.IntRange(1, 24 * 90), help="How long it is good.")
@click.option("--png", type=click.Path(path_type=Path, dir_okay=False), help="Write the picture to this new file, too.")
@config_option
@json_option
def invite(owner: str | None, hours: int, png: Path | None, config_path: Path, as_json: bool) -> None:
    """Print a link, and the same as a picture to scan (QR). It works once: give it to one person.

    \b
    sigap phone invite --owner "Siti" --hours 24 --png siti.png
    """
    settings = load_settings(config_path)
    require_password(settings.broker)
    by = f"administrator:{getpass.getuser()}"
    with open_store(settings.store_url) as store, store.write() as conn:
        token = phones.invite(conn, invited_by=by, owner=owner, now_us=now_us(), valid_us=hours * HOUR_US)
    link = phones.invitation_link(settings.phone_base, token)
    picture = segno.make(link, error="m")
    if png is not None:
        with png.open("xb") as file:
            picture.save(file, kind="png", scale=8)
    if as_json:
        print_json({"link": link, "owner": owner, "hours": hours})
        return
    picture.terminal(compact=True)
    click.echo(f"{link}\ngood for {hours} h, once")
    if not settings.phone.url:
        click.echo("It leads to this machine: set [phone] url to where phones find the gateway (HTTPS).")


@phone.command("list")
@config_option
@json_option
def list_(config_path: Path, as_json: bool) -> None:
    """List every phone, the revoked ones too."""
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = phones.listed(conn)
    shown = [
        {
            "phone": device_name(each.id),
            "name": each.name,
            "owner": each.owner,
            "last_heard_at": rfc3339(each.last_heard_at),
            "revoked": each.revoked_at is not None,
        }
        for each in found
    ]
    if as_json:
        print_json(shown)
        return
    rows = [
        (each["name"], each["owner"] or "-", each["last_heard_at"] or "never", "revoked" if each["revoked"] else "")
        for each in shown
    ]
    print_table([("phone", "owner", "last heard", ""), *rows])


@phone.command("revoke")
@click.argument("name")
@config_option
def revoke(name: str, config_path: Path) -> None:
    """Take the phone NAME its rights for good: lost, or sold. The broker ends its connection at once.

    \b
    sigap phone revoke phone-0000a1b2
    """
    settings = load_settings(config_path)
    require_password(settings.broker)
    with open_store(settings.store_url) as store:
        with store.write() as conn:
            if not phones.revoke(conn, name, f"administrator:{getpass.getuser()}", now_us()):
                raise Problem(f"there is no phone {name}", "`sigap phone list` shows all", USAGE)
        told = refresh_broker(settings, store)
    click.echo(f"revoked {name}{'' if told else '; no broker runs here'}")


@phone.command("app")
@click.argument("app", type=click.Choice([TRACCAR, OWNTRACKS]))
@click.option("--owner", required=True, help="Whose phone it is.")
@config_option
@json_option
def app_(app: str, owner: str, config_path: Path, as_json: bool) -> None:
    """Let in an APP that somebody already has, and print the address to enter there.

    \b
    sigap phone app traccar --owner "Siti"      Traccar Client: its shortcut "Send SOS" is an alarm
    sigap phone app owntracks --owner "Siti"    OwnTracks: has no SOS; its positions follow while an alarm is open
    Neither app shows its person what became of an SOS: the SOS page does (sigap phone invite).
    """
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.write() as conn:
        whose = people.find_owner(conn, owner)
        made = phones.add_phone(conn, whose, secrets.token_bytes(ROOT_KEY_BYTES), now_us())
    url = f"{settings.phone_base}/sos/apps/{app}/{key_of(made.root_key, made.id)}"
    if as_json:
        print_json({"phone": made.name, "owner": whose.name, "app": app, "url": url})
        return
    click.echo(f"{made.name} of {whose.name}\n{TODO[app]}\n{url}")
    click.echo("Whoever has this address is this phone: show it to nobody else.")


@phone.command("check")
@click.argument("file", type=click.File("rb"))
@click.option("--phone", "name", required=True, help="The phone's id, eight hex digits.")
@click.option("--root-key", required=True, help="Its root key, 32 hex digits.")
@json_option
def check(file: BinaryIO, name: str, root_key: str, as_json: bool) -> None:
    """Say what the gateway would make of another client's messages: FILE has one JWS in each line, in the order in
    which they were sent (- for standard input). Exit code 1 when one would be refused.

    \b
    sigap phone check sent.txt --phone 0000a1b2 --root-key 000102030405060708090a0b0c0d0e0f
    What a client is written against: firmware/panic_wire/CONTRACT.md, section 12, and docs/api/phone-vectors.json.
    """
    try:
        device = Device(device_id(name), name, bytes.fromhex(root_key), kind=PHONE)
        device_keys = len(device.root_key) == ROOT_KEY_BYTES
    except ValueError:
        device_keys = False
    if not device_keys:
        raise click.UsageError("--phone is eight hex digits, --root-key 32")
    said, seen = [], {}
    for number, line in enumerate(file, 1):
        verdict = judge(contract.up(name), line.strip(), {device.id: device}.get)
        if isinstance(verdict, Opened):
            window = seen.setdefault(verdict.header.epoch, ReplayWindow(width=WIDTH))
            if not window.check_and_set(verdict.header.counter):
                verdict = Rejection("replayed", f"counter {verdict.header.counter} was here before, or is too old")
        if isinstance(verdict, Opened):
            kind = KINDS[verdict.header.type]
            said.append({"line": number, "ok": True, "reason": None, "says": f"{kind} {verdict.body.to_dict()}"})
        elif isinstance(verdict, Rejection):
            said.append({"line": number, "ok": False, "reason": verdict.reason, "says": verdict.detail})
    if as_json:
        print_json(said)
    else:
        for each in said:
            click.echo(f"line {each['line']}: {'fine' if each['ok'] else each['reason']}: {each['says']}")
    if not said or not all(each["ok"] for each in said):
        raise SystemExit(1)
