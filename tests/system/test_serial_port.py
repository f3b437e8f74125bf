"""A virtual board's serial port: the real `mpremote`, and a terminal, at the device that the world offers."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from simulator.image import FIRMWARE
from simulator.testing import one_board, running_world
from simulator.world.client import WorldClient
from simulator.world.settings import BoardSettings, WorldSettings
from tests.system.mpremote_lab import Mpremote, terminal

MAIN = """
import asyncio, machine
from machine import Pin
answer = 42
button = Pin(27, Pin.IN, Pin.PULL_UP)
button.irq(lambda pin: print("edge", pin.value()), Pin.IRQ_FALLING)
print("main", machine.reset_cause())

async def main():
    while True:
        await asyncio.sleep(1000)

asyncio.run(main())
"""
BOOT = "print('boot')\n"
RAW = b"raw REPL; CTRL-B to exit\r\n>"
DEVICE = {
    "device": "0000a1b2",
    "root_key": "00" * 16,
    "wifi": {"ssid": "shop", "password": "kata sandi"},
    "broker": {"host": "127.0.0.1", "port": 1},
    "board": "devkit",
    "silent": True,
    "fixed_site": False,
    "heartbeat_s": 30,
    "window_ms": 1800,
}


def said(client: WorldClient, start: str) -> str:
    """The next console line that starts so."""
    return client.event(lambda e: e["event"] == "console" and e["text"].startswith(start))["text"]


def device(client: WorldClient) -> str:
    path = client.serial("b")
    assert path
    return path


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WorldClient]:
    """A board that runs MAIN."""
    with one_board(tmp_path, MAIN, BOOT, serial=True) as client:
        said(client, "main")
        yield client


@pytest.fixture
def mpremote(board: WorldClient) -> Mpremote:
    return Mpremote(device(board))


def test_exec_and_eval(mpremote: Mpremote) -> None:
    assert mpremote("exec", "import os; print(os.listdir())") == "['boot.py', 'main.py']\n"
    assert mpremote("eval", "6 * 7") == "42\n"
    failed = mpremote.run("exec", "1 / 0")
    assert failed.returncode == 1
    assert "ZeroDivisionError" in failed.stdout + failed.stderr


def test_files_go_there_and_back(mpremote: Mpremote, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(30_000)
    (tmp_path / "there").write_bytes(content)
    mpremote("fs", "cp", tmp_path / "there", ":there.bin")
    assert "30000 there.bin" in mpremote("fs", "ls")
    mpremote("fs", "cp", ":there.bin", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    mpremote("fs", "rm", ":there.bin")
    assert "there.bin" not in mpremote("fs", "ls")


def test_a_mounted_folder(mpremote: Mpremote, tmp_path: Path) -> None:
    (tmp_path / "greeting.py").write_text(
        '"""A module of the host.\n\n\x03 is no Ctrl-C here."""\nTEXT = "from the host"\n'
    )
    (tmp_path / "data.bin").write_bytes(bytes(range(256)) * 8)
    code = """
import greeting
print(greeting.TEXT)
with open("data.bin", "rb") as f:
    print(f.read() == bytes(range(256)) * 8)
with open("written", "w") as f:
    f.write("by the board")
"""
    assert mpremote("mount", tmp_path, "exec", code).endswith("from the host\nTrue\n")
    assert (tmp_path / "written").read_text() == "by the board"


def test_mip_installs_the_mqtt_client(mpremote: Mpremote) -> None:
    installed = Mpremote(mpremote.device, FIRMWARE / "mqtt")("mip", "install", "./package.json")
    assert installed.count("Installing: /lib/mqtt/") == len(list((FIRMWARE / "mqtt").glob("*.py")))
    found = mpremote("exec", "import mqtt; print(mqtt.__file__, mqtt.Client.__name__)")
    assert found == "/lib/mqtt/__init__.py Client\n"
    mpremote("fs", "rm", "-r", ":/lib")


def test_resets(board: WorldClient, mpremote: Mpremote) -> None:
    mpremote("reset")
    assert said(board, "main") == "main 2"
    mpremote("soft-reset")
    assert "main" not in mpremote("resume", "exec", "print(dir())"), "out of the raw REPL, main.py does not run"
    assert mpremote("resume", "exec", "import machine; print(machine.reset_cause())") == "5\n"
    for _ in range(12):  # more than a crash loop may have: these somebody has typed
        mpremote("exec", "pass")
    assert board.boards()[0]["state"] == "running"


def test_ctrl_c_and_ctrl_d(board: WorldClient) -> None:
    with terminal(device(board)) as port:
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in port.until(b">>> ")
        interrupted = board.event(lambda e: e["event"] == "main" and e["file"] == "main.py")
        assert interrupted["state"] == "interrupted"
        port.write(b"answer\r")
        assert port.until(b">>> ") == b"answer\r\n42\r\n>>> ", "the names of main.py are at the prompt"
        port.write(b"exec(\"print('be' 'gun')\\nwhile True: pass\")\r")
        port.until(b"begun\r\n")
        port.write(b"\x03")
        assert b"KeyboardInterrupt" in port.until(b">>> ")
        port.write(b"\x04")
        assert port.until(b"main 5\r\n").endswith(b"\r\nMPY: soft reboot\r\nboot\r\nmain 5\r\n")
        port.write(b"\x03")
        port.until(b">>> ")
        port.write(b"\x01")
        port.until(RAW)
        port.write(b"print(answer)\x04")
        assert port.until(b"\x04>") == b"OK42\r\n\x04\x04>"
        port.write(b"\x04")
        out_of_raw = port.until(RAW)
        assert b"MPY: soft reboot\r\nboot\r\n" in out_of_raw
        assert b"main" not in out_of_raw
        port.write(b"import sys; sys.exit(3)\x04")
        assert b"MPY: soft reboot\r\nboot\r\n" in port.until(RAW)


def test_interrupts_run_at_the_prompt(board: WorldClient) -> None:
    with terminal(device(board)) as port:
        port.write(b"\x03")
        port.until(b">>> ")
        for _ in range(5):
            board.press("b", presses=1, down_ms=1, gap_ms=1)
            port.until(b"edge 0\r\n", 2.0)
        board.settle("b")
        port.write(b"1 + 1\r")
        port.until(b"2\r\n>>> ")


def test_power_comes_and_goes_while_the_port_is_open(board: WorldClient) -> None:
    with terminal(device(board)) as port:
        board.power("b", False)
        port.write(b"print('nobody hears this')\r")
        port.drain()
        assert port.silent_for(0.2)
        board.power("b", True)
        assert port.until(b"main 1\r\n") == b"boot\r\nmain 1\r\n"
        port.write(b"\x03")
        assert b"nobody" not in port.until(b">>> ")


def test_what_is_said_while_nobody_listens_is_lost(board: WorldClient) -> None:
    with terminal(device(board)) as port:
        port.write(b"\x03")
        assert b"main 1" not in port.until(b">>> ")


def test_garbage_harms_nothing(board: WorldClient) -> None:
    garbage = random.Random(2).randbytes(600_000)
    with terminal(device(board)) as port:
        port.write(garbage)
    assert board.request("list")["boards"][0]["name"] == "b"
    board.power("b", False)
    board.power("b", True)
    board.event(lambda e: e["event"] == "boot" and e["cause"] == 1)
    said(board, "main")
    assert Mpremote(device(board))("eval", "1 + 1") == "2\n"


def test_ctrl_c_interrupts_the_firmware(tmp_path: Path) -> None:
    one = BoardSettings("b", tmp_path / "b.img", device=DEVICE, serial=True, on=False)
    with running_world(WorldSettings([one])) as client:
        client.watch("b")
        client.power("b", True)
        client.event(lambda e: e["event"] == "wdt")
        mpremote = Mpremote(device(client))
        # resume: no soft reset, so it is the firmware's own interpreter that answers.
        assert mpremote("resume", "exec", "print(app is not None)") == "True\n"
        ended = client.event(lambda e: e["event"] == "main" and e["file"] == "main.py")
        assert ended["state"] == "interrupted"
        assert "json" in mpremote("fs", "ls")
        mpremote("reset")
        client.event(lambda e: e["event"] == "wdt")


def test_the_device_tests_at_a_port(tmp_path: Path) -> None:
    """As with a real board at /dev/ttyUSB0: `pytest --port` from the root."""
    one = BoardSettings("b", tmp_path / "b.img", device=DEVICE, serial=True)
    with running_world(WorldSettings([one])) as client:
        client.watch("b")
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "ticks", "--port"]
        done = subprocess.run(
            [*command, device(client), "tests/device"], cwd=FIRMWARE.parent, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "1 passed" in done.stdout
        client.event(lambda e: e["event"] == "reset" and e["cause"] == "hard")


def test_the_command_line(tmp_path: Path) -> None:
    (tmp_path / "firmware").mkdir()
    (tmp_path / "firmware" / "main.py").write_text("print('main')\n")
    boards = '[[boards]]\nname = "b"\nserial = true\n[[boards]]\nname = "c"\n'
    (tmp_path / "world.toml").write_text(f'firmware = "firmware"\n{boards}')
    sigap = [sys.executable, "-m", "sigap.cli"]
    run_dir = tmp_path / "run"
    world = subprocess.Popen(
        [*sigap, "world", "--config", str(tmp_path / "world.toml"), "--run-dir", str(run_dir)],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    try:
        assert world.stdout
        assert '"ready": true' in world.stdout.readline()
        assert (run_dir / "serial" / "b").is_symlink()
        assert Mpremote(str(run_dir / "serial" / "b"))("eval", "2 + 2") == "4\n"
        end = ["--run-dir", str(run_dir)]
        shown = subprocess.run([*sigap, "board", "serial", "b", *end], capture_output=True, text=True, check=True)
        assert shown.stdout.strip() == str((run_dir / "serial" / "b").readlink())
        listed = subprocess.run([*sigap, "board", "list", *end], capture_output=True, text=True, check=True)
        assert f"serial {shown.stdout.strip()}" in listed.stdout.splitlines()[0]
        assert "serial" not in listed.stdout.splitlines()[1]
        none = subprocess.run([*sigap, "board", "serial", "c", *end], capture_output=True, text=True)
        assert none.returncode == 1
        assert "c has no serial port" in none.stderr
    finally:
        world.terminate()
        world.communicate(timeout=20)
    assert not (run_dir / "serial" / "b").is_symlink()
