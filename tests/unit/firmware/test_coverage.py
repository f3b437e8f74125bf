"""The tests of tests/firmware, in one process under coverage: nearly every line of panic and panic_wire runs there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LEAST_PERCENT = 95
# Lines that only MicroPython runs (its AES), or only CPython (its stand-ins), are counted like any other.


@pytest.mark.timeout(300)
def test_lines_of_the_firmware_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data, found = tmp_path / ".coverage", tmp_path / "coverage.json"
    run = [sys.executable, "-m", "coverage"]
    tests = ["-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests/firmware"]
    places = "firmware/panic/*,firmware/panic_wire/*"
    done = subprocess.run(
        [*run, "run", f"--data-file={data}", f"--include={places}", *tests],
        cwd=ROOT, capture_output=True, text=True, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:]
    subprocess.run([*run, "json", "-q", f"--data-file={data}", "-o", str(found)], cwd=ROOT, check=True, timeout=60)
    report = json.loads(found.read_text())
    least = sorted((one["summary"]["percent_covered"], name) for name, one in report["files"].items())
    percent = report["totals"]["percent_covered"]
    with capsys.disabled():
        print(f"\nfirmware: {percent:.1f} % of the lines of panic and panic_wire; least: {least[:3]}")
    missing = {name: one["missing_lines"] for name, one in report["files"].items() if one["missing_lines"]}
    assert percent >= LEAST_PERCENT, missing
