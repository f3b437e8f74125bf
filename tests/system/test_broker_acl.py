"""What a device may do at the real broker, and what it may not: seen from outside, with Mosquitto's own
clients."""

from __future__ import annotations

import json
import os
import queue
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import paho.mqtt.client as paho
import pytest

from gateway.registry.devices import Device
from gateway.settings import load_settings
from gateway.settings_example import write_example
from panic_wire.keys import broker_password

LIMIT_S = 15


@dataclass(frozen=True)
class Login:
    name: str
    password: str


class Broker:
    """`sigap broker` with its own settings and devices."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.config = folder / "sigap.toml"
        write_example(self.config, {"broker.port": self.port})
        settings = load_settings(self.config, {})
        self.gateway = Login(settings.broker.username, settings.broker.password)
        self.pid_file = settings.broker_dir / "mosquitto.pid"
        self.log = folder / "broker.log"
        self.devices: dict[str, Login] = {}

    def start(self) -> None:
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                self._command("broker"),
                stdout=log,
                stderr=log,
                start_new_session=True,
                env=clean_environment(),
            )
        deadline = time.monotonic() + LIMIT_S
        while not (self.pid_file.exists() and reachable(self.port)):
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.02)

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(LIMIT_S)

    def sigap(self, *arguments: str) -> str:
        return subprocess.run(
            self._command(*arguments), capture_output=True, text=True, check=True, env=clean_environment()
        ).stdout

    def add(self, name: str) -> Login:
        file = self.config.with_name(f"{name}.json")
        told = json.loads(self.sigap("device", "add", name, "--out", str(file), "--json"))["broker_told"]
        assert told == hasattr(self, "process")
        settings = json.loads(file.read_text())
        root_key = bytes.fromhex(settings["root_key"])
        return Login(settings["device"], broker_password(root_key, int(settings["device"], 16)))

    def publish(self, login: Login | None, topic: str, message: str, *options: str) -> int:
        """mosquitto_pub with QoS 1; its exit code, 5 for a refused login."""
        who = ["-u", login.name, "-P", login.password] if login else []
        command = [
            "mosquitto_pub",
            "-p",
            str(self.port),
            *who,
            "-t",
            topic,
            "-m",
            message,
            "-q",
            "1",
            *options,
        ]
        return subprocess.run(command, capture_output=True, timeout=LIMIT_S, check=False).returncode

    def login_settles(self, login: Login, exit_code: int) -> None:
        """Mosquitto takes a SIGHUP in its next round: try until it answers like this."""
        deadline = time.monotonic() + LIMIT_S
        while self.publish(login, up(login), "x") != exit_code:
            assert time.monotonic() < deadline, self.log.read_text()
            time.sleep(0.05)

    def _command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "sigap.cli", *arguments, "--config", str(self.config)]


class Listener:
    """A connected MQTT client that does not reconnect; remembers what came and whether it was thrown out."""

    def __init__(self, broker: Broker, login: Login, *patterns: str) -> None:
        self.messages: queue.Queue[tuple[str, str]] = queue.Queue()
        self.gone = threading.Event()
        subscribed = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=login.name, reconnect_on_failure=False)
        self.client.username_pw_set(login.name, login.password)
        self.client.on_message = lambda _c, _u, m: self.messages.put((m.topic, m.payload.decode()))
        self.client.on_disconnect = lambda *_: self.gone.set()
        self.client.on_subscribe = lambda *_: subscribed.set()
        self.client.on_connect = lambda c, *_: c.subscribe([(pattern, 1) for pattern in patterns])
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert subscribed.wait(LIMIT_S)

    def next(self) -> tuple[str, str]:
        return self.messages.get(timeout=LIMIT_S)

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def clean_environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("SIGAP_")}


def reachable(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def up(login: Login) -> str:
    return f"sigap/v1/d/{login.name}/up"


def down(login: Login) -> str:
    return f"sigap/v1/d/{login.name}/down"


def state(login: Login) -> str:
    return f"sigap/v1/d/{login.name}/state"


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    if shutil.which("mosquitto_pub") is None:
        pytest.fail("mosquitto_pub is missing: apt install mosquitto-clients")
    broker = Broker(tmp_path_factory.mktemp("broker"))
    for name in ("shop-1", "school-1"):
        broker.devices[name] = broker.add(name)
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def shop(broker: Broker) -> Login:
    return broker.devices["shop-1"]


@pytest.fixture
def school(broker: Broker) -> Login:
    return broker.devices["school-1"]


def test_device_and_gateway_reach_each_other(broker: Broker, shop: Login):
    with (
        Listener(broker, broker.gateway, "sigap/v1/#") as gateway,
        Listener(broker, shop, down(shop)) as device,
    ):
        assert broker.publish(broker.gateway, down(shop), "receipt") == 0  # ends the gateway's other connection
        assert device.next() == (down(shop), "receipt")
        assert gateway.gone.wait(LIMIT_S)
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        assert broker.publish(shop, up(shop), "frame") == 0
        assert broker.publish(shop, state(shop), "online") == 0
        assert [gateway.next(), gateway.next()] == [(up(shop), "frame"), (state(shop), "online")]


def test_device_cannot_publish_in_anothers_name(broker: Broker, shop: Login, school: Login):
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        forbidden = [
            up(school),
            state(school),
            down(school),
            down(shop),
            "sigap/v1/b/base/up",
            f"{up(shop)}/x",
        ]
        for topic in forbidden:
            assert broker.publish(shop, topic, "forged") == 0  # MQTT 3.1.1 cannot say no; nothing arrives
        assert broker.publish(shop, up(shop), "own") == 0
        assert gateway.next() == (up(shop), "own")
        assert gateway.messages.empty()


def test_devices_will_cannot_speak_for_another(broker: Broker, shop: Login, school: Login):
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        device = paho.Client(paho.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
        device.username_pw_set(shop.name, shop.password)
        device.will_set(state(school), "offline", qos=1, retain=True)
        connected = threading.Event()
        device.on_connect = lambda *_: connected.set()
        device.connect("127.0.0.1", broker.port)
        device.loop_start()
        connected.wait(LIMIT_S)
        device.socket().shutdown(socket.SHUT_RDWR)  # without DISCONNECT: the broker sends the will, if it may
        device.loop_stop()
        assert broker.publish(shop, up(shop), "after") == 0
        assert gateway.next() == (up(shop), "after")
        assert gateway.messages.empty()


def test_device_hears_only_its_own_answers(broker: Broker, shop: Login, school: Login):
    everything = (
        "#",
        "+/+/+/+/+",
        "$SYS/#",
        down(school),
        up(school),
        f"$share/g/{down(school)}",
        down(shop),
    )
    with Listener(broker, shop, *everything) as device, Listener(broker, school, down(school)) as other:
        assert broker.publish(broker.gateway, down(school), "for the school") == 0
        assert other.next() == (down(school), "for the school")
        assert broker.publish(broker.gateway, down(shop), "for the shop") == 0
        heard = {device.next()}
        assert heard == {(down(shop), "for the shop")}
        # Overlapping subscriptions may bring the same message again, but never another one.
        while not device.messages.empty():
            assert device.next() in heard


def test_device_cannot_end_anothers_connection(broker: Broker, shop: Login, school: Login):
    with (
        Listener(broker, school, down(school)) as victim,
        Listener(broker, broker.gateway, "sigap/v1/#") as gateway,
    ):
        for client_id in (school.name, broker.gateway.name):
            assert broker.publish(shop, up(shop), "hello", "-i", client_id) == 0
            assert gateway.next() == (up(shop), "hello")
        gateway.client.publish(down(school), "still there?", qos=1)
        assert victim.next() == (down(school), "still there?")
        assert not victim.gone.is_set()
        assert not gateway.gone.is_set()


def test_nobody_without_the_right_password(broker: Broker, shop: Login, school: Login):
    refused = 5
    assert broker.publish(None, up(shop), "x") == refused
    assert broker.publish(Login(shop.name, "wrong"), up(shop), "x") == refused
    assert broker.publish(Login(shop.name, ""), up(shop), "x") == refused
    assert broker.publish(Login(shop.name, school.password), up(shop), "x") == refused
    assert broker.publish(Login("ffffffff", shop.password), up(shop), "x") == refused
    assert broker.publish(Login(broker.gateway.name, shop.password), up(shop), "x") == refused


def test_packet_beyond_the_limit_ends_the_connection(broker: Broker, shop: Login):
    assert broker.publish(shop, up(shop), "x" * 5000) != 0
    assert broker.publish(shop, up(shop), "x" * 46) == 0


def test_device_added_while_the_broker_runs(broker: Broker):
    before = broker.pid_file.read_text()
    device = broker.add("new-1")
    broker.login_settles(device, 0)
    with Listener(broker, broker.gateway, "sigap/v1/#") as gateway:
        assert broker.publish(device, up(device), "frame") == 0
        assert gateway.next() == (up(device), "frame")
    assert broker.pid_file.read_text() == before
    assert broker.process.poll() is None


def test_revoked_device_is_thrown_out_and_refused(broker: Broker, shop: Login):
    device = broker.add("lost-1")
    broker.login_settles(device, 0)
    with Listener(broker, device, down(device)) as connected, Listener(broker, shop, down(shop)) as other:
        broker.sigap("device", "revoke", "lost-1")
        assert connected.gone.wait(LIMIT_S)
        broker.login_settles(device, 5)
        assert not other.gone.is_set()


def test_second_broker_says_the_port_is_taken(broker: Broker):
    done = subprocess.run(
        broker._command("broker"),
        capture_output=True,
        text=True,
        env=clean_environment(),
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"sigap: port {broker.port} for the broker is in use. End what listens there, or set [broker] port.\n"
    )


def test_broker_files_are_private_and_pid_is_the_brokers(broker: Broker):
    folder = broker.pid_file.parent
    assert int(broker.pid_file.read_text()) == broker.process.pid
    modes = {name: (folder / name).stat().st_mode & 0o777 for name in ("mosquitto.conf", "passwords", "acl")}
    assert set(modes.values()) == {0o600}
    assert not list(folder.glob("*.new"))


def test_killed_broker_is_not_signalled(tmp_path: Path):
    """Its pid file outlives it; the number may then belong to anything."""
    from gateway.broker.running import reload, running_pid

    broker = Broker(tmp_path)
    broker.start()
    folder = broker.pid_file.parent
    assert running_pid(folder) == broker.process.pid
    broker.process.send_signal(signal.SIGKILL)
    broker.process.wait(LIMIT_S)
    assert broker.pid_file.exists()
    assert not reload(folder)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as innocent:
        broker.pid_file.write_text(str(innocent.pid))
        assert not reload(folder)
        innocent.communicate(b"\n", timeout=LIMIT_S)
    assert innocent.returncode == 0


def test_starting_broker_survives_a_reload_and_has_the_newest_logins(tmp_path: Path):
    """Mosquitto writes its pid file, reads the passwords, and takes SIGHUP only then: until then it would
    die of it."""
    from gateway.broker.running import refresh, running_pid

    broker = Broker(tmp_path)
    folder, settings = broker.pid_file.parent, load_settings(broker.config, {}).broker
    crowd = [Device(number, f"d{number}", bytes(16)) for number in range(1, 20_001)]  # makes its start slow
    refresh(folder, settings, lambda: crowd)
    late = Device(0xFFFF, "late", bytes(16))
    code = "import sys; from gateway.broker.running import *; run(find_mosquitto(), Path(sys.argv[1]))"
    with broker.log.open("wb") as log:
        broker.process = subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + LIMIT_S
        while running_pid(folder) is None:
            assert time.monotonic() < deadline
        assert refresh(folder, settings, lambda: [late])
        login = Login("0000ffff", broker_password(late.root_key, late.id))
        while broker.publish(login, up(login), "x") != 0:
            assert broker.process.poll() is None, broker.log.read_text()
            assert time.monotonic() < deadline, broker.log.read_text()
        assert broker.process.poll() is None
    finally:
        broker.stop()


def test_missing_mosquitto_is_said_with_the_way_to_install_it(tmp_path: Path):
    # A PATH without it, in an interpreter where the usual places are empty too.
    broker = Broker(tmp_path)
    code = (
        "import sys; from gateway.broker import running; running.PLACES = (); "
        "from sigap.cli import main; sys.argv = ['sigap', 'broker', '--config', sys.argv[1]]; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(broker.config)],
        env={**clean_environment(), "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=LIMIT_S,
    )
    assert done.returncode == 3
    assert "apt install mosquitto" in done.stderr
    assert done.stderr.count("\n") == 1
