"""What goes wrong around a virtual board: power cuts, crash loops, watchdog, WiFi, a world that dies."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sigap.problem import Problem
from simulator import image
from simulator.testing import one_board, running_world, small_firmware
from simulator.world.client import WorldClient, WorldError
from simulator.world.settings import BoardSettings, WorldSettings

COUNT = """
import os
from machine import Pin
led = Pin(26, Pin.OUT, value=1)
try:
    os.mkdir("/state")
except OSError:
    pass
n = 0
try:
    with open("/state/n") as f:
        n = int(f.read() or "0")
except OSError:
    pass
print("found", n)
while True:
    n += 1
    with open("/state/n.new", "w") as f:
        f.write(str(n))
    os.rename("/state/n.new", "/state/n")
    print("kept", n)
"""
CAUSE = "import machine\nprint('cause', machine.reset_cause())\n"


def said(client: WorldClient, start: str, timeout_s: float = 10.0) -> str:
    return client.event(lambda e: e["event"] == "console" and e["text"].startswith(start), timeout_s)["text"]


def test_a_power_cut_keeps_the_flash_and_darkens_the_pins(tmp_path: Path) -> None:
    before = -1
    with one_board(tmp_path, COUNT, restarts=3) as client:
        for _ in range(5):
            found = int(said(client, "found").split()[1])
            assert found >= before, "a file once renamed is there after the cut"
            before = int(said(client, "kept").split()[1])
            client.power("b", False)
            lines = client.console("b")
            before = max(int(line.split()[1]) for line in lines if line.startswith("kept ") and line[5:])
            assert client.pins("b")[-1] | {"at": 0, "seq": 0} == {
                "pin": 26, "value": 0, "t_ms": None, "by": "power", "at": 0, "seq": 0,
            }  # fmt: skip
            client.power("b", True)
    assert int((image.read_file(tmp_path / "b.img", "/state/n") or b"0").decode()) >= before


def test_reset_causes(tmp_path: Path) -> None:
    main = CAUSE + (
        "import asyncio\n"
        "from machine import Pin\n"
        "def edge(pin):\n"
        "    try:\n"
        "        machine.reset()\n"
        "    finally:\n"
        "        print('finally ran')\n"
        "Pin(27, Pin.IN, Pin.PULL_UP).irq(edge, Pin.IRQ_FALLING)\n"
        "print('ready')\n"
        "asyncio.run(asyncio.sleep(60))\n"
    )
    with one_board(tmp_path, main) as client:
        assert said(client, "cause") == "cause 1"
        said(client, "ready")
        client.press("b", presses=1)
        assert said(client, "cause") == "cause 2"
        client.reset("b")
        assert said(client, "cause") == "cause 2"
        client.power("b", False)
        client.power("b", True)
        assert said(client, "cause") == "cause 1"
        assert "finally ran" not in client.console("b"), "a chip that resets runs nothing more"


def test_soft_reset(tmp_path: Path) -> None:
    main = CAUSE + "import sys\nif machine.reset_cause() != machine.SOFT_RESET:\n    sys.exit()\nprint('stays')\n"
    with one_board(tmp_path, main) as client:
        assert said(client, "cause") == "cause 1"
        assert said(client, "cause") == "cause 5"
        assert said(client, "stays")


def test_a_board_that_is_not_fed_is_reset_by_its_watchdog(tmp_path: Path) -> None:
    main = CAUSE + (
        "import time\n"
        "if machine.reset_cause() != machine.WDT_RESET:\n"
        "    dog = machine.WDT(timeout=300)\n"
        "    for _ in range(10):\n"
        "        dog.feed()\n"
        "        time.sleep_ms(50)\n"
        "    print('fed')\n"
        "    while True:\n"
        "        pass\n"
    )
    with one_board(tmp_path, main) as client:
        assert said(client, "cause") == "cause 1"
        said(client, "fed")
        assert client.event(lambda e: e["event"] == "reset")["cause"] == "wdt"
        assert said(client, "cause") == "cause 3"


def test_a_crash_loop_is_slowed_down_and_ends(tmp_path: Path) -> None:
    with one_board(tmp_path, "import machine\nmachine.reset()\n", restarts=4, steady_s=5.0) as client:
        slow = [client.event(lambda e: e["event"] == "crash-loop") for _ in range(2)]
        assert "5 resets in a row" in client.event(lambda e: e["event"] == "gave-up")["reason"]
        assert [e["wait_s"] for e in slow] == [0.1, 0.2]
        assert client.boards()[0]["state"] == "failed"
        assert client.boards()[0]["pid"] is None
        with pytest.raises(Problem, match="b is failed"):
            client.wait_running("b")
        client.power("b", False)
        client.power("b", True)
        client.event(lambda e: e["event"] == "boot")


def test_a_connection_cut_before_anybody_waits_for_it_reports_an_error(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        main = f"""
import asyncio, network
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("shop", "secret")

async def main():
    while not wlan.isconnected():
        await asyncio.sleep_ms(5)
    reader, writer = await asyncio.open_connection("127.0.0.1", {server.getsockname()[1]})
    print("joined")
    while wlan.isconnected():
        await asyncio.sleep_ms(5)
    for _ in range(2):
        try:
            await reader.read(10)
        except OSError as error:
            print("read", error.errno)

asyncio.run(main())
"""
        with one_board(tmp_path, main) as client:
            said(client, "joined")
            client.wifi("b", False)
            assert said(client, "read") == "read 9"
            assert said(client, "read") == "read 9"


def test_wifi_comes_and_goes(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        main = f"""
import asyncio, network
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
try:
    import socket
    socket.socket()
except OSError as error:
    print("early", error.errno)
wlan.connect("shop", "secret")

async def main():
    while True:
        while not wlan.isconnected():
            await asyncio.sleep_ms(5)
        reader, writer = await asyncio.open_connection("127.0.0.1", {port})
        print("joined", wlan.status("rssi"))
        try:
            while await reader.read(10):
                pass
        except OSError:
            pass
        print("lost", wlan.isconnected())
        try:
            await asyncio.open_connection("127.0.0.1", {port})
        except OSError as error:
            print("refused", error.errno)

asyncio.run(main())
"""
        with one_board(tmp_path, main, wifi={"ssid": "shop", "rssi_dbm": -71}) as client:
            assert said(client, "early") == "early 113"
            assert said(client, "joined") == "joined -71"
            client.wifi("b", False)
            assert said(client, "lost") == "lost False"
            assert said(client, "refused") == "refused 113"
            client.wifi("b", True)
            said(client, "joined")


def test_an_image_is_for_one_world(tmp_path: Path) -> None:
    firmware = small_firmware(tmp_path / "firmware", "")
    board = BoardSettings(name="b", image=tmp_path / "b.img")
    with (
        running_world(WorldSettings([board], firmware)),
        pytest.raises(Problem, match="is in use"),
        running_world(WorldSettings([board], firmware)),
    ):
        pass


def gone(pid: int) -> bool:
    """True when the process has ended (a zombie of someone else's counts as ended)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


@pytest.fixture
def command(tmp_path: Path):
    """Run `sigap ...` with var/run in the test's folder."""
    small_firmware(tmp_path / "firmware", "print('up')\n")
    (tmp_path / "world.toml").write_text('firmware = "firmware"\n[[boards]]\nname = "shop-1"\n')

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-m", "sigap.cli", *arguments]
        return subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    return run


@pytest.fixture
def world(tmp_path: Path, command):
    line = [sys.executable, "-m", "sigap.cli", "world", "--config", "world.toml"]
    running = subprocess.Popen(line, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    try:
        assert running.stdout
        yield running, json.loads(running.stdout.readline())
    finally:
        running.kill()
        running.wait()
        if running.stdout:
            running.stdout.close()


def test_the_commands(tmp_path: Path, world, command) -> None:
    _, ready = world
    assert ready["boards"] == {"shop-1": "running"}
    assert (tmp_path / "var/run/world.json").stat().st_mode & 0o777 == 0o600
    listed = json.loads(command("board", "list", "--json").stdout)
    assert [one["name"] for one in listed] == ["shop-1"]
    pressed = json.loads(command("press", "shop-1", "--json").stdout)
    assert len(pressed["presses"]) == 3
    pins = json.loads(command("board", "pins", "shop-1", "--json").stdout)
    assert [p["value"] for p in pins if p.get("pin") == 27] == [0, 1] * 3
    assert command("board", "reset", "shop-1").stdout == "shop-1: reset\n"
    assert command("board", "off", "shop-1").stdout == "shop-1: off\n"
    deaf = command("press", "shop-1")
    assert (deaf.returncode, deaf.stdout) == (1, "")
    assert "shop-1 was not running" in deaf.stderr
    assert command("board", "on", "shop-1").stdout == "shop-1: on\n"
    wrong = command("press", "nobody")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("sigap: no board is named 'nobody'; there are shop-1")
    second = command("world", "--config", "world.toml")
    assert second.returncode == 1
    assert "a world is running already" in second.stderr


def test_no_world(command) -> None:
    done = command("press", "shop-1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sigap: no world is running")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_world_that_ends_takes_its_boards_along(tmp_path: Path, world, number: int) -> None:
    running, ready = world
    with WorldClient.find(tmp_path / "var/run") as client:
        pid = client.boards()[0]["pid"]
        os.kill(ready["pid"], number)
        with pytest.raises(WorldError):
            client.event(lambda e: False)
    running.wait(10)
    deadline = time.monotonic() + 5
    while not gone(pid) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert gone(pid)
    assert (tmp_path / "var/run/world.json").exists() == (number == signal.SIGKILL)
