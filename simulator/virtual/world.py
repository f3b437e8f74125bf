"""A virtual world: boards, a broker, a gateway, under one clock and one seed."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from littlefs.errors import LittleFSError

from panic_wire.keys import broker_password
from panic_wire.topics import device_id
from simulator import image
from simulator.radio.air import Air
from simulator.virtual.bases import BaseLine
from simulator.virtual.board import Board, Plan
from simulator.virtual.broker import Broker
from simulator.virtual.gateway import Gateway, Store
from simulator.virtual.gps import Sky
from simulator.virtual.kernel import Kernel
from simulator.virtual.net import Service
from simulator.virtual.process import let_in
from simulator.virtual.trace import Trace
from simulator.world.gps import Receiver

BROKER = ("10.0.0.1", 1883)
BROKER_NAME = "broker.example"
RADIO_SKEW_US = 20_000


class Registry(Store, Protocol):
    """A store that can also register devices."""

    def register(
        self, name: str, *, index: int, broker: tuple[str, int], key: bytes, **settings: Any
    ) -> dict[str, Any]: ...
    def revoke(self, name: str, now_us: int) -> None: ...


def root_key(seed: int, button: str) -> bytes:
    """The root key of a button of the world with this seed."""
    return hashlib.sha256(f"{seed}/{button}/key".encode()).digest()[:16]


@dataclass
class Button:
    """A board to be made. settings go to its registration. track: (s, lat, lon) of its receiver; None: no GPS."""

    name: str
    settings: dict[str, Any] = field(default_factory=dict)
    wifi: dict[str, Any] = field(default_factory=dict)
    networks: list[dict[str, str]] = field(default_factory=list)
    track: list[tuple[float, float, float]] | None = None
    sky: str = "open"
    ticks_ms: int = 0
    device: dict[str, Any] = field(default_factory=dict)  # what more goes to its /device.json
    by_name: bool = False  # the broker is given by name, so that it is looked up
    plan: dict[str, Any] = field(default_factory=dict)
    lora: str = ""  # the chip of its radio, where the board has one
    place: tuple[float, float] = (0.0, 0.0)  # metres east and north


class VirtualWorld:
    """Use as a context manager. folder: for images, consoles and the store; make_store(folder) opens it."""

    def __init__(
        self,
        folder: Path,
        buttons: list[Button],
        *,
        seed: int,
        make_store: Callable[[Path], Registry],
        firmware: Path = image.FIRMWARE,
    ) -> None:
        let_in(len(buttons))
        self.seed, self._folder = seed, folder
        self.kernel, self.trace = Kernel(), Trace()
        self.air = Air(self.kernel, seed)
        self.chance = random.Random(f"{seed}/world")
        self.store = make_store(folder)
        self.broker = Broker(self.kernel, self.trace, {})
        self.services: dict[tuple[str, int], Service] = {
            BROKER: self.broker.service,
            (BROKER_NAME, BROKER[1]): self.broker.service,
        }
        self.gateway = Gateway(self.kernel, self.trace, self.broker, self.store, random.Random(f"{seed}/gateway"))
        self.boards: dict[str, Board] = {}
        self.stations: dict[str, Board] = {}  # base stations, and the gateway's end of their lines
        self.bases: dict[str, BaseLine] = {}
        self.device_names: dict[str, str] = {}  # board -> device's eight hex digits
        self._base = folder / ".firmware.img"
        try:
            image.build(self._base, image.firmware_files(firmware))
            for button in buttons:
                self.add(button)
        except BaseException:
            self.__exit__()
            raise

    def add(self, button: Button) -> Board:
        """One more board, off; also while the world runs."""
        index = len(self.boards)
        key = root_key(self.seed, button.name)
        host = BROKER_NAME if button.by_name else BROKER[0]
        settings = self.store.register(button.name, index=index, broker=(host, BROKER[1]), key=key, **button.settings)
        settings |= button.device
        self.broker.accounts[settings["device"]] = broker_password(key, device_id(settings["device"])).encode()
        self.device_names[button.name] = settings["device"]
        if button.networks:
            settings["wifi"] = {**button.networks[0], "more": button.networks[1:]}
        path = self._folder / f"{button.name}.img"
        shutil.copyfile(self._base, path)
        image.write_files(path, {"device.json": json.dumps(settings).encode()})
        sky = None
        if button.track is not None:
            chance = random.Random(f"{self.seed}/{button.name}/sky")
            sky = Sky(Receiver(track=button.track, talker="GN"), chance, button.sky)
        plan = Plan(
            button.name,
            self._folder,
            path,
            self.seed,
            index,
            wifi=button.wifi,
            networks=button.networks,
            sky=sky,
            ticks_ms=button.ticks_ms,
            air=self.air,
            lora=button.lora,
            place=(*button.place, 0.0),
            **button.plan,
        )
        board = self.boards[button.name] = Board(plan, self.kernel, self.trace, self.services)
        if board.electrics.radio:
            self.kernel.skew_us = RADIO_SKEW_US
        return board

    def add_base(self, name: str, row: list[int] | None = None, *, place: tuple[float, float] = (0.0, 0.0)) -> Board:
        """A base station at a serial port of the gateway, off. row: of its plan (firmware/panic/radio_settings.py)."""
        index = 0x1000 + len(self.stations)
        path = self._folder / f"{name}.img"
        shutil.copyfile(self._base, path)
        settings = {"base": f"{0xB0000000 + index:08x}", "board": "tbeam", "lora": {"plan": [row]} if row else {}}
        image.write_files(path, {"base.json": json.dumps(settings).encode()})
        line = self.bases[name] = self.gateway.add_base()
        plan = Plan(name, self._folder, path, self.seed, index, air=self.air, board="tbeam", place=(*place, 5.0))
        plan.on_line = line.printed
        board = line.board = self.stations[name] = Board(plan, self.kernel, self.trace, self.services)
        self.kernel.skew_us = RADIO_SKEW_US
        return board

    def __enter__(self) -> VirtualWorld:
        return self

    def __exit__(self, *_: object) -> None:
        for board in (*self.boards.values(), *self.stations.values()):
            board.close()
        self.store.close()

    def start(self, *, spread_us: int = 3_000_000) -> None:
        """Power for everything; the boards within `spread_us` after one another."""
        self.gateway.start()
        for board in (*self.stations.values(), *self.boards.values()):
            self.kernel.at(self.chance.randrange(spread_us), board.power_on, board)

    def kill_broker(self) -> None:
        self.broker.kill()
        self.gateway.broker_lost()

    def run(self, until_s: float) -> None:
        """Let it be `until_s` seconds after the start."""
        self.kernel.run(int(until_s * 1e6))

    def journal(self, name: str) -> list[str]:
        """The names in a board's journal, as its flash holds them."""
        return journal(self._folder / f"{name}.img")


def journal(flash: Path) -> list[str]:
    """The names in the journal on a flash image; none on one that has never run."""
    try:
        found = image.read_files(flash, "/journal")
    except LittleFSError as error:
        if error.code != LittleFSError.Error.LFS_ERR_NOENT:
            raise
        return []
    return sorted(path.rsplit("/", 1)[1] for path in found)
