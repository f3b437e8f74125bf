"""A hundred buttons in one district, pressed within ten seconds, on this one machine.

Named, not collected: `pytest tests/soak`. SIGAP_SOAK_BOARDS for another number.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path

import pytest

from gateway.incidents.cloudevents import OPENED_TYPE
from gateway.incidents.stages import ACCEPTED
from sigap.local import Local
from tests.soak.soak_lab import PRESSES, Watching, buttons, memory, quantile, stored, told_once
from tests.system.local_lab import event_kinds, local, received_by_police, running, wait_until

BOARDS = int(os.environ.get("SIGAP_SOAK_BOARDS", "100"))
WITHIN_S = 10.0
SEED = 20_250
DEBOUNCE_MS = 30.0
LIMIT_S = 120.0


async def press_all(one: Local) -> tuple[Watching, dict[str, float]]:
    """Returns when each is receipted, or at the limit; {board: its third press, Unix ms}."""
    draw = random.Random(SEED)
    pressed: dict[str, float] = {}

    async def press(name: str, after_s: float) -> None:
        await asyncio.sleep(after_s)
        done = await watching.client.request("press", board=name, script=PRESSES)
        assert done["heard"]
        pressed[name] = done["presses"][2]["down_at"]

    async with Watching(one) as watching:
        lasts_s = PRESSES[-1][0] / 1000
        await asyncio.gather(*(press(each.name, draw.uniform(0, WITHIN_S - lasts_s)) for each in one.buttons))
        deadline = time.monotonic() + LIMIT_S
        while len(watching.heard.receipted) < len(one.buttons) and time.monotonic() < deadline:
            await asyncio.sleep(0.1)
    return watching, pressed


@pytest.mark.timeout(900)
def test_a_hundred_boards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = local(tmp_path, buttons=buttons(BOARDS))
    began = time.monotonic()
    with running(one):
        started_s = time.monotonic() - began
        before = memory(one)
        watching, pressed = asyncio.run(press_all(one))
        heard = watching.heard
        after = memory(one)
        wait_until(lambda: event_kinds(one).count(ACCEPTED) == BOARDS, "acceptance of every incident", LIMIT_S)
        took = [heard.receipted[alarm] - pressed[alarm[0]] for alarm in heard.receipted]
        with capsys.disabled():
            print(
                f"\n{BOARDS} boards ready after {started_s:.0f} s, pressed within {WITHIN_S:g} s, {len(took)} receipted"
                f"\n  third press to receipt: p50 {quantile(took, 0.5):.0f} ms, p99 {quantile(took, 0.99):.0f} ms, "
                f"max {max(took):.0f} ms"
                f"\n  memory (PSS, MiB) idle: {before}\n  memory (PSS, MiB) after: {after}"
            )
        assert heard.wrong == []
        assert len(heard.made) == BOARDS
        assert set(heard.receipted) == heard.made == stored(one)
        assert min(took) >= DEBOUNCE_MS
        assert told_once(one) == BOARDS
        told = [each["body"]["type"] for each in received_by_police(one, at_least=BOARDS)]
        assert told.count(OPENED_TYPE) == BOARDS
        one.processes.check()
