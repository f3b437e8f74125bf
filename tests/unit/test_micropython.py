"""Runs every file of tests/firmware again, under the real MicroPython: one suite, two interpreters."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = Path(sys.executable).parent / "micropython"
FOLDER = ROOT / "tests" / "firmware"
WEAR = "test_littlefs.py"  # takes seconds, and docs/firmware.md has the figures that it prints


def under_micropython(path: Path) -> str:
    """What the file printed; every test of it passed."""
    command = [MICROPYTHON, "-X", "heapsize=512k", FOLDER / "run_micropython.py", ROOT / "firmware", path]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("path", sorted(set(FOLDER.glob("test_*.py")) - {FOLDER / WEAR}), ids=lambda p: p.stem)
def test_under_micropython(path: Path) -> None:
    under_micropython(path)


def test_what_an_alarm_wears() -> None:
    page = (ROOT / "docs" / "firmware.md").read_text(encoding="utf-8")
    alarm, day = re.findall(r"wear: (\d+) bytes, ([\d.]+) erases", under_micropython(FOLDER / WEAR))
    assert f"{alarm[0]} bytes programmed and {alarm[1]} blocks of 4 KiB erased per alarm" in page
    assert f"{day[0]} bytes and no erase per day" in page
    assert day[1] == "0.0"
