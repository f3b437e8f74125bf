"""The MQTT client over TLS against a real Mosquitto: whom it trusts, whom it refuses, and what a board's clock does.

The certificates are those that `sigap broker` makes, or bad ones.
"""

from __future__ import annotations

import base64
import json
import signal
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from gateway.broker.certificates import BEGIN, NAME, Issued, device_tls, ensure, issue
from tests.system import mqtt_lab
from tests.system.gateway_lab import Broker
from tests.system.mqtt_lab import Server, node

AUTHORITY = issue("authority")
NOW = datetime.now(UTC)

USE = """
from mqtt.tls import context
ca = open({folder!r} + "/ca.der", "rb").read()
one = client(ssl=context(ca), server_hostname={name!r}, timeout_ms=3000)
one.on_down = lambda: say("cause %s" % one.cause)
asyncio.create_task(one.run())
await one.publish("t", b"x", timeout_ms=15000)
say("acknowledged")
"""


class TlsBroker(Broker):
    """Mosquitto with this certificate, or what lies in the folder; clients: whose certificates it wants of them."""

    def __init__(self, folder: Path, server: Issued | None = None, clients: Issued | None = None) -> None:
        if server:
            (folder / "server.pem").write_bytes(server.pem)
            (folder / "server.key").write_bytes(server.key_pem)
        self._more = f"certfile {folder}/server.pem\nkeyfile {folder}/server.key\nuser root\n"
        if clients:
            (folder / "clients.pem").write_bytes(clients.pem)
            self._more += f"cafile {folder}/clients.pem\nrequire_certificate true\n"
        super().__init__(folder)

    def start(self) -> None:
        if self._more not in self.config.read_text():
            self.config.write_text(self.config.read_text() + self._more)
        super().start()


interpreter = mqtt_lab.interpreter


@pytest.fixture
def brokers() -> Iterator[list[TlsBroker]]:
    started: list[TlsBroker] = []
    yield started
    for broker in started:
        broker.kill()


def use(folder: Path, name: str = NAME, authority: bytes = AUTHORITY.der) -> str:
    (folder / "ca.der").write_bytes(authority)
    return USE.format(folder=str(folder), name=name)


def test_sigaps_own_certificate(interpreter: str, brokers: list[TlsBroker], tmp_path: Path) -> None:
    ensure(tmp_path, "127.0.0.1")
    own = [path.read_bytes() for path in sorted(tmp_path.glob("*.*"))]
    ensure(tmp_path, "127.0.0.1")
    assert [path.read_bytes() for path in sorted(tmp_path.glob("*.*"))] == own, "made once"
    der = base64.b64decode(device_tls(tmp_path)["ca"])
    brokers.append(TlsBroker(tmp_path))
    with node(interpreter, brokers[0].port, use(tmp_path, authority=der), tmp_path) as button:
        button.line("acknowledged")
        assert button.end() == 0
    # The clock of a board that nobody has told the time.
    if interpreter == "micropython":
        before = ["faketime", "2000-01-01 00:00:05"]
        with node(interpreter, brokers[0].port, use(tmp_path, authority=der), tmp_path, before) as button:
            button.line("acknowledged")
    # The host's own name is in it too: an address is a name like another.
    with node(interpreter, brokers[0].port, use(tmp_path, "127.0.0.1", der), tmp_path) as button:
        button.line("acknowledged")


WRONG = {"authority": "tls", "name": "tls", "expired": "tls", "early": "early"}


@pytest.mark.parametrize("wrong", WRONG)
def test_whom_it_refuses(interpreter: str, brokers: list[TlsBroker], tmp_path: Path, wrong: str) -> None:
    by = issue("another authority") if wrong == "authority" else AUTHORITY
    begin = NOW + timedelta(days=1 if wrong == "early" else -9)
    end = NOW + timedelta(days=-1 if wrong == "expired" else 9)
    hosts = ("another-broker",) if wrong == "name" else (NAME,)
    brokers.append(TlsBroker(tmp_path, issue("broker", by, hosts=hosts, begin=begin, end=end)))
    with node(interpreter, brokers[0].port, use(tmp_path), tmp_path) as button:
        button.line("no connection")
        button.line(f"cause {WRONG[wrong]}")
        button.line(f"cause {WRONG[wrong]}")  # and again, without end
        assert "acknowledged" not in button.lines
    assert "Client dev" not in brokers[0].log.read_text()  # nobody has seen its password


def test_a_server_without_tls(interpreter: str, tmp_path: Path) -> None:
    with Server() as server, node(interpreter, server.port, use(tmp_path), tmp_path) as button:
        sock, _ = server.accept()
        with sock:
            assert sock.recv(2) == b"\x16\x03"  # a handshake, and no CONNECT
            sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            button.line("cause tls")


def test_a_client_certificate(brokers: list[TlsBroker], tmp_path: Path) -> None:
    server = issue("broker", AUTHORITY, hosts=(NAME,))
    brokers.append(TlsBroker(tmp_path, server, clients=AUTHORITY))
    client = issue("dev", AUTHORITY, client=True)
    (tmp_path / "c.der").write_bytes(client.der)
    (tmp_path / "k.der").write_bytes(client.key_der)
    with node("micropython", brokers[0].port, use(tmp_path), tmp_path) as button:
        button.line("no connection")
        assert "acknowledged" not in button.lines
    read = f'open("{tmp_path}/%s.der", "rb").read()'
    body = use(tmp_path).replace("context(ca)", f"context(ca, {read % 'c'}, {read % 'k'})")
    with node("micropython", brokers[0].port, body, tmp_path) as button:
        button.line("acknowledged")


def test_a_line_over_tls_lives_and_hangs_as_any_other(brokers: list[TlsBroker], tmp_path: Path) -> None:
    brokers.append(TlsBroker(tmp_path, issue("broker", AUTHORITY, hosts=(NAME,))))
    body = use(tmp_path).rsplit("await one.publish", 1)[0] + (
        'for number in range(40):\n    await one.publish("t", b"z" * 600, timeout_ms=15000)\n'
        '    say("acknowledged %d" % number)\n    await asyncio.sleep(0.05)\nsay("all")\n'
    )
    body = body.replace("timeout_ms=3000", "timeout_ms=800")
    with node("micropython", brokers[0].port, body, tmp_path) as button:
        button.line("acknowledged 5")
        process = brokers[0].process
        assert process
        process.send_signal(signal.SIGSTOP)
        button.line("no PUBACK in 800 ms")
        button.line("no CONNACK in 800 ms")
        process.send_signal(signal.SIGCONT)
        button.line("all")


FORWARD = """
import json, time
class RTC:
    def datetime(self, fields):
        with open({folder!r} + "/now", "w") as file:
            file.write("%04d-%02d-%02d %02d:%02d:%02d" % (fields[:3] + fields[4:7]))
class Machine:
    pass
sys.modules["machine"] = Machine
Machine.RTC = RTC
from hal import clock
from panic.bearers import WifiBearer
from panic.settings import load
class Files:
    def read(self, path):
        with open({folder!r} + path, "rb") as file:
            return file.read()
settings = load(Files())
clock.at_least(settings.clock_floor_s)
say("starts in %d" % time.gmtime()[0])
bearer = WifiBearer(settings, print, lambda: say("up in %d-%02d" % time.gmtime()[:2]), say)
bearer.on_early = clock.forward
asyncio.create_task(bearer.run())
await asyncio.sleep(60)
"""


def test_a_board_without_a_clock_meets_another_authoritys_certificate(brokers: list[TlsBroker], tmp_path: Path) -> None:
    # It starts in 2000, knows from its provisioning that it is 2026, and the certificate begins in the next year.
    year = timedelta(days=365)
    server = issue("broker", AUTHORITY, hosts=(NAME,), begin=BEGIN + 27 * year, end=BEGIN + 27 * year + year / 4)
    brokers.append(TlsBroker(tmp_path, server))
    use(tmp_path)
    floor = int((BEGIN + 26.5 * year).timestamp())
    tls = {"ca": "/ca.der", "hostname": NAME, "not_before": floor}
    broker = {"host": "127.0.0.1", "port": brokers[0].port, "tls": tls}
    settings = {"device": "0000a1b2", "root_key": "00" * 16, "board": "x", "wifi": {"ssid": "x"}, "broker": broker}
    (tmp_path / "device.json").write_text(json.dumps(settings))
    (tmp_path / "now").write_text("2000-01-01 00:00:05")
    before = [
        "env",
        f"LD_PRELOAD={libfaketime()}",
        f"FAKETIME_TIMESTAMP_FILE={tmp_path / 'now'}",
        "FAKETIME_NO_CACHE=1",
    ]
    before.append("FAKETIME_DONT_FAKE_MONOTONIC=1")
    with node("micropython", brokers[0].port, FORWARD.format(folder=str(tmp_path)), tmp_path, before) as button:
        button.line("starts in 2026")
        assert "in the future" in button.line("no connection")
        begin = server.certificate.not_valid_before_utc
        assert button.line("up in", limit_s=40) in {f"up in {begin:%Y-%m}", f"up in {begin + timedelta(days=20):%Y-%m}"}


def libfaketime() -> str:
    """The library that the command preloads."""
    done = subprocess.run(["faketime", "now", "printenv", "LD_PRELOAD"], capture_output=True, text=True, check=True)
    return done.stdout.split(":")[-1].strip()
