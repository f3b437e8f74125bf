"""Ten minutes of drawn faults on every link, and of power cuts, while buttons are pressed; and nothing is lost.

Named, not collected: `pytest tests/soak`. SIGAP_SOAK_S: how long, in seconds; SIGAP_SOAK_SEED: another draw.

No garbage on the way to the broker: MQTT without TLS has nothing but TCP's checksum against it, and a button whose
SUBSCRIBE was changed on the way would be deaf until its next connection.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from littlefs.errors import LittleFSError

from gateway.incidents.stages import ACCEPTED, OPENED
from sigap.links import CALLBACKS, TO_BROKER, TO_MAIL, TO_POLICE, of_board
from sigap.local import Local
from sigap.problem import Problem
from simulator import image
from simulator.faults.client import FaultClient
from tests.soak.soak_lab import PRESSES, Heard, Watching, buttons, memory, stored, told_once
from tests.system.local_lab import event_kinds, local, running, wait_until

LASTS_S = min(3600.0, max(5.0, float(os.environ.get("SIGAP_SOAK_S", "600"))))
SEED = int(os.environ.get("SIGAP_SOAK_SEED", "1"))
BOARDS = 20
SETTLE_S = 180.0
SIGNED = (TO_POLICE, CALLBACKS, TO_MAIL)


def fault(draw: random.Random, link: str) -> dict[str, Any]:
    """One fault for this link, as FaultClient.set takes it; {} means a reset now."""
    way = draw.choice(("", "up.", "down."))
    faults: list[dict[str, Any]] = [
        {},
        {f"{way}delay_ms": draw.randint(50, 1500), f"{way}jitter_ms": draw.randint(0, 500)},
        {f"{way}bandwidth_bps": draw.randint(2_000, 50_000)},
        {f"{way}loss": draw.uniform(0.05, 0.5)},
        {f"{way}reset_after": draw.randint(40, 2_000)},
        {f"{way}truncate_after": draw.randint(40, 2_000)},
        {"cut": "half-open"},
        {"cut": "black-hole"},
        {"cut": "refused"},
    ]
    if link in SIGNED:
        faults.append({f"{way}garbage": draw.uniform(0.05, 0.5)})
    return draw.choice(faults)


class BadDay:
    """Faults, cuts and presses side by side, each with draws of its own, until `until` (time.monotonic())."""

    def __init__(self, one: Local, watching: Watching, faults: FaultClient, until: float) -> None:
        self.one, self.faults, self.until = one, faults, until
        self.client, self.heard = watching.client, watching.heard
        self.done: Counter[str] = Counter()

    async def live(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._spoil_links())
            for number, button in enumerate(self.one.buttons):
                tasks.create_task(self._press(button.name, random.Random(f"{SEED}:press:{number}")))
                tasks.create_task(self._cut_power(button.name, random.Random(f"{SEED}:power:{number}")))

    async def _wait(self, seconds: float) -> bool:
        """False when the day is over."""
        await asyncio.sleep(min(seconds, max(0.0, self.until - time.monotonic())))
        return time.monotonic() < self.until

    async def _spoil_links(self) -> None:
        draw = random.Random(f"{SEED}:links")
        parts = [TO_BROKER, TO_POLICE, TO_MAIL, CALLBACKS]
        boards = [of_board(button.name) for button in self.one.buttons]
        while await self._wait(draw.uniform(0.1, 1.0)):
            link = draw.choice(draw.choice((parts, boards)))
            found, for_s = fault(draw, link), draw.uniform(0.5, 12)
            if found:
                await asyncio.to_thread(self.faults.set, link, for_s, **found)
            else:
                await asyncio.to_thread(self.faults.reset, link)
            self.done[next(iter(found.values())) if "cut" in found else next(iter(found), "reset").split(".")[-1]] += 1

    async def _press(self, name: str, draw: random.Random) -> None:
        while await self._wait(draw.uniform(2, 20)):
            answer = await self.client.request("press", board=name, script=PRESSES)
            self.done["pressed" if answer["heard"] else "pressed in vain"] += 1

    async def _cut_power(self, name: str, draw: random.Random) -> None:
        while await self._wait(draw.uniform(5, 60)):
            await self.client.request("power", board=name, on=False)
            self.done["power cut"] += 1
            await asyncio.sleep(draw.uniform(0.05, 4))
            await self.client.request("power", board=name, on=True)


async def settle(one: Local, heard: Heard) -> float:
    """Seconds until every alarm that a board made is in the store, and every incident accepted; or the limit."""
    began = time.monotonic()

    def all_there() -> bool:
        kinds = event_kinds(one)
        return heard.made <= stored(one) and kinds.count(ACCEPTED) == kinds.count(OPENED)

    while time.monotonic() - began < SETTLE_S and not await asyncio.to_thread(all_there):
        await asyncio.sleep(0.5)
    return time.monotonic() - began


def journals(one: Local) -> set[tuple[str, str]]:
    """{(board, file)} of what is in the boards' journals, which are off: u... waits for its receipt, r... has it."""
    return {
        (button.name, Path(name).name)
        for button in one.buttons
        for name in image.read_files(one.folder / f"{button.name}.img", "/journal")
    }


async def live(one: Local) -> tuple[BadDay, float]:
    with one.fault_client() as faults:
        async with Watching(one) as watching:
            day = BadDay(one, watching, faults, time.monotonic() + LASTS_S)
            await day.live()
            faults.clear()
            return day, await settle(one, watching.heard)


def all_receipted(one: Local) -> bool:
    """Whether the flash of the running boards knows every receipt. One that is being written is looked at again."""
    try:
        return not [name for _, name in journals(one) if name[0] == "u"]
    except (Problem, LittleFSError):
        return False


@pytest.mark.timeout(LASTS_S + 600)
def test_bad_days(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = local(tmp_path, buttons=buttons(BOARDS), auto={"acknowledged": 2, "closed": 10}, faults=True)
    with running(one):
        before = memory(one)
        day, settled_s = asyncio.run(live(one))
        wait_until(lambda: all_receipted(one), "the receipt of every alarm", SETTLE_S)
        after, heard = memory(one), day.heard
        there, taken = stored(one), told_once(one)
        one.processes.check()
        kinds = Counter(event_kinds(one))
        with capsys.disabled():
            print(
                f"\n{LASTS_S:g} s of seed {SEED}, {BOARDS} boards: {len(heard.made)} alarms journaled, {len(there)} in"
                f" the store, {len(heard.receipted)} receipts heard; settled {settled_s:.0f} s after the last fault"
                f"\n  {', '.join(f'{what} {count}' for what, count in sorted(day.done.items()))}"
                f"\n  {', '.join(f'{kind} {count}' for kind, count in sorted(kinds.items()))}"
                f"\n  memory (PSS, MiB) before: {before}\n  memory (PSS, MiB) after: {after}"
            )
    assert heard.wrong == []
    assert heard.made == there
    assert set(heard.receipted) <= there
    assert taken == len(there)
    assert kinds[ACCEPTED] == kinds[OPENED]
    left = journals(one)
    assert {(board, int(name[1:], 16)) for board, name in left} <= there
    assert not [name for _, name in left if name[0] == "u"]
