"""`sigap owner`, `sigap relative`: who devices belong to, and who is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands import show
from gateway.commands.importing import import_options, run_import
from gateway.commands.options import config_option, json_option, print_facts, print_json, print_table
from gateway.registry import csv_import, people
from gateway.registry.names import person_name_of
from gateway.settings import load_settings
from gateway.store.engine import Store, open_store
from gateway.words import LANGUAGES, translator
from sigap.problem import USAGE, Problem


@click.group()
def owner() -> None:
    """Add, list and revoke owners of devices.

    \b
    sigap owner add "Toko Sinar" --telephone "+62 24 1234567"
    sigap owner import owners.csv --dry-run
    sigap owner show "Toko Sinar"
    """


@owner.command("add")
@click.argument("name")
@click.option("--telephone")
@click.option("--address")
@click.option("--language", type=click.Choice(LANGUAGES), default="id", show_default=True)
@click.option("--message", help="The registered message, sent to relatives with an alarm.")
@config_option
@json_option
def owner_add(
    name: str,
    telephone: str | None,
    address: str | None,
    language: str,
    message: str | None,
    config_path: Path,
    as_json: bool,
) -> None:
    """Add the owner NAME."""
    with _store(config_path) as store, store.write() as conn:
        added = people.add_owner(
            conn,
            name=name,
            telephone=telephone,
            address=address,
            language=language,
            registered_message=message,
            now_us=now_us(),
        )
    print_json(_owner_shown(added)) if as_json else click.echo(f"added {added.name}")


@owner.command("list")
@config_option
@json_option
def owner_list(config_path: Path, as_json: bool) -> None:
    """List every owner, the revoked ones too."""
    with _store(config_path) as store, store.read() as conn:
        found = people.list_owners(conn)
    if as_json:
        print_json([_owner_shown(one) for one in found])
        return
    rows = [(one.name, one.telephone or "-", one.language, "revoked" if one.revoked else "") for one in found]
    print_table([("name", "telephone", "language", "remarks"), *rows])


@owner.command("revoke")
@click.argument("name")
@config_option
def owner_revoke(name: str, config_path: Path) -> None:
    """Revoke the owner NAME, who must have no device any more, and the owner's relatives."""
    with _store(config_path) as store, store.write() as conn:
        revoked = people.revoke_owner(conn, name, now_us())
    click.echo(f"revoked {revoked.name}")


@owner.command("show")
@click.argument("name")
@config_option
@json_option
def owner_show(name: str, config_path: Path, as_json: bool) -> None:
    """Show the owner NAME, revoked or not, with devices and relatives.

    \b
    sigap owner show "Toko Sinar"
    """
    with _store(config_path) as store, store.read() as conn:
        found = next((each for each in people.list_owners(conn) if each.name == person_name_of(name, "owner")), None)
        if found is None:
            raise Problem(f"there is no owner named {name}", "`sigap owner list` shows all", USAGE)
        facts = {**_owner_shown(found), **show.of_owner(conn, found.id)}
    print_json(facts) if as_json else print_facts(show.flat(facts))


@owner.command("import")
@import_options
def owner_import(file: Path, dry_run: bool, config_path: Path, as_json: bool) -> None:
    """Add the owners of a CSV FILE: all, or none when a row is bad. Each bad row is named, with its column.

    Columns: name (required), telephone, address, language (id or en), message (the registered message). Comma or
    semicolon, UTF-8, as spreadsheets write it.

    \b
    sigap owner import owners.csv --dry-run
    sigap owner import owners.csv
    """
    run_import(csv_import.OWNERS, file, config_path, dry_run=dry_run, as_json=as_json)


@click.group()
def relative() -> None:
    """Add, list and revoke the relatives of owners, who get the registered message.

    \b
    sigap relative add "Toko Sinar" "Budi" mailto://user:password@example.org
    sigap relative import relatives.csv --dry-run
    sigap relative test "Toko Sinar"
    """


@relative.command("add")
@click.argument("owner")
@click.argument("name")
@click.argument("channel")
@click.option("--tests", is_flag=True, help="Gets test alarms too.")
@config_option
@json_option
def relative_add(owner: str, name: str, channel: str, tests: bool, config_path: Path, as_json: bool) -> None:
    """Put NAME on OWNER's list; messages go to the URL CHANNEL."""
    with _store(config_path) as store, store.write() as conn:
        added = people.add_relative(conn, owner=owner, name=name, channel=channel, wants_tests=tests, now_us=now_us())
    if as_json:
        print_json({"owner": owner, "name": added.name, "channel": people.masked(added.channel), "tests": tests})
    else:
        click.echo(f"added {added.name}")


@relative.command("list")
@click.argument("owner", required=False)
@config_option
@json_option
def relative_list(owner: str | None, config_path: Path, as_json: bool) -> None:
    """List the relatives of OWNER, or all; what is secret in a channel is masked."""
    with _store(config_path) as store, store.read() as conn:
        names = {one.id: one.name for one in people.list_owners(conn)}
        owner_id = people.find_owner(conn, owner).id if owner else None
        found = people.list_relatives(conn, owner_id=owner_id)
    shown = [
        {
            "owner": names[one.owner_id],
            "name": one.name,
            "channel": people.masked(one.channel),
            "tests": one.wants_tests,
        }
        for one in found
    ]
    if as_json:
        print_json(shown)
        return
    rows = [(row["owner"], row["name"], row["channel"], "tests too" if row["tests"] else "") for row in shown]
    print_table([("owner", "name", "channel", "remarks"), *rows])


@relative.command("show")
@click.argument("owner")
@click.argument("name")
@config_option
@json_option
def relative_show(owner: str, name: str, config_path: Path, as_json: bool) -> None:
    """Show NAME of OWNER's list: the channel, masked; when a message went last, and why one waits.

    \b
    sigap relative show "Toko Sinar" Budi
    """
    with _store(config_path) as store, store.read() as conn:
        one = people.find_relative(conn, owner, name)
        mine = {"owner": owner, "name": one.name, "channel": people.masked(one.channel), "tests": one.wants_tests}
        facts = {**mine, **show.of_relative(conn, one.id)}
    print_json(facts) if as_json else print_facts(facts)


@relative.command("import")
@import_options
def relative_import(file: Path, dry_run: bool, config_path: Path, as_json: bool) -> None:
    """Put the relatives of a CSV FILE on their owners' lists: all, or none when a row is bad.

    Columns: owner, name, channel (required), tests (yes or no). The owners must be there already. Channels hold
    passwords: keep the file from others, and delete it afterwards.

    \b
    sigap relative import relatives.csv --dry-run
    sigap relative import relatives.csv
    """
    run_import(csv_import.RELATIVES, file, config_path, dry_run=dry_run, as_json=as_json)


@relative.command("revoke")
@click.argument("owner")
@click.argument("name")
@config_option
def relative_revoke(owner: str, name: str, config_path: Path) -> None:
    """Take NAME off OWNER's list."""
    with _store(config_path) as store, store.write() as conn:
        revoked = people.revoke_relative(conn, owner, name, now_us())
    click.echo(f"revoked {revoked.name}")


@relative.command("test")
@click.argument("owner")
@config_option
def relative_test(owner: str, config_path: Path) -> None:
    """Send a test message to every relative of OWNER, now, and say for each how it went.

    \b
    sigap relative test "Toko Sinar"
    """
    from gateway.relatives.notify import send  # Apprise: the other commands do not wait for it

    with _store(config_path) as store, store.read() as conn:
        whose = people.find_owner(conn, owner)
        found = people.list_relatives(conn, owner_id=whose.id)
    if not found:
        raise Problem(f"{owner} has no relatives", "Add one: `sigap relative add OWNER NAME CHANNEL`")
    _ = translator(whose.language)
    title = _("Sigap: a test message for {name}").format(name=whose.name)
    body = _("This is a test. Nothing has happened. In an emergency a message of {name} would reach you here.")
    failed = 0
    for one in found:
        error = send(one.channel, title, body.format(name=whose.name))
        failed += error is not None
        click.echo(f"{one.name}: {'sent' if error is None else error}")
    if failed:
        raise Problem(f"{failed} of {len(found)} were not reached", "Correct their channels and test again")


def _store(config_path: Path) -> Store:
    return open_store(load_settings(config_path).store_url)


def _owner_shown(one: people.Owner) -> dict[str, Any]:
    return {
        "name": one.name,
        "telephone": one.telephone,
        "address": one.address,
        "language": one.language,
        "message": one.registered_message,
        "revoked": one.revoked,
    }
