"""For the soaks: many virtual boards, everything they said, and what the processes take of the memory."""

from __future__ import annotations

import asyncio
import math
import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa

from gateway.incidents.stages import ALARM_JOINED, OPENED
from gateway.store.schema import alarms, devices, events
from sigap.local import BROKER, FAULTS, GATEWAY, MAIL, POLICE, WORLD, Button, Local
from simulator.world.client import AsyncWorldClient, find
from simulator.world.protocol import Message

MADE = re.compile(r"sigap: alarm (\d+)(?: resumed: \w+)?")
STAGE = re.compile(r"sigap: alarm (\d+): (\w+)")
# The thumb rests first: a press right behind the one before would be chatter of that one.
PRESSES = [[300, 0], [390, 1], [600, 0], [690, 1], [900, 0], [990, 1]]

Alarm = tuple[str, int]  # (board, activation)


def buttons(count: int) -> tuple[Button, ...]:
    """So many, each with an owner and a site of its own."""
    return tuple(
        Button(f"shop-{n:03}", f"Toko contoh {n}", site=(f"Toko contoh {n}", -6.99 - n / 10_000, 110.42))
        for n in range(1, count + 1)
    )


@dataclass
class Heard:
    """What the boards said on their consoles. made: alarms that lay in a journal; receipted: {alarm: Unix ms}."""

    made: set[Alarm] = field(default_factory=set)
    receipted: dict[Alarm, float] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    events: dict[str, int] = field(default_factory=lambda: defaultdict(int))

    async def listen(self, client: AsyncWorldClient) -> None:
        """Until cancelled."""
        while True:
            self.take(await client.events.get())

    def take(self, event: Message) -> None:
        kind, board = event["event"], event.get("board", "")
        self.events[kind] += 1
        if kind in ("gave-up", "too-slow", "died", "crash-loop") or (kind == "reset" and event["cause"] == "wdt"):
            self.wrong.append(f"{board}: {event}")
        if kind != "console":
            return
        text = event["text"]
        if found := MADE.fullmatch(text):
            self.made.add((board, int(found[1])))
        elif (found := STAGE.fullmatch(text)) and found[2] != "sending":
            self.receipted.setdefault((board, int(found[1])), event["at"])
        elif "crashed" in text or "Traceback" in text or "MemoryError" in text:
            self.wrong.append(f"{board}: {text}")


class Watching:
    """An AsyncWorldClient whose events go into `heard`, from entering until leaving."""

    def __init__(self, one: Local) -> None:
        self._folder = one.folder
        self.heard = Heard()

    async def __aenter__(self) -> Watching:
        self.client = await AsyncWorldClient.connect(*find(self._folder))
        self._listening = asyncio.create_task(self.heard.listen(self.client))
        await self.client.request("watch")
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        self._listening.cancel()
        await asyncio.gather(self._listening, return_exceptions=True)


def stored(one: Local) -> set[Alarm]:
    """The alarms in the gateway's store; each is there once, as it is a row's key."""
    found = sa.select(devices.c.name, alarms.c.activation).join(devices, devices.c.id == alarms.c.device_id)
    with one.store.read() as conn:
        return {(name, activation) for name, activation in conn.execute(found)}


def told_once(one: Local) -> int:
    """How often an alarm opened an incident or joined one: as often as there are alarms, if none was taken twice."""
    count = sa.select(sa.func.count()).where(events.c.kind.in_((OPENED, ALARM_JOINED)))
    with one.store.read() as conn:
        return conn.execute(count).scalar_one()


def pss_kb(pids: Iterable[int]) -> int:
    """What these processes and their children take of the memory, shared pages in proportion (PSS)."""
    total = 0
    for pid in pids:
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                total += int(line.split()[1])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        total += pss_kb(int(child) for child in children)
    return total


def memory(one: Local) -> str:
    """PSS in MiB, of the boards together and of each part."""
    with one.world() as world:
        boards = [board["pid"] for board in world.boards() if board["pid"]]
    board_kb = pss_kb(boards)
    parts = {"boards": board_kb, "world": pss_kb([one.processes.pid(WORLD)]) - board_kb}
    parts |= {name: pss_kb([one.processes.pid(name)]) for name in (BROKER, GATEWAY, POLICE, MAIL)}
    if one.faults:
        parts[FAULTS] = pss_kb([one.processes.pid(FAULTS)])
    said = ", ".join(f"{name} {kb / 1024:.0f}" for name, kb in parts.items())
    return f"{said}; together {sum(parts.values()) / 1024:.0f}, a board {board_kb / 1024 / len(boards):.2f}"


def quantile(values: list[float], part: float) -> float:
    """The least value that this part of them does not exceed (nearest rank)."""
    return sorted(values)[max(0, math.ceil(part * len(values)) - 1)]
