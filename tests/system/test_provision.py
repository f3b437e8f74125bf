"""`sigap provision`: a board at a port becomes a device of the registry, and the gateway hears it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import now_us
from gateway.registry.devices import find_device
from gateway.registry.people import add_owner
from hardware.flashing.provisioning import write_settings
from hardware.flashing.repl import open_repl
from panic_wire import base_line
from sigap.problem import Problem
from sigap.story.gateway import Gateway
from sigap.story.parts import Broker
from simulator import image
from simulator.testing import running_world, small_firmware
from simulator.world.client import WorldClient
from simulator.world.settings import BoardSettings, WorldSettings

SITE = ("Toko Sinar", "-6.9932", "110.4203")
OWNER = "Toko Sinar"


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WorldClient]:
    """A board fresh from `sigap flash`: our firmware, no settings."""
    with running_world(WorldSettings([BoardSettings("b", tmp_path / "b.img", serial=True, board="tbeam")])) as client:
        client.watch("b")
        client.wait_running("b")
        yield client


def port(board: WorldClient) -> str:
    device = board.serial("b")
    assert device
    return device


def provision(gateway: Gateway, board: WorldClient, *more: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "sigap.cli", "provision", "--config", str(gateway._stage.local.config)]
    command += ["--port", port(board), "--board", "tbeam", "--name", "toko-1", "--owner", OWNER]
    environment = {**os.environ, **gateway._stage.local._environment()}
    return subprocess.run([*command, *more], capture_output=True, text=True, timeout=90, env=environment)


def settings_of(board: WorldClient, folder: Path) -> dict[str, object]:
    board.power("b", False)
    content = image.read_file(folder / "b.img", "device.json")
    board.power("b", True)
    board.wait_running("b")
    assert content
    return json.loads(content)


def test_a_board_becomes_a_device(board: WorldClient, broker: Broker, gateway: Gateway, tmp_path: Path) -> None:
    store = gateway._stage.local.store
    with store.write() as conn:
        add_owner(conn, name=OWNER, now_us=now_us())
    wifi = ("--wifi", "Sinar WiFi", "--wifi-password", "kata sandi")
    done = provision(gateway, board, "--site", *SITE, *wifi, "--wait", "40")
    assert done.returncode == 0, done.stderr
    assert "toko-1 was heard after" in done.stdout
    with store.read() as conn:
        device = find_device(conn, "toko-1")
    assert device
    assert device.fixed_site
    assert device.root_key.hex() not in done.stdout + done.stderr, "the key is shown to nobody"
    assert "kata sandi" not in done.stdout + done.stderr
    written = settings_of(board, tmp_path)
    assert written["root_key"] == device.root_key.hex()
    assert written["device"] == f"{device.id:08x}"
    assert written["board"] == "tbeam"
    assert (written["power"], written["heartbeat_s"]) == ("light", 3600), "it has a battery"
    assert written["fixed_site"] is True
    assert written["wifi"] == {"ssid": "Sinar WiFi", "password": "kata sandi"}
    # Once more with the same words: the same key, as after a cable that was pulled.
    again = provision(gateway, board, "--site", *SITE, *wifi)
    assert again.returncode == 0, again.stderr
    assert settings_of(board, tmp_path) == written
    other = provision(gateway, board, *wifi)
    assert other.returncode == 2
    assert "toko-1 is registered already, with another owner, site or silence" in other.stderr
    refused = provision(gateway, board, "--site", *SITE, "--wifi", "x" * 40, "--wifi-password", "")
    assert refused.returncode == 1
    assert "toko-1 would not start: wifi.ssid does not fit (text, 1 to 32)" in refused.stderr
    assert settings_of(board, tmp_path) == written, "the old ones are still there"


def test_nothing_is_registered_without_an_owner(board: WorldClient, broker: Broker, gateway: Gateway) -> None:
    done = provision(gateway, board, "--wifi", "x", "--wifi-password", "")
    assert done.returncode == 2
    assert OWNER in done.stderr
    with gateway._stage.local.store.read() as conn:
        assert find_device(conn, "toko-1") is None


def test_a_board_without_firmware(tmp_path: Path) -> None:
    one = BoardSettings("b", tmp_path / "b.img", serial=True)
    with running_world(WorldSettings([one], small_firmware(tmp_path / "none", ""))) as client:
        client.wait_running("b")
        with open_repl(port(client)) as repl, pytest.raises(Problem, match="there is no firmware on this board"):
            write_settings(repl, {})
        client.power("b", False)
        assert "device.json.new" not in image.read_files(tmp_path / "b.img")


def test_a_board_becomes_a_base_station_and_can_be_spoken_to_again(board: WorldClient, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sigap.cli", "base", "provision", "--port", port(board), "--id", "b0000007"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr

    def is_hello(event: dict[str, Any]) -> bool:
        found = base_line.unpack(event["text"].encode()) if event["event"] == "console" else None
        return found is not None and found[0] == base_line.HELLO

    board.event(is_hello, 30)
    # It speaks to a gateway now; a technician's tool gets the prompt all the same, and writes once more.
    again = subprocess.run(
        [*command, "--row", "921600000", "7", "922600000"], capture_output=True, text=True, timeout=90
    )
    assert again.returncode == 0, again.stderr
    board.power("b", False)
    written = json.loads(image.read_file(tmp_path / "b.img", "base.json") or b"{}")
    assert written == {"base": "b0000007", "board": "tbeam", "lora": {"plan": [[921600000, 7, 922600000]]}}
    wrong = subprocess.run([*command[:-1], "xyz"], capture_output=True, text=True, timeout=60)
    assert wrong.returncode == 2
    assert "eight lower-case hex digits" in wrong.stderr
