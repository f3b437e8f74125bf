"""The one command, `sigap`: finds the subcommand, loads only its module, and prints problems as one line."""

from __future__ import annotations

import importlib
import os
import sys

import click

from sigap.problem import Problem
from sigap.processes import Interrupted

# Subcommand -> module:attribute. Loaded when asked for, so that `sigap press` does not import a database.
COMMANDS = {
    "run": "sigap.run:run",
    "sim": "sigap.sim:sim",
    "scenario": "sigap.scenario:scenario",
    "press": "simulator.commands:press",
    "world": "simulator.commands:world",
    "board": "simulator.commands:board",
    "fault": "simulator.faults.commands:fault",
    "police-desk": "simulator.police.commands:police_desk",
    "mail-sink": "simulator.mail:mail_sink",
    "gateway": "gateway.commands.gateway:gateway",
    "archive": "gateway.commands.archive:archive",
    "broker": "gateway.commands.broker:broker",
    "config": "gateway.commands.config:config",
    "key": "gateway.commands.keys:key",
    "doctor": "gateway.commands.doctor:doctor",
    "backup": "gateway.commands.backup:backup",
    "restore": "gateway.commands.backup:restore",
    "device": "gateway.commands.registry:device",
    "owner": "gateway.commands.registry:owner",
    "relative": "gateway.commands.registry:relative",
    "phone": "gateway.commands.phones:phone",
    "operator": "gateway.commands.operators:operator",
    "unit": "gateway.commands.units:unit",
    "incidents": "gateway.commands.views:incidents",
    "devices": "gateway.commands.views:devices",
    "backends": "sigap.backends:backends",
    "outbox": "gateway.commands.outbox:outbox",
    "troubles": "gateway.commands.troubles:troubles",
    "bases": "gateway.commands.bases:bases",
    "quarantine": "gateway.commands.views:quarantine",
    "energy": "sigap.energy:energy",
    "lora": "sigap.lora:lora",
    "frame": "sigap.frame:frame",
    "flash": "sigap.flash:flash",
    "provision": "sigap.provision:provision",
    "base": "sigap.base:base",
    "bench": "sigap.bench.command:bench",
}


class LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, attribute = COMMANDS[cmd_name].split(":")
        return getattr(importlib.import_module(module), attribute)


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="sigap")
def sigap() -> None:
    """Sigap: panic buttons to the police, and the answer back to the person.

    \b
    sigap run                  everything on this machine, with two virtual buttons
    sigap sim                  the same with a panel: press virtual buttons in the browser
    sigap press shop-1         press one of them three times (in another terminal)
    sigap run --once           one press walked all the way, and its timeline
    """


def main() -> None:
    """Entry point. Exit codes: 0 fine, 1 what was asked did not hold, 2 wrong use, 3 a part is missing."""
    try:
        # Without standalone mode click hands over what `ctx.exit(n)` asked for instead of leaving with it.
        sys.exit(sigap(standalone_mode=False))
    except Problem as problem:
        click.echo(f"sigap: {problem}", err=True)
        sys.exit(problem.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (click.Abort, Interrupted):
        sys.exit(130)
    except BrokenPipeError:
        # The reader (head, less) has gone; nothing more can be said to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)


if __name__ == "__main__":
    main()
