"""The broker stops, dies, or is not there: the alarm arrives when it is back, and the button was never rebooted."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sigap.local import BROKER, GATEWAY, POLICE, WORLD, Local
from simulator.world.client import WorldClient
from tests.system.local_lab import (
    CITIZEN,
    committed,
    event_kinds,
    local,
    prepared,
    received_by_police,
    running,
    says,
    wait_until,
)

NAME = CITIZEN.name
STOPPED_S = 10.0
BACK_LIMIT_S = 15.0  # the firmware's longest pause before it connects again is 5 s, the gateway's less


def press_and_wait(one: Local, world: WorldClient, away: Callable[[], None], back: Callable[[], None]) -> float:
    """Seconds from the broker's return to the commit."""
    since = max((entry["seq"] for entry in world.pins(NAME)), default=0)
    away()
    pressed_at = world.press(NAME)["presses"][2]["down_at"]
    says(world, NAME, "sending", since)
    assert committed(one) == []
    back()
    returned = time.monotonic()
    wait_until(lambda: committed(one), "the alarm at the gateway", BACK_LIMIT_S)
    took = time.monotonic() - returned
    says(world, NAME, "received", since)
    wait_until(lambda: "accepted" in event_kinds(one), "accepted")
    # A frame that waited in the broker says an age that has grown meanwhile; the next one puts it right.
    wait_until(lambda: abs(committed(one)[0]["pressed_at"] / 1000 - pressed_at) < 1000, "the true press time")
    assert len(committed(one)) == 1
    told = [each["body"]["type"] for each in received_by_police(one, at_least=1)]
    assert told.count("id.sigap.incident.opened.v1") == 1
    assert set(told) <= {"id.sigap.incident.opened.v1", "id.sigap.incident.updated.v1"}
    (state,) = [each for each in world.boards() if each["name"] == NAME]
    assert state["resets"] == 0
    assert not [line for line in world.console(NAME) if "crashed" in line]
    return took


def test_stopped_for_ten_seconds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(local(tmp_path)) as one, one.world() as world:
        broker = one.processes.pid(BROKER)

        def back() -> None:
            time.sleep(max(0.0, stopped_at + STOPPED_S - time.monotonic()))  # the fault's length is the point
            os.kill(broker, signal.SIGCONT)

        stopped_at = time.monotonic()
        try:
            took = press_and_wait(one, world, lambda: os.kill(broker, signal.SIGSTOP), back)
        finally:
            os.kill(broker, signal.SIGCONT)
    with capsys.disabled():
        print(f"\nbroker stopped for {STOPPED_S:g} s: the alarm was committed {took:.2f} s after it went on")


def test_killed_and_started_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with running(local(tmp_path)) as one, one.world() as world:
        took = press_and_wait(one, world, lambda: one.processes.kill(BROKER), lambda: one.processes.restart(BROKER))
    with capsys.disabled():
        print(f"\nbroker killed: the alarm was committed {took:.2f} s after its start")


def test_absent_at_the_start(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with prepared(local(tmp_path)) as one:
        one.start(GATEWAY, POLICE, WORLD)
        wait_until(lambda: (one.folder / "world.json").exists(), "the world")
        with one.world() as world:
            world.wait_running(NAME)
            wait_until(lambda: "broker-not-connected" in one.health().get("problems", []), "the gateway's trouble")
            wait_until(lambda: any("mqtt: no connection" in line for line in world.console(NAME)), "a vain attempt")
            took = press_and_wait(one, world, lambda: None, lambda: one.start(BROKER))
    with capsys.disabled():
        print(f"\nbroker absent at the start: the alarm was committed {took:.2f} s after its start")
