"""docs/firmware.md says what the firmware does: the table of lights, the stages."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

from panic.device import STAGES
from panic.lights import BLUE, GREEN, OFF, RED, STEADY, TABLE, WHITE, YELLOW

ROOT = Path(__file__).resolve().parents[3]
PAGE = (ROOT / "docs" / "firmware.md").read_text(encoding="utf-8")
COLOURS = {RED: "red", BLUE: "blue", GREEN: "green", YELLOW: "yellow", WHITE: "white", 0: ""}


def test_the_table_of_lights() -> None:
    section = PAGE.split("## What the person sees and hears")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")][2:]
    told = [tuple(cell.strip() for cell in row[1:]) for row in rows]
    patterns = {OFF: "off", STEADY: "on"}
    made = [
        (patterns.get(led) or ", ".join(map(str, led)), COLOURS[colour], str(tones), str(shakes))
        for led, colour, tones, shakes in TABLE
    ]
    assert told == made


def test_the_picture_of_an_alarms_life() -> None:
    picture = PAGE.split("stateDiagram-v2")[1].split("```")[0]
    steps = re.findall(r"(\w+|\[\*\]) --> (\w+|\[\*\])", picture)
    assert steps == [("[*]", STAGES[0]), *itertools.pairwise(STAGES), (STAGES[-1], "[*]")]
