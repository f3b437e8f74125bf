"""`sigap doctor`: looks at everything that the gateway needs, and says what to do."""

from __future__ import annotations

from pathlib import Path

import click

from gateway.commands.options import config_option, json_option, print_json
from gateway.operations.doctor import examine
from gateway.operations.findings import BAD, Finding
from gateway.settings import load_settings
from sigap.problem import Problem


@click.command()
@config_option
@json_option
def doctor(config_path: Path, as_json: bool) -> None:
    """Look at settings, files, clock, disk, store, broker, gateway, backends and outbox. Changes nothing.

    Leaves with 1 when something is bad; a warning alone leaves with 0.

    \b
    sigap doctor
    sigap doctor --json
    """
    try:
        findings = list(examine(load_settings(config_path)))
    except Problem as problem:
        findings = [Finding("settings", BAD, problem.what, problem.todo)]
    bad = sum(each.state == BAD for each in findings)
    if as_json:
        print_json({"ok": not bad, "findings": [each.as_dict() for each in findings]})
    else:
        for each in findings:
            click.echo(f"{each.state.upper():4}  {each.check}: {each.says}")
            if each.todo:
                click.echo(f"      {each.todo}")
    if bad:
        raise Problem(f"{bad} of {len(findings)} findings are bad", "Do what is said with each")
