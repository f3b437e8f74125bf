"""`sigap operator`: who may log in at the desk."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import click

from gateway.clock import now_us
from gateway.commands import show
from gateway.commands.importing import import_options, run_import, write_secret
from gateway.commands.options import config_option, json_option, print_facts, print_json, print_table
from gateway.registry import csv_import, logins, operators
from gateway.registry.csv_import import Report
from gateway.settings import Settings, load_settings
from gateway.store.engine import Store, open_store
from sigap.problem import USAGE, Problem


@click.group()
def operator() -> None:
    """Add, list and revoke operators, who log in at the desk.

    \b
    sigap operator add "Siti" --role operator
    sigap operator import operators.csv --passwords new-passwords.csv
    sigap operator show "Siti"
    """


@operator.command("add")
@click.argument("name")
@click.option("--role", type=click.Choice(operators.ROLES), default=operators.OPERATOR, show_default=True)
@click.password_option(envvar="SIGAP_OPERATOR_PASSWORD", show_envvar=True, help="Asked for when it is not given.")
@config_option
def add(name: str, role: str, password: str, config_path: Path) -> None:
    """Add the operator NAME."""
    hashed = operators.hash_password(password)
    with open_store(load_settings(config_path).store_url) as store, store.write() as conn:
        added = operators.add_operator(conn, name=name, password_hash=hashed, role=role, now_us=now_us())
    click.echo(f"added {added.name} as {added.role}")


@operator.command("import")
@import_options
@click.option(
    "--passwords",
    "out",
    type=click.Path(path_type=Path),
    help="Write their first passwords, drawn at random, to this new file (mode 0600).",
)
def import_(file: Path, dry_run: bool, out: Path | None, config_path: Path, as_json: bool) -> None:
    """Add the operators of a CSV FILE: all, or none when a row is bad. Each bad row is named, with its column.

    Columns: name (required), role (operator or administrator), language (id or en). There is none for passwords: a
    password in a spreadsheet is everybody's. They are drawn here; hand them out, and delete the file.

    \b
    sigap operator import operators.csv --dry-run
    sigap operator import operators.csv --passwords new-passwords.csv
    """
    if not dry_run:
        if out is None:
            raise Problem("there is no file for the passwords", "Give one: --passwords new-passwords.csv", USAGE)
        write_secret(out, "")  # before anybody is added, whose password would then be lost

    def write_passwords(_settings: Settings, _store: Store, report: Report) -> str:
        assert out is not None
        with out.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([("name", "password"), *report.passwords.items()])
        return f"; their passwords are in {out}"

    try:
        run_import(csv_import.OPERATORS, file, config_path, dry_run=dry_run, as_json=as_json, after=write_passwords)
    except BaseException:
        if out is not None and not dry_run and out.stat().st_size == 0:
            out.unlink()
        raise


@operator.command("list")
@config_option
@json_option
def list_all(config_path: Path, as_json: bool) -> None:
    """List every operator, the revoked ones too."""
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = operators.list_operators(conn)
    if as_json:
        print_json([_shown(one) for one in found])
        return
    print_table([("name", "role", "remarks"), *((one.name, one.role, "revoked" * one.revoked) for one in found)])


@operator.command("show")
@click.argument("name")
@config_option
@json_option
def show_(name: str, config_path: Path, as_json: bool) -> None:
    """Show the operator NAME, revoked or not, with the open sessions.

    \b
    sigap operator show "Siti"
    """
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found, _hash = operators.find_hash(conn, name)
        if found is None:
            raise Problem(f"there is no operator {name}", "`sigap operator list` shows all", USAGE)
        facts = {**_shown(found), **show.of_operator(conn, found.id, now_us())}
    print_json(facts) if as_json else print_facts(facts)


def _shown(one: operators.Operator) -> dict[str, Any]:
    return {"name": one.name, "role": one.role, "language": one.language, "revoked": one.revoked}


@operator.command("revoke")
@click.argument("name")
@config_option
def revoke(name: str, config_path: Path) -> None:
    """Take the rights of the operator NAME; open pages of theirs end at the next click."""
    with open_store(load_settings(config_path).store_url) as store, store.write() as conn:
        revoked = operators.revoke_operator(conn, name, now_us())
    click.echo(f"revoked {revoked.name}")


@operator.command("link")
@click.argument("name")
@config_option
def link(name: str, config_path: Path) -> None:
    """Print a link that logs NAME in once, within ten minutes: for who has forgotten the password."""
    settings = load_settings(config_path)
    with open_store(settings.store_url) as store, store.write() as conn:
        found, hashed = operators.find_hash(conn, name)
        if found is None or hashed is None:
            raise Problem(f"there is no operator {name} in use", "`sigap operator list` shows all", USAGE)
        token = logins.begin(conn, found.id, now_us(), logins.LINK)
    click.echo(f"http://{settings.http.host}:{settings.http.port}/link?t={token}")
