"""Nothing secret is readable: not in a log, however much it says, not in a page, not in what a command prints."""

from __future__ import annotations

import json
import stat
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from gateway_lab import (
    CALLBACK_SECRET,
    LIMIT_S,
    PASSWORD,
    SECRET,
    START_LIMIT_S,
    Broker,
    Button,
    GatewayProcess,
    lab,
    wait_until,
)

from gateway.clock import now_us
from gateway.registry.devices import find_device
from gateway.registry.logins import begin
from gateway.registry.operators import ADMINISTRATOR, add_operator, hash_password
from gateway.registry.people import add_owner, add_relative
from gateway.store import keys, schema
from panic_wire.frames import ALARM, Alarm, alarm_id
from panic_wire.keys import broker_password, downlink_key, uplink_key
from sigap.cli import sigap
from sigap.processes import free_port

RELATIVES_PASSWORD, OPERATORS_PASSWORD, WIFI_PASSWORD = "rahasia-keluarga", "rahasia-operator-1", "rahasia-wifi-toko"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Broker, GatewayProcess, dict[str, str]]]:
    with lab(tmp_path) as (broker, gateway, _):
        text = gateway.config.read_text().replace("[gateway]\n", '[gateway]\nlog_level = "debug"\n')
        gateway.config.write_text(text)
        with gateway.store.write() as conn:
            add_owner(conn, name="Toko", now_us=1)
            mail = f"user=budi&pass={RELATIVES_PASSWORD}&from=a@example.org&to=b@example.org"
            channel = f"mailto://127.0.0.1:{free_port()}/?{mail}"
            add_relative(conn, owner="Toko", name="Budi", channel=channel, now_us=1)
            channel = f"json://budi:{RELATIVES_PASSWORD}@127.0.0.1:{free_port()}/"
            add_relative(conn, owner="Toko", name="Ani", channel=channel, now_us=1)
        secrets = {
            "the broker's password": PASSWORD,
            "what we sign with": SECRET,
            "what callbacks are signed with": CALLBACK_SECRET,
            "a relative's password": RELATIVES_PASSWORD,
            "an operator's password": OPERATORS_PASSWORD,
            "the WiFi password": WIFI_PASSWORD,
        }
        yield broker, gateway, secrets


def run(gateway: GatewayProcess, *arguments: str, **environment: str) -> str:
    done = CliRunner().invoke(sigap, [*arguments, "--config", str(gateway.config)], env=environment)
    assert done.exit_code == 0, done.output
    return done.output


def pages(gateway: GatewayProcess, session: str, incident: str) -> str:
    found = []
    health = ("/health", "/health/ready", "/health/live", "/metrics")
    for path in ("/", f"/incidents/{incident}", "/troubles", "/operators", "/login", "/nowhere", *health):
        request = urllib.request.Request(f"http://127.0.0.1:{gateway.http_port}{path}", headers={"cookie": session})
        try:
            with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
                found.append(answer.read().decode())
        except urllib.error.HTTPError as error:
            found.append(error.read().decode())
    return "\n".join(found)


def test_no_log_page_or_output_shows_a_secret(running: tuple[Broker, GatewayProcess, dict[str, str]]) -> None:
    broker, gateway, secrets = running
    gateway.start()
    gateway.wait_healthy()
    out = gateway.folder / "shop-1.json"
    wifi = ("--wifi-ssid", "toko", "--out", str(out))
    said = run(gateway, "device", "add", "shop-1", "--owner", "Toko", *wifi, SIGAP_WIFI_PASSWORD=WIFI_PASSWORD)
    settings = json.loads(out.read_text())
    assert settings["wifi"]["password"] == WIFI_PASSWORD
    assert stat.S_IMODE(out.stat().st_mode) == 0o600
    root, number = bytes.fromhex(settings["root_key"]), int(settings["device"], 16)
    secrets["a root key"] = root.hex()
    secrets["a device's password"] = broker_password(root, number)
    secrets |= {"an uplink key": uplink_key(root, number).hex(), "a downlink key": downlink_key(root, number).hex()}
    master = keys.read_key(gateway.folder / "var" / keys.FILE)
    assert master is not None
    secrets["the master key"] = master.hex()
    with gateway.store.write() as conn:
        hashed = hash_password(OPERATORS_PASSWORD)
        operator = add_operator(conn, name="Siti", password_hash=hashed, role=ADMINISTRATOR, now_us=1)
        token = begin(conn, operator.id, now_us())
    secrets["a session"] = token

    with gateway.store.read() as conn:
        device = find_device(conn, "shop-1")
    assert device is not None
    button = Button(device, broker.port)
    try:
        activation = button.press()
        button.expect("receipt", activation)
        button.send(b'{"noise": 1}')
        button.send(button.frame(ALARM, Alarm(9).pack(), key=bytes(16)))
        incident = gateway.rows(schema.incidents)[0]["id"]
        gateway.say(incident, "accepted")

        def tried() -> bool:
            return all(each["last_error"] or each["done_at"] for each in gateway.rows(schema.deliveries))

        wait_until(tried, "a try of each delivery", START_LIMIT_S)
        wait_until(lambda: len(gateway.rows(schema.quarantine)) == 2, "the noise in quarantine")
    finally:
        button.close()
    for arguments in (("device", "list"), ("devices",), ("relative", "list", "Toko"), ("incidents",), ("quarantine",)):
        said += run(gateway, *arguments)
    said += run(gateway, "config", "show") + run(gateway, "key", "show")
    shown = {"a command": said, "a page": pages(gateway, f"sigap_session={token}", incident)}
    assert gateway.stop() == 0
    shown["the log"] = gateway.log.read_text()
    # The alarm's identity goes along, from its frame to what the outbox made of it.
    lines = [json.loads(line) for line in shown["the log"].splitlines()]
    alarm = alarm_id(number, activation)
    told = {each.get("destination", "taken") for each in lines if each.get("alarm") == alarm}
    assert {"taken", "relative:1", "relative:2", "backend:police"} <= told
    assert {each["incident"] for each in lines if "incident" in each} == {incident}
    assert "debug" in {each["level"] for each in lines}
    assert incident in shown["a page"]
    errors = json.dumps([row["last_error"] for row in gateway.rows(schema.deliveries)])
    for where, text in {**shown, "a delivery's error": errors}.items():
        for what, secret in secrets.items():
            if (what, where) != ("a session", "a page"):
                assert secret not in text, f"{what} is in {where}"
