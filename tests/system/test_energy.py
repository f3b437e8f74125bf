"""The table of days in docs/firmware.md against virtual hours of the firmware."""

from __future__ import annotations

from pathlib import Path

from sigap.energy import CASES, FIXED, run_day, table
from simulator.world.wiring import BOARDS

DOC = Path(__file__).parents[2] / "docs" / "firmware.md"
HOURS = {"mains": 0.1, "light": 3.0, "deep": 3.0}


def documented() -> dict[tuple[str, str, str], float]:
    rows = [line.strip("| ").split(" | ") for line in DOC.read_text().splitlines() if line.startswith("| ")]
    return {(row[0], row[1], row[2]): float(row[4]) for row in rows if len(row) == 5 and row[0] in BOARDS}


def test_the_documented_days_are_what_the_firmware_does() -> None:
    told = documented()
    assert {(mode, sky) for _, mode, sky in told} == {(mode, sky) for mode, sky, _ in CASES}
    days = [run_day(mode, FIXED, hours=hours) for mode, hours in HOURS.items()]
    for line in table(days):
        expected = told[line.board, line.mode, line.sky]
        assert abs(line.days - expected) < 0.1 * expected, (
            f"{line}: docs/firmware.md says {expected}; run `sigap energy`"
        )


def test_days_fall_from_deep_to_mains() -> None:
    told = documented()
    for board, wired in BOARDS.items():
        light, mains = (told[board, mode, FIXED] for mode in ("light", "mains"))
        assert light > 5 * mains
        deep = told.get((board, "deep", FIXED))
        assert (deep is None) == (wired["sleep"]["deep"] == "no"), board
        assert deep is None or deep > light
