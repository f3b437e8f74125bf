"""Cancels, troubles and commands through a real broker, the gateway's process and its command line."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.store.schema import commands, device_events, events
from gateway.store.schema import troubles as trouble_rows
from panic_wire import topics
from panic_wire.frames import (
    ANSWER,
    BATTERY_LOW,
    CANCEL,
    CRASH_TEXT,
    CRASHED,
    DONE,
    LOCATE,
    LOCATION,
    REFUSED,
    REPORT,
    SET,
    TROUBLE,
    Cancel,
    Report,
    Trouble,
    pack_position,
)
from tests.system.gateway_lab import LIMIT_S, Broker, Button, GatewayProcess, lab, wait_until
from tests.system.local_lab import Plug

Lab = tuple[Broker, GatewayProcess, Callable[[str], Button]]


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as parts:
        yield parts


def asks(gateway: GatewayProcess, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sigap.cli", "device", *arguments, "--config", str(gateway.config)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def prints(gateway: GatewayProcess, *arguments: str) -> str:
    command = [sys.executable, "-m", "sigap.cli", *arguments, "--config", str(gateway.config)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def kinds(gateway: GatewayProcess) -> list[str]:
    return [row["kind"] for row in gateway.rows(events)]


def test_killed_between_the_commit_of_a_cancel_and_its_receipt(own: Lab) -> None:
    broker, gateway, button_of = own
    button = button_of("shop-1")
    with Plug(broker.port) as plug:
        gateway.config.write_text(
            gateway.config.read_text().replace(f"port = {broker.port}\n", f"port = {plug.port}\n")
        )
        gateway.start()
        gateway.wait_healthy()
        activation = button.press()
        button.expect("receipt", activation)
        plug.hold_up.set()  # nothing that the gateway says reaches the broker
        button.send(button.frame(CANCEL, Cancel(activation, duress=True).pack()))
        wait_until(lambda: kinds(gateway) == ["opened", "cancelled"], "the commit")
        assert button.heard.empty()
        gateway.stop(signal.SIGKILL)
        plug.hold_up.clear()
        gateway.start()
        gateway.wait_healthy()
        # The broker delivers the very frame again; the device, which has no receipt, says it anew. And perhaps the
        # alarm's, whose acknowledgement was on its way when the line was held up.
        while (heard := button.heard.get(timeout=20)) == ("receipt", activation, button.counter - 1):
            continue
        assert heard == ("receipt", activation, button.counter)
        button.send(button.frame(CANCEL, Cancel(activation, duress=True, repeated=True).pack()))
        button.expect("receipt", activation)
    assert kinds(gateway) == ["opened", "cancelled"]
    (incident,) = gateway.command("incidents")["incidents"]
    assert (incident["state"], incident["cancel"], incident["alarms"][0]["duress"]) == ("open", "duress", True)
    assert "open, duress" in prints(gateway, "incidents")


def test_commands_troubles_and_the_time(own: Lab) -> None:
    _, gateway, button_of = own
    button = button_of("shop-1")
    gateway.start()
    gateway.wait_healthy()
    button.client.publish(topics.state(button.name), topics.ONLINE, qos=1, retain=True)
    button.heartbeat()
    button.expect("receipt", 0)
    unix_ms, epoch, counter = button.times.get(timeout=LIMIT_S)
    assert (epoch, counter) == (button.epoch, button.counter)
    assert abs(unix_ms / 1000 - time.time()) < LIMIT_S

    # It is online: the running gateway sends at once; what is not answered goes again with a heartbeat.
    setting = asks(gateway, "set", "shop-1", "led=off", "--json")
    header, command = button.commands.get(timeout=LIMIT_S)
    assert (command.code, command.content) == (SET, b"led=off")
    button.heartbeat(clock_known=True)
    again = button.commands.get(timeout=LIMIT_S)
    assert (again[0].counter, again[1].content) == (header.counter, b"led=off")
    assert button.times.empty()  # it knows the time, and was told within the hour
    locating = asks(gateway, "locate", "shop-1")
    answer = Report(ANSWER, REFUSED, header.counter, b"led: setelan tidak dikenal")
    button.send(button.frame(REPORT, answer.pack()))
    following, command = button.commands.get(timeout=LIMIT_S)
    assert command.code == LOCATE
    where = pack_position((-69_932_000, 1_104_203_000, 5, 2))
    button.send(button.frame(REPORT, Report(LOCATION, DONE, following.counter, where).pack()))
    out, errors = setting.communicate(timeout=60)
    said = json.loads(out)
    assert (said["state"], said["answer"]) == ("refused", {"text": "led: setelan tidak dikenal"})
    assert setting.returncode == 1, errors
    out, errors = locating.communicate(timeout=60)
    assert out.startswith("shop-1: -6.993200, 110.420300, within 5 m, at 20"), errors
    assert locating.returncode == 0
    assert [row["state"] for row in gateway.rows(commands)] == ["refused", "done"]
    assert [row["kind"] for row in gateway.rows(device_events)].count("answered") == 2
    listed = gateway.command("device", "commands", "shop-1")["commands"]
    assert [each["says"] for each in listed] == ["locate", "set led=off"]

    # Nobody answers: it is said, and left to the gateway.
    waiting = asks(gateway, "restart", "shop-1", "--wait", "0.5")
    out, errors = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "restart was not done" in errors

    troubles: list[dict[str, Any]] = [{"kind": BATTERY_LOW, "value": 3210, "age_s": 5}, {"kind": CRASHED, "value": 4}]
    for each in troubles:
        button.send(button.frame(TROUBLE, Trouble(**each).pack()))
    button.send(button.frame(REPORT, Report(CRASH_TEXT, 0, 0, b"MemoryError: in panic/app.py").pack()))
    wait_until(lambda: len(gateway.rows(trouble_rows)) == 2, "the troubles")
    (device,) = gateway.command("devices")["devices"]
    assert [each["trouble"] for each in device["troubles"]] == ["battery_low"]
    wait_until(lambda: "said" in str(gateway.command("troubles", "--all")), "the text")
    shown = gateway.command("troubles", "--all")["troubles"]
    assert [(each["trouble"], each["value"]) for each in shown] == [("battery_low", 3210), ("crashed", 4)]
    assert shown[1]["said"] == "MemoryError: in panic/app.py"
    for listing in ("troubles", "devices"):
        assert "battery_low" in prints(gateway, listing)
    assert "administrator:" in prints(gateway, "device", "commands", "shop-1")
