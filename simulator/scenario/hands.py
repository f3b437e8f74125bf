"""Hands on a button, drawn from a seed: how long it is down, how long up, how often, and how the contact chatters.

- steady: key presses of 116.2 ms (standard deviation 23.9) at intervals of 238.7 ms (111.6), the means of 168,000
  people (Dhakal, Feit, Kristensson, Oulasvirta: Observations on Typing from 136 Million Keystrokes, CHI 2018, table 1).
- frightened: nobody has published presses of frightened people on a panic button. So, an assumption: the same
  distribution, widened by half, with up to four presses more than asked for, and one in five hands that pauses in
  the middle for up to 0.8 s.
- the contact: chatter with a mean of 1.6 ms and 6.2 ms at most, after closing and opening (Ganssle, A Guide to
  Debouncing, 2008: 18 kinds of switches, mean 1557 us, worst 6200 us but for one).
"""

from __future__ import annotations

import random

from simulator.world.presses import DOWN_MS, GAP_MS, Script

DOWN = (116.2, 23.9)
INTERVAL = (238.7, 111.6)
CHATTER_MEAN_MS, CHATTER_MOST_MS = 1.6, 6.2
LEAST_MS = 45.0  # no thumb is faster
MORE_PRESSES = 4
RESTART = -1
PAUSES, PAUSE_MS = 0.2, 800.0


def script(hands: str, presses: int, chance: random.Random, *, bounce: bool) -> Script:
    """[(ms, level)], level 0 is pressed."""
    if hands == "frightened":
        presses += chance.randint(0, MORE_PRESSES)
    pause_at = chance.randrange(1, presses) if hands == "frightened" and presses > 1 and chance.random() < PAUSES else 0
    steps: Script = []
    at = 0.0
    for number in range(presses):
        down, up = _press(hands, chance)
        if pause_at and number == pause_at - 1:
            up += chance.uniform(0, PAUSE_MS)
        for level, lasts in ((0, down), (1, up)):
            steps.append((at, level))
            if bounce:
                steps += _chatter(at, level, chance)
            at += lasts
    return steps


def _press(hands: str, chance: random.Random) -> tuple[float, float]:
    if hands == "clean":
        return DOWN_MS, GAP_MS
    wide = 1.5 if hands == "frightened" else 1.0
    down = max(LEAST_MS, chance.gauss(DOWN[0], DOWN[1] * wide))
    interval = max(down + LEAST_MS, chance.gauss(INTERVAL[0], INTERVAL[1] * wide))
    return down, interval - down


def _chatter(at: float, level: int, chance: random.Random) -> Script:
    length = min(CHATTER_MOST_MS, chance.expovariate(1 / CHATTER_MEAN_MS))
    moments = sorted(chance.uniform(0, length) for _ in range(2 * chance.randint(0, 5)))
    return [(at + moment, (level + 1 + index) % 2) for index, moment in enumerate(moments)]


def gestures(
    steps: Script, window_ms: float = 2000, gap_ms: float = 1000, quiet_ms: float = 30
) -> list[tuple[float, float]]:
    """(first, third press) of each gesture, in ms: the design's activation, found without the firmware's code.

    Three presses inside the window, each gap bounded; the next press begins a new gesture. At a level of RESTART the
    board starts, and what was pressed before is forgotten.
    """
    found: list[tuple[float, float]] = []
    run: list[float] = []
    level, last = 1, -1e9
    for at, new in steps:
        if new == RESTART:
            run = []
            continue
        if new == 0 and level == 1 and at - last > quiet_ms:
            if run and at - run[-1] > gap_ms:
                run = []
            run = [*(each for each in run if at - each <= window_ms), at]
            if len(run) == 3:
                found.append((run[0], at))
                run = []
        level, last = new, at
    return found
