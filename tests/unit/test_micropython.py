"""Runs every file of tests/firmware again, under the real MicroPython: one suite, two interpreters."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MICROPYTHON = Path(sys.executable).parent / "micropython"
FILES = sorted((ROOT / "tests" / "firmware").glob("test_*.py"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_under_micropython(path: Path) -> None:
    runner = ROOT / "tests" / "firmware" / "run_micropython.py"
    command = [MICROPYTHON, "-X", "heapsize=512k", runner, ROOT / "firmware", path]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
