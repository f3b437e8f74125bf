"""A small bench: the real gateway and mosquitto_sub, each at a broker of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_every_alarm_is_receipted_once(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sigap.cli", "bench", "--out", str(tmp_path), "--rate", "100", "--rounds", "1"]
    command += ["--peer", "sigap", "--peer", "naive", "--peer", "mosquitto_sub", "--seconds", "0.5", "--json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True, timeout=100)
    document = json.loads(done.stdout)
    assert document == json.loads((tmp_path / "results.json").read_text())
    assert [case["peer"] for case in document["cases"]] == ["sigap", "naive", "mosquitto_sub"]
    for case in document["cases"]:
        assert (case["sent"], case["missing"], case["doubled"]) == (50, 0, 0), case
        assert 0 < case["p50_ms"] <= case["p99_ms"] <= case["max_ms"]
    assert (tmp_path / "performance.svg").exists()
    assert list(tmp_path.glob("run-*")) == []  # nothing is left behind
