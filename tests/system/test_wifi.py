"""The button's WiFi (hal/wifi.py, hal/joining.py) on a virtual board in virtual time: several networks, what goes wrong
with each, and what is kept of the last good connection."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from simulator import image
from simulator.virtual.world import VirtualWorld
from tests.system.virtual_lab import shop, virtual

FIRMWARE = Path(__file__).parents[2] / "firmware"
NEEDED = ("hal/__init__", "hal/wifi", "hal/joining", "panic/__init__", "panic/ticks", "mqtt/flag", "panic/files")
MAIN = """
import asyncio, sys, time
from hal.board import Wifi  # hal/wifi.py is joined with it

wifi = Wifi()

async def main():
    began = time.ticks_ms()
    def up():
        print("up on %s after %d ms" % (wifi.ssid, time.ticks_diff(time.ticks_ms(), began)))
        print("unloaded", "hal.joining" not in sys.modules)
        if ANSWERS:
            wifi.answered()
    asyncio.create_task(wifi.run(NETWORKS, KEEP, up))
    said = None
    while True:
        await asyncio.sleep_ms(50)
        if wifi.trouble != said:
            said = wifi.trouble
            print("trouble", said)

asyncio.run(main())
"""
HOME = {"ssid": "home", "password": "home-password"}
NEXT = {"ssid": "next", "password": "next-password", "rssi_dbm": -75}
STRONG = {"rssi_dbm": -50, "channel": 11}


def world(tmp_path: Path, *points: dict[str, Any], keep: bool = False, answers: bool = True) -> Any:
    """A board that knows both networks, among these access points."""
    folder = tmp_path / "firmware"
    for name in NEEDED:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FIRMWARE / f"{name}.py", folder / f"{name}.py")
    networks = [(each["ssid"], each["password"]) for each in (HOME, NEXT)]
    main = MAIN.replace("NETWORKS", repr(networks)).replace("KEEP", repr(keep)).replace("ANSWERS", repr(answers))
    (folder / "main.py").write_text(main)
    return virtual(shop("b", wifi={**points[0], "more": list(points[1:])}), firmware=folder)


def said(world: VirtualWorld, words: str, since: int = 0) -> list[str]:
    return [line for line in list(world.boards["b"].console)[since:] if words in line]


def hint(world: VirtualWorld) -> dict[str, Any] | None:
    found = image.read_files(world.boards["b"].plan.image, "/state")
    return json.loads(found["state/wifi"]) if "state/wifi" in found else None


def test_who_comes_first_is_preferred_and_the_other_takes_over(tmp_path: Path) -> None:
    with world(tmp_path, HOME, {**NEXT, "rssi_dbm": -40}) as one:
        board = one.boards["b"]
        one.run(20)
        assert len(said(one, "up on home")) == 1
        assert said(one, "unloaded True")
        board.set_wifi(up=False)
        one.run(32)  # 4 s for the driver, then the absent one is given up before its turn is over
        assert len(said(one, "up on next")) == 1
        assert said(one, "trouble no-network")
        assert said(one, "trouble None")[-1:]
        board.set_wifi(up=True)
        one.run(60)
        assert not said(one, "connection lost", 8)  # nothing that works is left
        board.set_wifi(1, up=False)
        one.run(80)
        assert len(said(one, "up on home")) == 2
        assert board.resets == 0


def test_a_refused_password_is_said_and_the_next_tried(tmp_path: Path) -> None:
    with world(tmp_path, {**HOME, "password": "another"}, NEXT) as one:
        one.run(15)
        assert said(one, "trouble password")
        assert len(said(one, "up on next")) == 1


def test_a_scan_only_when_all_have_failed(tmp_path: Path) -> None:
    with world(tmp_path, {**HOME, "up": False}, {**NEXT, "up": False}, {**HOME, "up": False, **STRONG}) as one:
        board = one.boards["b"]
        for point in (0, 2):
            board.set_wifi(point, password="changed")  # in the air for the scan, and joined by nobody
            board.set_wifi(point, up=True)
        one.run(60)
        assert len(said(one, "access points in the air")) == 1  # one in many rounds
        assert said(one, "trouble no-network")
        for point in (0, 2):
            board.set_wifi(point, password=HOME["password"])
        one.run(90)
        assert len(said(one, "up on home")) == 1
        # The stronger of the two was chosen, and is kept with its channel.
        assert hint(one) == {**(hint(one) or {}), "ssid": "home", "bssid": [2, 0, 0, 0, 0, 2], "channel": 11}


@pytest.mark.parametrize("answers", [True, False])
def test_the_address_of_last_time(tmp_path: Path, answers: bool) -> None:
    # Asked for in 1.5 s by DHCP; the second start has it from flash. When nobody answers there, it asks again.
    with world(tmp_path, {**HOME, "dhcp_ms": 1500}, NEXT, keep=True, answers=answers) as one:
        board = one.boards["b"]
        one.run(20)
        kept = hint(one)
        assert kept
        assert (kept["ssid"], kept["address"][0]) == ("home", "127.0.0.1")
        erases = sum(board.erases.values())
        board.reset("hard")
        one.run(75)
        times = [int(line.split()[4]) for line in said(one, "up on home")]
        assert times[1] < times[0] - 1000
        assert len(said(one, "asking for a new one")) == (0 if answers else 1)
        assert len(times) == (2 if answers else 3)
        assert sum(board.erases.values()) == erases, "written only when it has changed"


def test_a_kept_place_that_is_gone_costs_a_moment(tmp_path: Path) -> None:
    with world(tmp_path, HOME, NEXT) as one:
        board = one.boards["b"]
        one.run(20)
        board.set_wifi(up=False)
        board.reset("hard")
        one.run(40)
        assert len(said(one, "up on next")) == 1
        after = hint(one)
        assert after
        assert after["ssid"] == "next"
