"""The gateway as a process, between a real broker and a button: what is receipted, what is refused, what
breaks."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from gateway.store.schema import alarms, devices, events, incidents
from panic_wire import topics
from panic_wire.frames import ALARM, STATUS, Alarm, Header, Status
from panic_wire.seal import seal
from tests.system.gateway_lab import LIMIT_S, Button, GatewayProcess, Lab, free_port, wait_until


def named() -> str:
    return f"shop-{secrets.token_hex(4)}"


def of_device(gateway: GatewayProcess, table: Any, button: Button) -> list[dict[str, Any]]:
    return [row for row in gateway.rows(table) if row["device_id"] == button.device.id]


def counts(gateway: GatewayProcess) -> dict[str, int]:
    return gateway.command("quarantine")["counts"]


def test_an_alarm_gets_its_receipt_and_a_heartbeat_too(running: Lab) -> None:
    _, gateway, button_of = running
    button = button_of(named())
    activation = button.press(age_ms=1500, lat_e7=-69900000, lon_e7=1104200000, accuracy_m=4, fix_age_s=2)
    button.expect("receipt", activation)
    (alarm,) = of_device(gateway, alarms, button)  # it was in the store before the receipt came
    assert alarm["received_at"] - alarm["pressed_at"] == 1_500_000
    assert (alarm["lat_e7"], alarm["lon_e7"], alarm["accuracy_m"]) == (-69900000, 1104200000, 4)
    assert alarm["received_at"] - alarm["fix_at"] == 2_000_000

    button.heartbeat(uptime_s=60, battery_mv=3900, firmware=(0, 1, 0))
    button.expect("receipt", 0)
    button.client.publish(topics.state(button.name), topics.ONLINE, qos=1, retain=True)
    wait_until(lambda: heard(gateway, button)["online"] is True, "online")
    assert heard(gateway, button)["heartbeat"]["battery_mv"] == 3900
    button.client.publish(topics.state(button.name), topics.OFFLINE, qos=1, retain=True)
    wait_until(lambda: heard(gateway, button)["online"] is False, "offline")


def heard(gateway: GatewayProcess, button: Button) -> dict[str, Any]:
    (row,) = [row for row in gateway.rows(devices) if row["id"] == button.device.id]
    return {**row, "heartbeat": json.loads(row["heartbeat"])}


def test_bad_input_is_counted_by_reason_and_stops_nobody(running: Lab) -> None:
    _, gateway, button_of = running
    hostile, good = button_of(named()), button_of(named())
    stranger = f"{hostile.device.id ^ 1:08x}"
    first = hostile.repeat(1)
    hostile.expect("receipt", 1)
    before = counts(gateway)
    alarm = hostile.frame(ALARM, Alarm(7).pack())
    ghost = Header(ALARM, 0, hostile.device.id ^ 1, 5, 5)
    bad: list[tuple[str, str, bytes]] = [
        ("empty", hostile.name, b""),
        ("too-short", hostile.name, alarm[:9]),
        ("bad-length", hostile.name, alarm[:-3]),
        ("not-sigap-v1", hostile.name, bytes([0x21]) + alarm[1:]),
        ("bad-tag", hostile.name, alarm[:-1] + bytes([alarm[-1] ^ 1])),
        ("bad-tag", hostile.name, hostile.frame(ALARM, Alarm(7).pack(), key=bytes(16))),
        ("replayed", hostile.name, first),
        ("unknown-device", stranger, seal(bytes(16), ghost, Alarm(1).pack())),
        ("topic-mismatch", good.name, alarm),
        ("json", hostile.name, b'{"sos": true, "lat": -6.99}'),
        ("too-long", hostile.name, secrets.token_bytes(1 << 20)),
        ("reserved-type", hostile.name, bytes([0x1F]) + alarm[1:]),
        ("bad-header", hostile.name, alarm[:1] + bytes([0x30]) + alarm[2:]),
        ("downlink-type", hostile.name, hostile_status(hostile)),
    ]
    for _, name, payload in bad:
        hostile.send(payload, topic=topics.up(name))
    hostile.client.publish(topics.state(hostile.name), b"perhaps", qos=1)
    activation = good.press()
    good.expect("receipt", activation)

    expected = {reason: 0 for reason, _, _ in bad} | {"bad-state": 1}
    for reason, _, _ in bad:
        expected[reason] += 1

    def difference() -> dict[str, int]:
        now = counts(gateway)
        return {reason: now.get(reason, 0) - before.get(reason, 0) for reason in expected}

    wait_until(lambda: sum(difference().values()) >= len(bad) + 1, "the quarantine of all")
    assert difference() == expected
    newest = gateway.command("quarantine")["newest"]
    assert all(len(bytes.fromhex(row["payload"])) <= 256 for row in newest)
    assert max(row["size_bytes"] for row in newest) == 1 << 20
    # The replayed alarm is committed: its receipt was given once more, and nothing else happened.
    hostile.expect("receipt", 1, counter=1)
    assert len(of_device(gateway, incidents, hostile)) == 1
    # Nobody is locked out for all that was sent in its name.
    hostile.press()
    assert hostile.heard.get(timeout=LIMIT_S)[0] == "receipt"


def hostile_status(button: Button) -> bytes:
    return seal(bytes(16), Header(STATUS, 1, button.device.id, 1, 1), Status(1).pack())


def test_a_repeated_alarm_is_receipted_again_and_has_no_second_effect(running: Lab) -> None:
    _, gateway, button_of = running
    button = button_of(named())
    activation = button.press(age_ms=100)
    button.expect("receipt", activation)
    for age_ms in (5_000, 9_000):
        button.repeat(activation, age_ms=age_ms, repeated=True)
        button.expect("receipt", activation)
    (alarm,) = of_device(gateway, alarms, button)
    assert alarm["counter"] == button.counter
    (incident,) = of_device(gateway, incidents, button)
    second = button.press()
    button.expect("receipt", second)
    assert [row["id"] for row in of_device(gateway, incidents, button)] == [incident["id"]]
    opened = [row for row in gateway.rows(events) if row["incident_id"] == incident["id"]]
    assert [row["kind"] for row in opened if row["kind"] != "press_time"] == ["opened", "alarm_joined"]


def test_stages_come_down_and_a_button_that_asks_again_is_told(running: Lab) -> None:
    _, gateway, button_of = running
    button = button_of(named())
    activation = button.press()
    button.expect("receipt", activation)
    (incident,) = of_device(gateway, incidents, button)
    for stage in ("accepted", "acknowledged", "dispatched"):
        assert gateway.say(incident["id"], stage)["changed"]
        button.expect(stage, activation)
    assert not gateway.say(incident["id"], "acknowledged")["changed"]  # never backwards
    button.repeat(activation, repeated=True)
    button.expect("receipt", activation)
    button.expect("dispatched", activation)
    assert gateway.say(incident["id"], "on_scene")["changed"]
    button.expect("on_scene", activation)  # answers the newest frame, as expect() checks
    joined = button.press()
    button.expect("receipt", joined)
    button.expect("on_scene", joined)
    newest = {activation: button.counter - 1, joined: button.counter}
    assert gateway.say(incident["id"], "closed", disposition="genuine")["changed"]
    told = {button.heard.get(timeout=LIMIT_S) for _ in range(2)}
    assert told == {("closed", each, counter) for each, counter in newest.items()}
    assert button.press() == 3
    button.expect("receipt", 3)
    assert len(of_device(gateway, incidents, button)) == 2
    (shown,) = [each for each in gateway.command("incidents")["incidents"] if each["incident"] == incident["id"]]
    assert (shown["state"], shown["disposition"], len(shown["alarms"])) == ("closed", "genuine", 2)


def test_a_flood_of_noise_grows_no_memory_and_delays_no_alarm(running: Lab) -> None:
    _, gateway, button_of = running
    assert gateway.process is not None
    flooder, good = button_of(named()), button_of(named())
    before = resident_bytes(gateway.process.pid)
    for _ in range(20_000):
        flooder.send(secrets.token_bytes(60), qos=0)
    for _ in range(20):
        begun = time.monotonic()
        good.expect("receipt", good.press())
        assert time.monotonic() - begun < 5
    assert resident_bytes(gateway.process.pid) - before < 64 << 20
    wait_until(lambda: gateway.health()["waiting"] == 0, "the end of the flood")


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def test_poison_goes_to_quarantine_with_its_traceback_in_the_log(running: Lab) -> None:
    _, gateway, button_of = running
    broken, good = button_of(named()), button_of(named())
    with gateway.store.write() as conn:
        conn.execute(devices.update().where(devices.c.id == broken.device.id).values(root_key=b"short"))
    before = counts(gateway).get("poison", 0)
    for _ in range(3):
        broken.press()
        good.expect("receipt", good.press())
    wait_until(lambda: counts(gateway).get("poison", 0) == before + 3, "the quarantine of poison")
    assert "ValueError" in gateway.log.read_text()
    assert gateway.health()["ok"]


def test_what_comes_while_the_gateway_is_dead_waits_at_the_broker(own: Lab) -> None:
    _, gateway, button_of = own
    gateway.start()
    gateway.wait_healthy()
    button = button_of("shop-1")
    button.expect("receipt", button.press())
    assert gateway.stop(signal.SIGKILL) == -signal.SIGKILL
    waiting = [button.press() for _ in range(50)]
    button.send(button.frame(ALARM, Alarm(waiting[-1], repeated=True).pack())).wait_for_publish(LIMIT_S)
    gateway.start()
    receipted: set[int] = set()  # the first one again, perhaps: its PUBACK may have died with the gateway
    while not receipted >= set(waiting):
        receipted.add(button.heard.get(timeout=LIMIT_S)[1])
    assert {row["activation"] for row in of_device(gateway, alarms, button)} == {1, *waiting}
    assert len(of_device(gateway, incidents, button)) == 1
    begun = time.monotonic()
    assert gateway.stop() == 0
    assert time.monotonic() - begun < 3


def test_the_broker_is_killed_with_messages_in_flight(own: Lab) -> None:
    broker, gateway, button_of = own
    gateway.start()
    gateway.wait_healthy()
    button = button_of("shop-1")
    for _ in range(200):
        button.press()
    broker.kill()
    wait_until(lambda: not gateway.health().get("broker", True), "the notice that the broker is gone")
    assert not gateway.health()["ok"]
    for _ in range(10):
        button.press()  # waits in the button's client
    broker.start()
    gateway.wait_healthy()
    receipted: set[int] = set()

    def all_receipted() -> bool:
        while not button.heard.empty():
            receipted.add(button.heard.get()[1])
        for activation in range(1, 211):  # a button does so after each reconnect
            if activation not in receipted:
                button.repeat(activation, repeated=True)
        time.sleep(0.2)
        return len(receipted) == 210

    wait_until(all_receipted, "the receipt of every alarm", 20)
    assert sorted(row["activation"] for row in of_device(gateway, alarms, button)) == list(range(1, 211))
    assert len(of_device(gateway, incidents, button)) == 1


def test_it_waits_for_a_broker_that_is_not_there_yet(own: Lab) -> None:
    broker, gateway, button_of = own
    broker.kill()
    gateway.start()
    wait_until(lambda: gateway.health().get("problems") == ["broker-not-connected"], "health without a broker")
    broker.start()
    gateway.wait_healthy()
    button = button_of("shop-1")
    button.expect("receipt", button.press())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_broker_that_is_stopped_does_not_hold_up_the_end(own: Lab, number: int) -> None:
    broker, gateway, _ = own
    gateway.start()
    gateway.wait_healthy()
    assert broker.process is not None
    broker.process.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    assert gateway.stop(number) == 0
    assert time.monotonic() - begun < 3


def test_what_keeps_it_from_starting_is_one_line(own: Lab) -> None:
    _, gateway, _ = own
    with socket.socket() as other:
        other.bind(("127.0.0.1", gateway.http_port))
        other.listen()
        assert "is in use" in problem_of(gateway)
    gateway.config.write_text(f"[http]\nport = {free_port()}\n")
    assert "[broker] password is empty" in problem_of(gateway)


def problem_of(gateway: GatewayProcess) -> str:
    command = [sys.executable, "-m", "sigap.cli", "gateway", "--config", str(gateway.config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode in (1, 2)
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("sigap: ")
    return line


def test_silent_http_connections_keep_nobody_out(running: Lab) -> None:
    _, gateway, _ = running
    silent = [socket.create_connection(("127.0.0.1", gateway.http_port)) for _ in range(260)]
    try:
        for _ in range(5):
            assert gateway.health()["ok"]
        ended = [each for each in silent if is_ended(each)]
        assert len(ended) >= 60
    finally:
        for each in silent:
            each.close()


def is_ended(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionResetError:
        return True
