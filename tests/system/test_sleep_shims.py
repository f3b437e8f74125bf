"""Sleep of the virtual board, as ports/esp32 has it: with a main.py of the test's own, in both kinds of time."""

from __future__ import annotations

import json
from pathlib import Path

from virtual_lab import bench

from simulator.testing import one_board
from simulator.virtual.world import VirtualWorld
from simulator.world.presses import presses

LIGHT = """
import esp32, machine, network, time
from machine import Pin
button = Pin(27, Pin.IN, Pin.PULL_UP)
edges = []
button.irq(lambda pin: edges.append((pin.value(), time.ticks_ms())), Pin.IRQ_FALLING | Pin.IRQ_RISING)
counter = machine.Counter(0, button, edge=machine.Counter.FALLING, filter_ns=12000)
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("sigap", "")
while not wlan.isconnected():
    time.sleep_ms(100)
uart = machine.UART(1, baudrate=9600, rx=33, tx=32)
esp32.wake_on_ext0(button, esp32.WAKEUP_ALL_LOW)
began = time.ticks_ms()
machine.lightsleep(400)
print("timer", time.ticks_diff(time.ticks_ms(), began) >= 400, machine.wake_reason() == machine.TIMER_WAKE)
print("wifi", wlan.isconnected())
time.sleep_ms(300)
machine.lightsleep(60000)
print("pin", button.value(), machine.wake_reason() == machine.PIN_WAKE, "irq", edges, "counted", counter.value())
while len(edges) < 2:
    time.sleep_ms(10)
print("after", [level for level, _ in edges], counter.value())
"""
DEEP = """
import esp32, machine, time
rtc = machine.RTC()
esp32.wake_on_ext0(machine.Pin(27, machine.Pin.IN, machine.Pin.PULL_UP), esp32.WAKEUP_ALL_LOW)
print("start", machine.reset_cause(), machine.wake_reason(), rtc.memory(), time.time() > 0)
if machine.reset_cause() == machine.PWRON_RESET:
    time.sleep(1)
    rtc.memory(b"one")
    machine.deepsleep(1500)
elif rtc.memory() == b"one":
    rtc.memory(b"two")
    machine.deepsleep(600000)
elif machine.reset_cause() == machine.DEEPSLEEP_RESET:
    machine.reset()
else:
    machine.deepsleep()
"""


def lines(world: VirtualWorld) -> list[str]:
    return list(world.boards["b"].console)


def test_light_sleep_in_virtual_time(tmp_path: Path) -> None:
    with bench(tmp_path, LIGHT) as world:
        board = world.boards["b"]
        board.press(presses(1), 20_000_000)
        board.press(presses(1), 21_000_000)
        world.run(30)
        assert lines(world) == [
            "timer True True",
            "wifi False",
            "pin 0 True irq [] counted 0",
            "after [1, 0] 1",
        ]
        sleeps = [json.loads(line)["at_us"] for line in world.trace.text().splitlines() if '"sleeps"' in line]
        assert len(sleeps) == 2
        board.ledger.settle(30_000_000)
        assert 14_000_000 < board.ledger.lasted_us["light_sleep"] < 20_000_000


def test_the_watchdog_bites_a_board_that_sleeps_past_it(tmp_path: Path) -> None:
    # Whether it runs in light sleep depends on chip and IDF: the virtual one does, so a firmware may not rely on it.
    main = "import machine\nmachine.WDT(timeout=5000)\nprint(machine.reset_cause())\nmachine.lightsleep(60000)\n"
    with bench(tmp_path, main) as world:
        world.run(14)
        assert lines(world)[:2] == ["1", "3"]


def test_deep_sleep_in_virtual_time(tmp_path: Path) -> None:
    with bench(tmp_path, DEEP) as world:
        board = world.boards["b"]
        world.run(20)
        assert lines(world) == ["start 1 0 b'' False", "start 4 4 b'one' True"]
        assert board.is_napping
        assert not board.on
        board.press([(0, 0), (500, 1)], 30_000_000)
        world.run(40)
        assert lines(world)[2:] == ["start 4 2 b'two' True", "start 2 0 b'two' False"]
        assert board.is_napping
        board.reset("hard")
        world.run(45)
        assert lines(world)[4:] == ["start 2 0 b'two' False"], "the reset button ends deep sleep"
        board.power_off()
        board.power_on()
        world.run(50)
        assert lines(world)[5] == "start 1 0 b'' False", "RTC memory needs power"


def test_a_contact_that_is_closed_ends_deep_sleep_at_once(tmp_path: Path) -> None:
    main = DEEP.replace("machine.deepsleep(1500)", "print('asleep'); machine.deepsleep(600000)")
    with bench(tmp_path, main) as world:
        world.boards["b"].press([(0, 0)], 100_000)
        world.run(10)
        assert lines(world)[:3] == ["start 1 0 b'' False", "asleep", "start 4 2 b'one' True"]


def test_a_look_up_loses_edges_and_the_counter_does_not(tmp_path: Path) -> None:
    main = """
import machine, network, socket, time
from machine import Pin
button = Pin(27, Pin.IN, Pin.PULL_UP)
edges = []
button.irq(lambda pin: edges.append(pin.value()), Pin.IRQ_FALLING | Pin.IRQ_RISING)
counter = machine.Counter(0, button, edge=machine.Counter.FALLING)
wlan = network.WLAN(network.STA_IF)
wlan.active(True)
wlan.connect("sigap", "")
while not wlan.isconnected():
    time.sleep_ms(100)
time.sleep(5)
socket.getaddrinfo("broker.example", 1883)
time.sleep_ms(1)
print(len(edges) < 12, set(edges), counter.value())
"""
    with bench(tmp_path, main) as world:
        board = world.boards["b"]
        board.set_names(stall_us=8_000_000)
        board.press(presses(6), 12_000_000)
        world.run(20)
        assert lines(world) == ["True {1} 6"]


def test_light_and_deep_sleep_in_realtime(tmp_path: Path) -> None:
    with one_board(tmp_path, LIGHT + "\n" + DEEP.replace("import esp32, machine, time\n", "")) as client:

        def said(start: str) -> str:
            return client.event(lambda e: e["event"] == "console" and e["text"].startswith(start), 15)["text"]

        def sleeps() -> None:
            client.event(lambda e: e["event"] == "cpu" and e["state"] == "light", 15)

        sleeps()
        assert said("timer") == "timer True True"
        assert said("wifi") == "wifi False"
        sleeps()
        client.press("b", presses=1)
        assert said("pin") == "pin 0 True irq [] counted 0"
        client.press("b", presses=1)
        assert said("after").startswith("after [1, 0")
        assert said("start").startswith("start 1 2 b''")
        boot = client.event(lambda e: e["event"] == "boot" and e["cause"] == 4, 15)
        assert boot["cause"] == 4
