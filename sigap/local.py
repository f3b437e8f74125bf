"""A whole Sigap on this machine: broker, gateway, police desk and a world of virtual buttons, in one folder.

The parts are the commands that a polres runs (`sigap broker`, `sigap gateway`), each a process of its own, and the
simulator's (`sigap police-desk`, `sigap world`). Tests compose the same class and kill its parts.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.backend_settings import DEFAULT_KIND
from gateway.broker.running import find_mosquitto
from gateway.clock import now_us
from gateway.commands.options import refresh_broker
from gateway.registry.devices import Device, add_device, find_device
from gateway.registry.logins import LINK, begin
from gateway.registry.operators import ADMINISTRATOR, add_operator, find_hash, hash_password
from gateway.registry.people import add_owner, add_relative, list_relatives, revoke_relative
from gateway.registry.phones import invitation_link, invite
from gateway.registry.provision import device_settings
from gateway.registry.units import add_unit, list_units
from gateway.settings import Settings, load_settings
from gateway.settings_example import write_example
from gateway.store.engine import Store, open_store
from gateway.store.schema import devices as device_rows
from sigap import far_sides
from sigap.links import CALLBACKS, TO_BROKER, TO_MAIL, TO_POLICE, Links, of_board
from sigap.problem import Problem
from sigap.processes import Processes, require_free, sigap_command
from simulator.faults.client import FaultClient
from simulator.world.client import WorldClient
from simulator.world.settings import HEAP_KB

BROKER, GATEWAY, POLICE, MAIL, WORLD, FAULTS = "broker", "gateway", "police-desk", "mail-sink", "world", "fault-proxy"
READY_LIMIT_S = 30.0
UNITS = ("Patroli contoh 1", "Patroli contoh 2")
RELATIVE, OPERATOR = "Keluarga contoh", "Operator contoh"
SERIAL = "serial"  # the folder of the boards' serial ports
LEAST_FREE_BYTES = 28 << 20  # the database, the logs
BUTTON_BYTES = 2 << 20  # a flash image
BUTTON_START_S = 1.5  # many of them start one after the other


@dataclass(frozen=True)
class Ports:
    """Where the parts listen, on the loopback interface only."""

    broker: int = 18883
    gateway: int = 8470
    police: int = 8480
    mail: int = 8425
    phone: int = 0  # the broker's WebSocket for phones; 0: none


@dataclass(frozen=True)
class Button:
    """A virtual button. gps: as in a world file; site: (name, latitude, longitude) of a fixed one; board: its kind."""

    name: str
    owner: str
    silent: bool = False
    site: tuple[str, float, float] | None = None
    gps: dict[str, Any] | None = None
    board: str = "devkit"
    settings: dict[str, Any] = field(default_factory=dict)  # what more its /device.json says
    heap_kb: int = HEAP_KB
    wifi: dict[str, Any] = field(default_factory=dict)  # of its access point, as in a world file
    place: tuple[float, float] = (0.0, 0.0)  # metres east and north, for its radio

    @property
    def has_lora(self) -> bool:
        return "lora" in self.settings


@dataclass(frozen=True)
class Base:
    """A virtual base station for LoRa, at a serial port of the gateway."""

    name: str
    base: str  # its id
    place: tuple[float, float] = (0.0, 0.0)
    board: str = "tbeam"


# Two places in Semarang, written as anybody reads them off a map.
BUTTONS = (
    Button(
        "citizen-1",
        "Warga contoh",
        gps={"track": [[0, -6.99040, 110.42290], [120, -6.98930, 110.42160], [240, -6.99040, 110.42290]]},
    ),
    Button("shop-1", "Toko contoh", silent=True, site=("Toko contoh, Simpang Lima", -6.99320, 110.42030)),
)
# A T-Beam has 8 MiB of PSRAM; without it WiFi and LoRa together do not fit, and the button takes WiFi alone.
PSRAM_KB = 200
# Without WiFi: what it says goes over LoRa to a base station at a serial port.
MARKET = Button(
    "market-1",
    "Pedagang contoh",
    site=("Pasar contoh, Johar", -6.97230, 110.42370),
    board="tbeam",
    settings={"lora": {}},
    wifi={"up": False},
    heap_kb=PSRAM_KB,
)
BASES = (Base("base-1", "b0000001", place=(60.0, 0.0)),)


@dataclass
class Local:
    """folder: everything it writes. auto: what the police desk sends by itself, {stage: seconds after acceptance}.

    backend: the kind of police system it is bridged to (gateway.backend_settings.KINDS).
    faults: put a proxy on every link (sigap.links), which `fault_client` controls.
    serial: the buttons have serial ports (Linux).
    """

    folder: Path
    ports: Ports = Ports()
    buttons: tuple[Button, ...] = BUTTONS
    bases: tuple[Base, ...] = ()
    auto: dict[str, float] = field(default_factory=dict)
    faults: bool = False
    serial: bool = False
    backend: str = DEFAULT_KIND

    def __post_init__(self) -> None:
        self.folder = self.folder.absolute()
        self.config = self.folder / "sigap.toml"
        self.mails = self.folder / "mails"
        self.processes = Processes(self.folder / "logs")
        self.links = Links(self.folder, self.faults)
        self.settings: Settings
        self.store: Store

    @property
    def police_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.police}/"

    @property
    def health_url(self) -> str:
        return f"http://127.0.0.1:{self.ports.gateway}/health"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the folder, so that two cannot run in it. Problem when one does."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / "run.lock").open("w") as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                raise Problem(
                    f"`sigap run` is running already in {self.folder}", "End that one, or give another --dir"
                ) from error
            yield

    def prepare(self) -> None:
        """Check what must be there, write the settings where there are none, register the buttons, write the world."""
        find_mosquitto()
        for port, what in (
            (self.ports.broker, "broker"),
            (self.ports.gateway, "gateway"),
            (self.ports.police, "police desk"),
            (self.ports.mail, "mail sink"),
            *([(self.ports.phone, "phone WebSocket")] if self.ports.phone else []),
        ):
            require_free(port, what, f"End what listens there, or choose another with --{what.split()[0]}-port")
        free, needed = shutil.disk_usage(self.folder).free, LEAST_FREE_BYTES + BUTTON_BYTES * len(self.buttons)
        if free < needed:
            raise Problem(
                f"the disk of {self.folder} has {free >> 20} MiB free, and {needed >> 20} are needed",
                "Free some space, or give another --dir",
            )
        self.links.prepare(self._link_targets())
        write_example(self.config, {"gateway.data_dir": "data", **far_sides.settings_of(self.backend)})
        load_settings(self.config)  # what is wrong in the file is said before our ports cover it
        self.settings = load_settings(self.config, {**os.environ, **self._environment()})
        if not self.settings.backends:
            raise Problem(f"{self.config} has no [[backends]]", f"Delete {self.folder} to begin anew")
        if (kind := self.settings.backends[0].kind) != self.backend:
            todo = f"Say --backend {kind}, or give another --dir"
            raise Problem(f"{self.folder} was begun with a backend of kind {kind}, not {self.backend}", todo)
        self.store = open_store(self.settings.store_url)
        with self.store.write() as conn:
            for name in set(UNITS) - set(list_units(conn)):
                add_unit(conn, name, now_us())
            devices = {button.name: self._registered(conn, button) for button in self.buttons}
        self.write_world(self.folder / "boards.json", [(button, devices[button.name]) for button in self.buttons])

    def add_button(self, button: Button) -> Device:
        """Register one more button after prepare(), and tell the broker where one runs. Problem when there is one."""
        with self.store.read() as conn:
            if find_device(conn, button.name) is not None:
                raise Problem(f"a button is named {button.name} already", "Give this one another name")
        self.links.add(of_board(button.name), self.ports.broker)
        with self.store.write() as conn:
            device = self._registered(conn, button)
        refresh_broker(self.settings, self.store)
        return device

    def write_world(self, path: Path, buttons: list[tuple[Button, Device]]) -> None:
        """Write a world file with these buttons, for its owner only: it holds the keys of the devices."""
        boards = [
            {
                "name": button.name,
                "device": {
                    **device_settings(
                        device,
                        broker_host=self.settings.device_broker_host,
                        broker_port=self.links.port(of_board(button.name)),
                        wifi_ssid="sigap",
                        board=button.board,
                    ),
                    **button.settings,
                },
                "gps": button.gps,
                "heap_kb": button.heap_kb,
                "serial": self.serial,
                "wifi": button.wifi,
                "place": button.place,
            }
            for button, device in buttons
        ]
        boards += [
            {"name": base.name, "base": {"base": base.base, "board": base.board}, "place": base.place, "serial": True}
            for base in self.bases
        ]
        part = path.with_name(f"{path.name}.part")
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump({"boards": boards}, file)
        os.replace(part, path)

    def start_all(self, limit_s: float = READY_LIMIT_S) -> None:
        """Start every part; returns when the gateway is healthy and has heard every button."""
        since_us = now_us()
        if self.faults:
            self.start(FAULTS)
            self.processes.wait_until(self.links.ready, "the start of the fault proxy", limit_s)
        self.start(BROKER, GATEWAY, POLICE, MAIL)
        self.processes.wait_until(lambda: bool(self.health().get("ok")), "a healthy gateway", limit_s)
        self.processes.wait_until(
            lambda: far_sides.answers(self.backend, self.ports.police), "an answer of the police desk", limit_s
        )
        # A heartbeat that reaches the broker before the gateway has ever subscribed is lost: so the buttons come last.
        self.start(WORLD)
        self.processes.wait_until((self.folder / "world.json").exists, "the start of the world", limit_s)
        limit_s += BUTTON_START_S * len(self.buttons)
        names = [button.name for button in self.buttons if not button.has_lora]  # over LoRa a heartbeat takes its time
        self.processes.wait_until(lambda: self.heard(names, since_us), "the start of the virtual buttons", limit_s)

    def start(self, *names: str, **environment: str) -> None:
        """Start these parts, with these variables on top of theirs; returns at once."""
        for name in names:
            env = {**self._environment(), **self._links_of(name), **self._secrets(name), **environment}
            self.processes.start(name, self._command(name), env)

    def health(self) -> dict[str, Any]:
        """The gateway's /health, or {} while nobody answers."""
        try:
            with urllib.request.urlopen(self.health_url, timeout=5) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)
        except OSError:
            return {}

    def world(self) -> WorldClient:
        """A new connection to the world, to press and to look at pins."""
        return WorldClient.find(self.folder)

    def fault_client(self) -> FaultClient:
        """A new connection to the fault proxy."""
        return FaultClient.find(self.folder)

    def device(self, name: str) -> Device:
        """The registered device of a button."""
        with self.store.read() as conn:
            found = find_device(conn, name)
        assert found is not None
        return found

    def heard(self, names: list[str], since_us: int = 0) -> bool:
        """Whether the gateway has heard every one of these buttons since then."""
        heard = sa.select(sa.func.count()).where(device_rows.c.name.in_(names), device_rows.c.last_heard_at >= since_us)
        with self.store.read() as conn:
            return conn.execute(heard).scalar_one() == len(names)

    def stop(self) -> None:
        """End every part, and let the store go."""
        self.processes.stop_all()
        if hasattr(self, "store"):
            self.store.close()

    def _environment(self) -> dict[str, str]:
        """On top of this process's: where things are, and what no command line should show."""
        return {
            "SIGAP_CONFIG": str(self.config),
            "SIGAP_BROKER__PORT": str(self.ports.broker),
            "SIGAP_HTTP__PORT": str(self.ports.gateway),
            "SIGAP_BROKER__PHONE_PORT": str(self.ports.phone),
            "SIGAP_PHONE__RELATIVE_MAIL": self.mail_address("{to}"),
            "SIGAP_PHONE__CODE_CHANNEL": self.mail_address("{to}"),
            "SIGAP_PHONE__SELF_REGISTRATION": "approved",
            "PYTHONUNBUFFERED": "1",
        }

    def _link_targets(self) -> dict[str, int]:
        """{link: the port where its far end listens}."""
        ports = self.ports
        boards = {of_board(button.name): ports.broker for button in self.buttons}
        return {
            TO_BROKER: ports.broker,
            TO_POLICE: ports.police,
            TO_MAIL: ports.mail,
            CALLBACKS: ports.gateway,
            **boards,
        }

    def _links_of(self, name: str) -> dict[str, str]:
        if name != GATEWAY:
            return {}
        return {
            "SIGAP_BROKER__PORT": str(self.links.port(TO_BROKER)),
            "SIGAP_BASES__PORTS": ",".join(str(self.folder / SERIAL / base.name) for base in self.bases),
            **far_sides.reached_at(self.backend, self.links.port(TO_POLICE)),
        }

    def _secrets(self, name: str) -> dict[str, str]:
        if name != POLICE:
            return {}
        return far_sides.secrets_of(self.settings.backends[0])

    def _command(self, name: str) -> list[str]:
        if name == WORLD:
            return sigap_command("world", "--config", str(self.folder / "boards.json"), "--run-dir", str(self.folder))
        if name == MAIL:
            return sigap_command("mail-sink", "--port", str(self.ports.mail), "--dir", str(self.mails))
        if name == FAULTS:
            return sigap_command("fault", "proxy", "--links", str(self.links.path), "--run-dir", str(self.folder))
        if name != POLICE:
            return sigap_command(name, "--config", str(self.config))
        backend = self.settings.backends[0]
        callbacks = f"http://127.0.0.1:{self.links.port(CALLBACKS)}/v1/backends/{backend.name}/status"
        return sigap_command(*far_sides.command(self.backend, self.ports.police, callbacks, self.auto))

    def _registered(self, conn: Any, button: Button) -> Device:
        found = find_device(conn, button.name)
        if found is None:
            add_owner(conn, name=button.owner, now_us=now_us())
            name, lat, lon = button.site or (None, None, None)
            found = add_device(
                conn,
                name=button.name,
                owner=button.owner,
                silent=button.silent,
                site_name=name,
                site_lat=lat,
                site_lon=lon,
                now_us=now_us(),
            )
        self._register_relative(conn, button, found)
        return found

    def _register_relative(self, conn: Any, button: Button, device: Device) -> None:
        """The owner's one relative, reached at the mail sink of this run."""
        listed = {one.name: one.channel for one in list_relatives(conn, owner_id=device.owner_id)}
        if listed.get(RELATIVE) == self.channel():
            return
        if RELATIVE in listed:
            revoke_relative(conn, button.owner, RELATIVE, now_us())
        add_relative(conn, owner=button.owner, name=RELATIVE, channel=self.channel(), now_us=now_us())

    def login_link(self) -> str:
        """A link that logs the demonstration's operator in, once, within ten minutes."""
        with self.store.write() as conn:
            found, _ = find_hash(conn, OPERATOR)
            if found is None:
                # Nobody knows this password: the way in is a link.
                hashed = hash_password(secrets.token_urlsafe(24))
                found = add_operator(conn, name=OPERATOR, password_hash=hashed, role=ADMINISTRATOR, now_us=now_us())
            token = begin(conn, found.id, now_us(), LINK)
        return f"http://127.0.0.1:{self.ports.gateway}/link?t={token}"

    def channel(self, to: str = "keluarga") -> str:
        """The mail sink as Apprise's address of who is called so."""
        return self.mail_address(f"{to}@example.org")

    def mail_address(self, to: str) -> str:
        """The mail sink as Apprise's address of a mail address."""
        return f"mailto://127.0.0.1:{self.links.port(TO_MAIL)}/?from=sigap@example.org&to={to}&mode=insecure"

    def invitation(self, owner: str | None = None) -> str:
        """A link that makes a phone of whoever opens it, once."""
        with self.store.write() as conn:
            token = invite(conn, invited_by="sigap run", now_us=now_us(), owner=owner)
        return invitation_link(self.settings.phone_base, token)
