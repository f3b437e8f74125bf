"""`sigap operator`: who may log in at the desk."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.clock import now_us
from gateway.commands.options import config_option, print_table
from gateway.registry import logins, operators
from gateway.settings import load_settings
from gateway.store.engine import open_store
from sigap.problem import USAGE, Problem


@click.group()
def operator() -> None:
    """Add, list and revoke operators, who log in at the desk.

    \b
    sigap operator add "Siti" --role operator
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


@operator.command("list")
@config_option
def list_all(config_path: Path) -> None:
    """List every operator, the revoked ones too."""
    with open_store(load_settings(config_path).store_url) as store, store.read() as conn:
        found = operators.list_operators(conn)
    print_table([("name", "role", "remarks"), *((one.name, one.role, "revoked" * one.revoked) for one in found)])


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
