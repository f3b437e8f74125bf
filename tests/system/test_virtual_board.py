"""A virtual board from outside: real MicroPython, LittleFS and sockets, with firmware of the test's own."""

from __future__ import annotations

from pathlib import Path

import pytest

from simulator import image
from simulator.testing import one_board
from simulator.world.client import WorldClient
from simulator.world.gps import Receiver

ECHO = """
import asyncio, time
from machine import Pin
button, led = Pin(27, Pin.IN, Pin.PULL_UP), Pin(26, Pin.OUT, value=0)
edges = []
flag = asyncio.ThreadSafeFlag()

def edge(pin):
    edges.append((pin.value(), time.ticks_ms()))
    led.value(not pin.value())
    flag.set()

button.irq(edge, Pin.IRQ_FALLING | Pin.IRQ_RISING)

async def main():
    print("ready")
    while True:
        await flag.wait()
        print("edges", len(edges), edges[-1][1])

asyncio.run(main())
"""


def said(client: WorldClient, start: str, timeout_s: float = 10.0) -> str:
    """The next console line that starts so."""
    return client.event(lambda e: e["event"] == "console" and e["text"].startswith(start), timeout_s)["text"]


def test_it_boots_like_a_chip(tmp_path: Path) -> None:
    main = """
import sys, os, time, machine
print("path", sys.path, "cwd", os.getcwd(), "argv", sys.argv)
print("files", sorted(os.listdir("/")))
print("cause", machine.reset_cause() == machine.PWRON_RESET, len(machine.unique_id()))
print("year", time.localtime()[0], time.time() < 5, booted)
"""
    with one_board(tmp_path, main, boot="booted = 'by boot.py'\n", device={"a": 1}) as client:
        boot = client.event(lambda e: e["event"] == "boot")
        assert said(client, "path") == "path ['', '.frozen', '/lib'] cwd / argv []"
        assert said(client, "files") == "files ['boot.py', 'device.json', 'main.py']"
        assert said(client, "cause") == "cause True 6"
        assert said(client, "year") == "year 2000 True by boot.py"
        assert boot["cause"] == 1
        client.settle("b")
        assert client.boards()[0]["state"] == "running", "a main.py that ends leaves the board at its prompt"


def test_the_firmware_has_140_kb(tmp_path: Path) -> None:
    with one_board(tmp_path, "kept = bytearray(20000)\n") as client:
        boot = client.event(lambda e: e["event"] == "boot")
        client.event(lambda e: e["event"] == "main" and e["file"] == "main.py")
        memory = client.memory("b")
    assert 132_000 <= boot["free"] <= 143_000
    assert memory["launcher"] == boot["used"]
    assert 20_000 <= memory["firmware"] <= 24_000
    assert memory["used"] + memory["free"] == pytest.approx(boot["used"] + boot["free"])


def test_every_edge_arrives_with_its_time(tmp_path: Path) -> None:
    script = [[8 * n, n % 2] for n in range(100)]
    with one_board(tmp_path, ECHO) as client:
        said(client, "ready")
        done = client.press("b", script=script)
        last = said(client, "edges 100")
        client.settle("b")
        pins = [p for p in client.pins("b") if p.get("pin") == 26]
    assert done["edges"] == 100
    assert done["heard"]
    assert [p["value"] for p in pins] == [0] + [1, 0] * 50
    first, final = pins[1], pins[100]
    assert last == f"edges 100 {final['t_ms']}"
    assert final["t_ms"] - first["t_ms"] == pytest.approx(99 * 8, abs=2), "the script's time, whatever the host did"
    assert final["at"] - first["at"] == pytest.approx(99 * 8, abs=2)


def test_chatter_closer_than_a_millisecond_arrives_too(tmp_path: Path) -> None:
    with one_board(tmp_path, ECHO) as client:
        said(client, "ready")
        done = client.press("b", presses=3, bounce_ms=6, seed=7)
        assert said(client, f"edges {done['edges']} ")
    assert done["edges"] >= 6 + 3 * 2 * 6
    assert len(done["presses"]) == 3


def test_an_interrupt_ends_no_wait_of_sockets_but_runs_in_it(tmp_path: Path) -> None:
    """A board that waits for nothing but time: the handler must run then, not when the wait is over."""
    main = """
import asyncio
from machine import Pin
Pin(27, Pin.IN, Pin.PULL_UP).irq(lambda p: print("edge", p.value()), Pin.IRQ_FALLING)
print("ready")
asyncio.run(asyncio.sleep(60))
"""
    with one_board(tmp_path, main) as client:
        said(client, "ready")
        client.press("b", presses=1)
        assert said(client, "edge") == "edge 0"


def test_a_button_held_at_power_on_is_seen(tmp_path: Path) -> None:
    with one_board(tmp_path, ECHO) as client:
        said(client, "ready")
        client.request("pin", board="b", pin=27, value=0)
        client.reset("b")
        client.event(lambda e: e["event"] == "boot")
        said(client, "ready")
        client.request("pin", board="b", pin=27, value=1)
        assert said(client, "edges 1")


def test_uart_text_reaches_an_asyncio_reader(tmp_path: Path) -> None:
    main = """
import asyncio
from machine import UART

async def main():
    stream = asyncio.StreamReader(UART(1, baudrate=9600, rx=33, tx=32))
    while True:
        print("got", (await stream.readline()).decode().strip())

asyncio.run(main())
"""
    with one_board(tmp_path, main, gps=Receiver(track=[(0.0, -6.99, 110.42)])) as client:
        assert said(client, "got $GNRMC").split(",")[2] == "A"
        assert said(client, "got $GNGGA").split(",")[2] == "0659.40000"
        client.gps("b", {"sky": False})
        line = client.event(lambda e: e["event"] == "console" and "RMC" in e["text"] and ",V," in e["text"])
        assert line
        client.request("uart", board="b", uart=1, data="$TEST\r\n")
        assert said(client, "got $TEST") == "got $TEST"


def test_ticks_wrap_as_on_an_esp32(tmp_path: Path) -> None:
    main = """
import asyncio, time
begin = time.ticks_ms()
print("begin", begin)
assert begin < 1 << 30
deadline = time.ticks_add(begin, 600)

async def main():
    while time.ticks_diff(deadline, time.ticks_ms()) > 0:
        await asyncio.sleep_ms(20)

asyncio.run(main())
print("end", time.ticks_ms(), time.ticks_diff(time.ticks_ms(), begin))
try:
    time.ticks_add(0, 1 << 29)
except OverflowError as error:
    print("far", error)
print("half", time.ticks_diff(0, (1 << 30) - 5), time.ticks_diff((1 << 30) - 5, 0))
"""
    with one_board(tmp_path, main, ticks_ms=(1 << 30) - 300) as client:
        begin = int(said(client, "begin").split()[1])
        _, end, spent = said(client, "end").split()
        assert (1 << 30) - 300 <= begin < 1 << 30
        assert int(end) < 10_000, "wrapped past zero"
        assert 600 <= int(spent) < 5_000
        assert said(client, "far") == "far ticks interval overflow"
        assert said(client, "half") == "half 5 -5"


def test_pwm_is_in_the_pin_log(tmp_path: Path) -> None:
    main = """
from machine import PWM, Pin
tone = PWM(Pin(25, Pin.OUT), freq=2000, duty_u16=32768)
tone.duty_u16(0)
tone.deinit()
print("done")
"""
    with one_board(tmp_path, main) as client:
        said(client, "done")
        client.settle("b")
        tones = [(p["freq"], p["duty"], p["by"]) for p in client.pins("b") if p.get("pwm") == 25]
    assert tones == [(2000, 512, "board"), (2000, 0, "board")]


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("import machine; machine.Timer(0)", "machine.Timer"),
        ("from machine import Foo", "machine.Foo"),
        ("from machine import Pin; Pin(27).levitate()", "machine.Pin.levitate"),
        ("import esp32; esp32.NVS('x')", "esp32.NVS"),
        ("import network; network.LAN()", "network.LAN"),
        ("import network; network.WLAN(network.STA_IF).ipconfig()", "network.WLAN.ipconfig"),
        ("from machine import UART; UART(1).sendbreak()", "machine.UART.sendbreak"),
        ("from machine import PWM, Pin; PWM(Pin(25), freq=5, invert=1)", "machine.PWM(invert=)"),
    ],
)
def test_what_the_board_lacks_fails_by_name(tmp_path: Path, line: str, name: str) -> None:
    with one_board(tmp_path, line) as client:
        ended = client.event(lambda e: e["event"] == "main" and e["file"] == "main.py")
    assert ended["state"] == "failed"
    where = "simulator/board/shims/"
    assert f"NotImplementedError: virtual board: {name} is not simulated (add it to {where}" in ended["error"]


def test_pins_that_an_esp32_has_not(tmp_path: Path) -> None:
    main = """
from machine import Pin
for arguments in ((6,), (40,), (34, Pin.OUT), (34, Pin.IN, Pin.PULL_UP)):
    try:
        Pin(*arguments)
        print("taken", arguments)
    except ValueError as error:
        print(error)
print("same", Pin(27) is Pin(27))
"""
    with one_board(tmp_path, main) as client:
        said(client, "same True")
        lines = client.console("b")
    assert lines[:4] == ["invalid pin", "invalid pin", "pin can only be input", "pin can only be input"]


def test_an_exception_in_main_is_told(tmp_path: Path) -> None:
    with one_board(tmp_path, "def f():\n    raise ValueError('broken')\n\nf()\n") as client:
        assert said(client, "ValueError") == "ValueError: broken"
    with one_board(tmp_path, "def f():\n    raise ValueError('broken')\n\nf()\n") as client:
        ended = client.event(lambda e: e["event"] == "main" and e["file"] == "main.py")
    assert ended["state"] == "failed"
    assert 'File "/main.py", line 2, in f' in ended["error"]


def test_files_written_by_the_board_are_in_its_image(tmp_path: Path) -> None:
    main = """
import os
os.mkdir("/state")
with open("/state/a", "wb") as f:
    f.write(bytes(range(256)) * 40)
print("written")
"""
    with one_board(tmp_path, main) as client:
        said(client, "written")
    assert image.read_file(tmp_path / "b.img", "/state/a") == bytes(range(256)) * 40
