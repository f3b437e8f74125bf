"""The kill matrix at full size: 2,000 alarms at 200/s and twenty seeds, or as many as the time allows."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from tests.system.crowd import Crowd
from tests.system.kill_lab import START_LIMIT_S, Parts, Police, live_through, parts

SEEDS = int(os.environ.get("SIGAP_SEEDS", "20"))
DEVICES, ALARMS, PER_S, KILLS = 200, 2_000, 200.0, 2
BUDGET_S = 200.0  # `make soak` ends


@pytest.mark.timeout(600)
def test_killed_parts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with parts(tmp_path, DEVICES) as one, capsys.disabled():
        print()
        done = asyncio.run(live(one))
        print(f"{done} of {SEEDS} seeds in {BUDGET_S:g} s")
    assert done >= min(SEEDS, 10)


async def live(one: Parts) -> int:
    police = Police()
    began = time.monotonic()
    async with police.served(one.police_port), Crowd(one.devices, one.port) as crowd:
        await one.start_all()
        await crowd.all_connected(START_LIMIT_S)
        for seed in range(1, SEEDS + 1):
            if time.monotonic() - began > BUDGET_S:
                return seed - 1
            print(await live_through(one, police, crowd, seed, ALARMS, PER_S, KILLS))
    return SEEDS
