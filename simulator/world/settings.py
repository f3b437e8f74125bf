"""A world file: which boards there are, where they are, what is on their flash. TOML or JSON."""

from __future__ import annotations

import json
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigap.problem import USAGE, Problem
from simulator import image
from simulator.world import wiring
from simulator.world.gps import Receiver, receiver

# An access point; "more": further ones, each with any of these. None for ssid and password takes any.
WIFI: dict[str, Any] = {
    "up": True,
    "ssid": None,
    "password": None,
    "rssi_dbm": -60,
    "join_ms": 50,
    "dhcp_ms": 0,
    "channel": 6,
    "portal": None,
    "more": [],
}
HEAP_KB = 140  # of a board without PSRAM, docs/simulator.md
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
EXAMPLE = '[[boards]]\nname = "shop-1"\ndevice = "shop-1.json"\ngps = { site = [-6.9932, 110.4203] }'


@dataclass
class BoardSettings:
    """One virtual board.

    device: what goes to /device.json (None: whatever the image has); files: further files; gps: None when
    no receiver is wired; wifi: as WIFI above; ticks_ms: what ticks_ms
    says at power-on (to test its wrap). board: how it is wired, a name of boards.json ("": as `device` says).
    battery_mv: None is a fresh battery, where it has one; usb: a plug is in, as a PMU sees it. heap_kb: for the
    firmware; 140 kB of this 64-bit interpreter stand for about 96 kB of an ESP32. serial: it has a serial port, and
    so a prompt (Linux). lora: the chip of its radio, sx1262 or sx1276 ("": what the board is sold with). place: metres
    east and north, for who hears whose radio.
    """

    name: str
    image: Path
    device: dict[str, Any] | None = None
    files: dict[str, bytes] = field(default_factory=dict)
    gps: Receiver | None = None
    wifi: dict[str, Any] = field(default_factory=dict)
    on: bool = True
    heap_kb: int = HEAP_KB
    button_pin: int = -1  # that of the board
    ticks_ms: int = 0
    reflash: bool = True
    serial: bool = False
    board: str = ""
    battery_mv: int | None = None
    usb: bool = False
    lora: str = ""
    place: tuple[float, float] = (0.0, 0.0)

    def __post_init__(self) -> None:
        self.board = self.board or wiring.kind_of(self.device)
        if self.button_pin < 0:
            self.button_pin = wiring.BOARDS[self.board]["button"]["pin"]


@dataclass
class WorldSettings:
    """firmware: the folder that is flashed. The limits bound crash loops: see simulator.world.board."""

    boards: list[BoardSettings]
    firmware: Path = image.FIRMWARE
    restarts: int = 10
    steady_s: float = 10.0


def _table(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Problem(f"{what} must be a table", f"For example: {EXAMPLE!r}", USAGE)
    return value


def _device(value: object, folder: Path) -> dict[str, Any] | None:
    if value is None or isinstance(value, dict):
        return value
    path = folder / str(value)
    try:
        return _table(json.loads(path.read_text()), str(path))
    except OSError as error:
        raise Problem(
            f"cannot read the device settings {path} ({error.strerror})", "Provision the device first", USAGE
        ) from error
    except ValueError as error:
        raise Problem(f"{path} is not JSON ({error})", "Provision the device again", USAGE) from error


def _board(value: object, folder: Path) -> BoardSettings:
    table = dict(_table(value, "each of boards"))
    name = table.pop("name", None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise Problem(f"a board's name is {name!r}", "Use a-z, 0-9, - and _, at most 40", USAGE)
    gps, device = table.pop("gps", None), _device(table.pop("device", None), folder)
    path = folder / table.pop("image", f"{name}.img")
    simple = {"on": bool, "heap_kb": int, "button_pin": int, "ticks_ms": int, "reflash": bool, "serial": bool}
    simple |= {"wifi": dict, "board": str, "battery_mv": int, "usb": bool, "lora": str}
    for key, kind in simple.items():
        if key in table and not isinstance(table[key], kind):
            raise Problem(f"{name}: {key} must be of type {kind.__name__}", "Correct the world file", USAGE)
    base = table.pop("base", None)
    place = table.pop("place", (0.0, 0.0))
    if not isinstance(place, (list, tuple)) or len(place) != 2 or not all(isinstance(m, (int, float)) for m in place):
        raise Problem(f"{name}: place is {place!r}", "Give metres east and north: [0, 250]", USAGE)
    if table.get("lora", "") not in ("", "sx1262", "sx1276"):
        raise Problem(f"{name}: there is no radio {table['lora']!r}", "There are sx1262 and sx1276", USAGE)
    if unknown := set(table) - set(simple):
        known = ["base", "device", "gps", "image", "name", "place", *simple]
        raise Problem(f"{name}: unknown {', '.join(sorted(unknown))}", f"A board has {', '.join(sorted(known))}", USAGE)
    if table.get("board", wiring.DEFAULT) not in wiring.BOARDS:
        known = ", ".join(wiring.BOARDS)
        raise Problem(f"{name}: there is no board {table['board']!r}", f"There are {known}", USAGE)
    if unknown := set(table.get("wifi", {})) - set(WIFI):
        raise Problem(f"{name}: wifi has no {', '.join(sorted(unknown))}", f"It has {', '.join(WIFI)}", USAGE)
    heard = None if gps is None else receiver(gps)
    files = {}
    if base is not None:
        files["base.json"] = json.dumps(_table(base, f"{name}: base")).encode()
        table.setdefault("board", wiring.kind_of(base))
    where = (float(place[0]), float(place[1]))
    return BoardSettings(name=name, image=path, device=device, gps=heard, place=where, files=files, **table)


def from_dict(value: object, folder: Path) -> WorldSettings:
    """Settings from a parsed world file; its paths are relative to `folder`. Raises Problem."""
    table = _table(value, "a world file")
    listed = table.get("boards", [])
    boards = [_board(one, folder) for one in (listed if isinstance(listed, list) else [listed])]
    if not boards:
        raise Problem("a world needs at least one board", f"For example: {EXAMPLE!r}", USAGE)
    names = [board.name for board in boards]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise Problem(f"two boards are named {', '.join(twice)}", "Give each its own name", USAGE)
    firmware = folder / table["firmware"] if "firmware" in table else image.FIRMWARE
    return WorldSettings(boards=boards, firmware=firmware)


def load(path: Path) -> WorldSettings:
    """Read a world file (.toml, else JSON)."""
    try:
        text = path.read_text()
    except OSError as error:
        raise Problem(
            f"cannot read the world file {path} ({error.strerror})", "Name one with --config", USAGE
        ) from error
    try:
        value = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    except ValueError as error:
        raise Problem(f"{path} cannot be parsed: {error}", "Correct it", USAGE) from error
    return from_dict(value, path.parent)
