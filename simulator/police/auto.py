"""The option --auto: stages that a police desk sends by itself. Apart from the desk and its libraries."""

from __future__ import annotations

import click

from simulator.police.desk import STAGES


class AutoStages(click.ParamType):
    """`acknowledged=0.3,closed=9` becomes {"acknowledged": 0.3, "closed": 9.0}: seconds after acceptance."""

    name = "STAGE=SECONDS,..."

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> dict[str, float]:
        if isinstance(value, dict):
            return value
        stages: dict[str, float] = {}
        for part in str(value).split(","):
            stage, _, seconds = part.strip().partition("=")
            if stage not in STAGES:
                self.fail(f"{stage!r} is not a stage; there are {', '.join(STAGES)}", param, ctx)
            try:
                stages[stage] = float(seconds)
            except ValueError:
                self.fail(f"{part!r} has no number of seconds, as in acknowledged=0.3", param, ctx)
            if not 0 <= stages[stage] <= 86_400:
                self.fail(f"{part!r}: seconds must be from 0 to 86400", param, ctx)
        return stages
