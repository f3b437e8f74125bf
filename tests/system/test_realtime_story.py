"""The same scenario files in realtime: real boards, Mosquitto, gateway and links, and the same checkers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from simulator.scenario import load
from tests.system.local_lab import wait_until
from tests.system.test_scenarios import sigap
from tests.system.test_scenarios_end import descendants, is_alive

SHORT = """
title: Pressed while the line is dead, and seen by an operator
story: The line carries nothing for a moment, and just then somebody presses. The same file runs in both kinds of time.
length_s: 9.5
buttons:
  - {name: toko, site: [-6.9932, 110.4203]}
steps:
  - {at_s: 4.8, do: network, who: toko, up: false, down: false, for_s: 1.5}
  - {at_s: 5.0, do: press, who: toko, hands: steady}
  - {at_s: 8.5, do: operator, who: toko, stage: acknowledged}
expect:
  - {who: toko, alarms: 1, stage: acknowledged, shown: [sending, received], unreceipted: 0, online: true}
"""


def test_one_file_in_both_kinds_of_time(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(SHORT)
    virtual = json.loads(sigap("run", str(path), "--json").stdout)
    assert virtual["passed"], virtual["broken"]
    real = json.loads(sigap("run", str(path), "--realtime", "--json").stdout)
    assert real["passed"], real["broken"]
    assert real["realtime"]
    assert list(real["stages"]["toko"]) == list(virtual["stages"]["toko"]) == ["received", "accepted", "acknowledged"]
    assert 0.5 < real["stages"]["toko"]["received"] < 4
    for promise in ("receipt-is-commit", "identity-once", "counter-forward", "shown-is-true", "every-gesture"):
        assert real["checked"][promise] >= 1, promise


CANNOT = {
    "name-server-gone": "name-server-gone.yaml:7: names are looked up by this machine",
    "stolen-button-replayed": "stolen-button-replayed.yaml:12: do: replay",
    "crashes-with-an-alarm-open": "do: crash: a board in realtime has the memory that it has",
    "half-open-line": "one way alone cannot be closed",
    "a-week-of-heartbeats": "it lasts 604800 s",
    "battery-runs-out": "no battery drains",
    "spoofed-gps": "do: sky, spoof_m",
    "disk-full-at-the-gateway": "do: gateway, what: disk-full",
}


def test_what_realtime_cannot_do_is_said_by_name_and_line() -> None:
    listed = {each["scenario"]: each for each in json.loads(sigap("list", "--json").stdout)}
    for name, why in CANNOT.items():
        assert why in listed[name]["why_not_realtime"] or "it lasts" in listed[name]["why_not_realtime"], listed[name]
    assert sum(each["realtime"] for each in listed.values()) >= 20
    assert "not for realtime" in sigap("run", "stolen-button-replayed", "--realtime", expect=2).stderr
    lines = sigap("list").stdout.splitlines()
    assert sum(" realtime " in line for line in lines) == sum(each["realtime"] for each in listed.values())


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
def test_a_killed_realtime_story_leaves_no_process(tmp_path: Path) -> None:
    path = tmp_path / "short.yaml"
    path.write_text(SHORT)
    command = [sys.executable, "-m", "sigap.cli", "scenario", "run", str(path), "--realtime"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_until(lambda: any("micropython" in args for args in descendants(process.pid).values()), "a board", 60)
        below = descendants(process.pid)
    finally:
        process.kill()
        process.wait()
    wait_until(lambda: not any(is_alive(pid) for pid in below), "the end of every process below", 30)


def test_the_place_of_a_part_of_a_file() -> None:
    assert load.where("no-sky", ("length_s",)).endswith("no-sky.yaml:5")
