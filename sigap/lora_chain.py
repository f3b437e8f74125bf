"""Press to receipt over LoRa through everything: the real firmware of buttons and base, the gateway's own code."""

from __future__ import annotations

import math
import re
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigap.virtual_gateway import VirtualStore
from simulator.scenario.hands import script
from simulator.virtual.world import Button, VirtualWorld

SETTLE_S, ROUND_S, LIMIT_S = 40.0, 45.0, 600.0
HEAP_KB = 200  # of a T-Beam
RECEIPTED = re.compile(r"sigap: alarm (\d+): (receipt|accepted)")
MADE = re.compile(r"sigap: alarm (\d+)$")
METRES = 60.0


@dataclass(frozen=True)
class Chain:
    """buttons press within a second, `rounds` times, one world after another. loss: of each packet, either way."""

    buttons: int = 1
    rounds: int = 20
    factor: int = 9
    loss: float = 0.1
    seed: int = 1
    noise: float = 0.0


@dataclass
class Taken:
    """seconds: from the third press to the button's knowing of the receipt, the shortest first. lost: had none."""

    seconds: list[float] = field(default_factory=list)
    lost: int = 0

    def at(self, share: float) -> float | None:
        """Within which this share of all presses had its receipt; None when so many had none."""
        place = math.ceil((len(self.seconds) + self.lost) * share) - 1
        return self.seconds[place] if 0 <= place < len(self.seconds) else None


def measure(chain: Chain) -> Taken:
    """One world, in virtual time: the same from the same seed."""
    taken = Taken()
    with tempfile.TemporaryDirectory(prefix="sigap-chain-") as folder:
        row = [921_400_000, chain.factor, 921_800_000]
        made = [_button(number, row, chain) for number in range(chain.buttons)]
        with VirtualWorld(Path(folder), made, seed=chain.seed, make_store=VirtualStore) as world:
            world.add_base("base", row)
            world.bases["base"].noise = chain.noise
            world.air.loss = chain.loss
            world.trace.lines_limit = 0
            pressed: dict[str, int] = {}
            open_alarms: dict[str, str] = {}

            def see(entry: dict[str, Any]) -> None:
                name = entry["who"]
                if entry["what"] != "console" or name not in pressed:
                    return
                if found := MADE.match(entry["text"]):
                    open_alarms[name] = found[1]
                elif (found := RECEIPTED.match(entry["text"])) and open_alarms.get(name) == found[1]:
                    taken.seconds.append((entry["at_us"] - pressed.pop(name)) / 1e6)

            world.trace.watchers.append(see)
            world.start()
            world.run(SETTLE_S)
            at_s, draw = SETTLE_S, world.chance
            for _ in range(chain.rounds):
                for name, board in world.boards.items():
                    moment = int((at_s + draw.random()) * 1e6)
                    steps = script("clean", 3, draw, bounce=True)
                    board.press(steps, moment)
                    # The third press is the third time that the contact stays closed.
                    pressed[name] = moment + int(_third_ms(steps) * 1000)
                limit_s = at_s + LIMIT_S
                while True:
                    at_s += ROUND_S
                    world.run(at_s)
                    if not pressed or at_s >= limit_s:
                        break
                taken.lost += len(pressed)
                pressed.clear()
                for incident in {each["incident"] for each in world.store.alarms() if each["state"] != "closed"}:
                    world.gateway.act(incident, "closed", "operator:Operator", disposition="exercise")
                at_s += 5
                world.run(at_s)
    taken.seconds.sort()
    return taken


def _button(number: int, row: list[int], chain: Chain) -> Button:
    angle = 2.4 * number  # on a spiral, none where another is
    far = METRES * math.sqrt((number + 0.5) / chain.buttons)
    return Button(
        f"button-{number + 1}",
        wifi={"up": False},
        lora=("sx1262", "sx1276")[number % 2],
        place=(far * math.cos(angle), far * math.sin(angle)),
        device={"board": "tbeam", "lora": {"plan": [row]}},
        plan={"board": "tbeam", "heap_kb": HEAP_KB},
    )


def _third_ms(steps: list[tuple[float, int]]) -> float:
    """When the contact closes for the third press: a closing after it was open for longer than it chatters."""
    closed, open_since = [], -1000.0
    for at_ms, level in steps:
        if level == 0 and at_ms - open_since > 50:
            closed.append(at_ms)
        if level == 1:
            open_since = at_ms
    return closed[2]
