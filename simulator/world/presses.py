"""A thumb on a button, as a script of levels: [(milliseconds, level)].

Level 0 is pressed: the contact closes to ground.
"""

from __future__ import annotations

import random

from simulator.world.protocol import ProtocolError

Script = list[tuple[float, int]]

STEPS_LIMIT = 10_000
LENGTH_LIMIT_MS = 600_000
DOWN_MS = 90
GAP_MS = 210


def presses(
    count: int = 3, down_ms: float = DOWN_MS, gap_ms: float = GAP_MS, bounce_ms: float = 0, seed: int = 0
) -> Script:
    """`count` presses.

    With `bounce_ms` each contact chatters that long after it opens or closes (3 to 7 extra pairs of edges).
    """
    if not 1 <= count <= 1000:
        raise ProtocolError("bad-request", "presses must be between 1 and 1000")
    chance = random.Random(seed)
    script: Script = []
    at = 0.0
    for _ in range(count):
        for level, lasts in ((0, down_ms), (1, gap_ms)):
            script.append((at, level))
            if bounce_ms:
                moments = sorted(chance.uniform(0, bounce_ms) for _ in range(2 * chance.randint(3, 7)))
                script += [(at + moment, (level + 1 + index) % 2) for index, moment in enumerate(moments)]
            at += lasts
    return script


def checked(script: object) -> Script:
    """A script from outside; raises ProtocolError when it is not [[ms, level], ...] in order, or too long."""
    if not isinstance(script, list) or not 1 <= len(script) <= STEPS_LIMIT:
        raise ProtocolError("bad-request", f"a script has 1 to {STEPS_LIMIT} steps [ms, level]")
    steps: Script = []
    for step in script:
        if not (isinstance(step, list | tuple) and len(step) == 2 and all(isinstance(n, int | float) for n in step)):
            raise ProtocolError("bad-request", "a step is [ms, level]")
        if step[1] not in (0, 1) or not 0 <= step[0] <= LENGTH_LIMIT_MS or (steps and step[0] < steps[-1][0]):
            raise ProtocolError("bad-request", f"steps go forward in time, to {LENGTH_LIMIT_MS} ms, with level 0 or 1")
        steps.append((float(step[0]), int(step[1])))
    return steps


def count_presses(edges: list[dict]) -> list[dict]:
    """[{"down_at", "up_at"}] from the edges sent, chatter joined (closer than 20 ms).

    Times as in the edges (Unix ms).
    """
    found: list[dict] = []
    for edge in edges:
        if edge["value"] == 0:
            if not found or (found[-1]["up_at"] is not None and edge["at"] - found[-1]["up_at"] >= 20):
                found.append({"down_at": edge["at"], "up_at": None})
            else:
                found[-1]["up_at"] = None
        elif found:
            found[-1]["up_at"] = edge["at"]
    return found
