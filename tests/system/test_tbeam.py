"""A virtual T-Beam: the unmodified firmware through its power chip, in realtime and in virtual time."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.store.schema import devices
from sigap.story.gateway import Gateway
from sigap.story.parts import Broker
from sigap.story.waiting import wait_until
from sigap.story.world import Board, World
from simulator.image import FIRMWARE
from simulator.testing import one_board
from simulator.world.wiring import BOARDS
from tests.system.virtual_lab import SITE, shop, virtual

PMU = """
import json
from hal.boards.tbeam import PARTS
from hal.pmu import Axp192
from machine import I2C, Pin
irq = Pin(35)
said = [irq.value()]
pmu = Axp192(*PARTS["pmu"])
said += [irq.value(), pmu.battery_mv(), pmu.on_mains()]
pmu.gps(False)
bus = I2C(0, sda=Pin(21), scl=Pin(22))
said += [bus.readfrom_mem(0x34, 0x12, 1)[0]]
pmu.gps(True)
said += [bus.readfrom_mem(0x34, 0x12, 1)[0], bus.readfrom_mem(0x34, 0x33, 1)[0], bus.scan()]
try:
    bus.readfrom_mem(0x35, 0x03, 1)
except OSError as error:
    said.append(error.errno)
print(json.dumps(said))
try:
    bus.readfrom_mem(0x34, 0xEE, 1)
except NotImplementedError as error:
    print(error)
"""


def said(client, start: str) -> str:
    return client.event(lambda e: e["event"] == "console" and e["text"].startswith(start))["text"]


def with_hal(folder: Path, main: str) -> str:
    """The main.py, with hal and panic of the shipped firmware beside it."""
    for package in ("hal", "panic"):
        shutil.copytree(FIRMWARE / package, folder / "firmware" / package)
    return main


def test_the_driver_on_the_bus(tmp_path: Path) -> None:
    with one_board(tmp_path, with_hal(tmp_path, PMU), board="tbeam", battery_mv=3700, usb=True) as client:
        seen: list[dict[str, Any]] = []
        client.event(lambda e: bool(seen.append(e)) or str(e.get("text")).startswith("virtual board"))
        printed = [event["text"] for event in seen if event["event"] == "console"]
        figures = json.loads(printed[0])
        assert figures == [0, 1, 3700, True, 0b0011, 0b1011, 0xC4, [0x34], 19]
        assert printed[1:] == ["virtual board: AXP192: there is no REG EEH"]
        faults = [event["message"] for event in seen if event["event"] == "i2c-fault"]
        assert faults == ["AXP192: there is no REG EEH"]


def test_a_chip_that_switches_itself_off(tmp_path: Path) -> None:
    main = "from machine import I2C, Pin\nI2C(0, sda=Pin(21), scl=Pin(22)).writeto_mem(0x34, 0x12, b'\\x00')\n"
    with one_board(tmp_path, main, board="tbeam") as client:
        client.event(lambda e: e["event"] == "unpowered")
        client.event(lambda e: e["event"] == "power" and not e["on"])
        assert client.boards()[0]["state"] == "off"


def test_a_battery_behind_a_divider(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    divider = {"divider": {"pin": 35, "top_ohm": 100_000, "bottom_ohm": 100_000}}
    monkeypatch.setitem(BOARDS, "made", {**BOARDS["devkit"], "battery": divider})
    main = """
import time
from hal.battery import Battery
battery = Battery(35, 100000, 100000)
before = 0
while True:
    found = battery.battery_mv()
    if found != before:
        print("battery", found)
        before = found
    time.sleep_ms(20)
"""
    with one_board(tmp_path, with_hal(tmp_path, main), board="made", battery_mv=4100) as client:
        assert said(client, "battery") == "battery 4100"
        client.battery("b", battery_mv=3300)
        assert said(client, "battery") == "battery 3300"
        client.battery("b", battery_mv=0)
        assert said(client, "battery") == "battery 0"


def battery_of(board: Board, gateway: Gateway) -> int | None:
    with board._stage.local.store.read() as conn:
        row = conn.execute(devices.select().where(devices.c.name == board.name)).first()
    return json.loads(row.heartbeat)["battery_mv"] if row and row.heartbeat else None


def test_a_press_and_the_battery_at_the_gateway(world: World, broker: Broker, gateway: Gateway) -> None:
    board = world.board("tas", kind="tbeam")
    wait_until(board._clock, lambda: battery_of(board, gateway) == 3899, "the battery in a heartbeat", 10, board.seen)
    board.press(3)
    gateway.waits_for_alarm(of=board)
    board.shows("received")
    board.client.battery(board.name, battery_mv=3520)
    board.reset()  # what connects sends a heartbeat; the power chip stays as it is
    wait_until(
        board._clock, lambda: battery_of(board, gateway) == 3520, "the new battery in a heartbeat", 20, board.seen
    )
    assert not [line for line in board.console() if "trouble" in line]


def test_in_virtual_time() -> None:
    button = shop("tas", settings={"board": "tbeam"}, track=[(0.0, *SITE)], plan={"board": "tbeam"})
    with virtual(button) as world:
        board = world.boards["tas"]
        world.run(100)
        assert board.electrics.feeds("gps")
        assert not board.electrics.feeds("lora")
        console = list(board.console)
        assert any("mqtt: connected" in line for line in console)
        assert not any("trouble" in line for line in console)
