"""Virtual time: the real firmware on the real interpreter, a day in seconds, the same from the same seed."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from virtual_lab import SITE, bench, shop, virtual

from simulator import observe
from simulator.virtual.world import Button, VirtualWorld
from simulator.world.presses import presses

PRESSED_S = 20.0
THIRD_PRESS_US = int((PRESSED_S + 0.6) * 1e6)


def pressed(world: VirtualWorld, name: str = "shop", at_s: float = PRESSED_S) -> None:
    world.boards[name].press(presses(3), int(at_s * 1e6))


def console(world: VirtualWorld, name: str = "b") -> list[str]:
    return list(world.boards[name].console)


def test_one_press_goes_all_the_way_and_the_light_says_so() -> None:
    with virtual() as world:
        pressed(world)
        world.run(30)
        assert world.gateway.act(1, "acknowledged", "operator:Ani")
        world.run(34)
        (alarm,) = world.store.alarms()
        assert alarm["state"] == "acknowledged"
        assert 0 < alarm["received_us"] - THIRD_PRESS_US < 100_000
        said = observe.words(world.boards["shop"].pins.since())
        assert [word for word, _ in said] == ["received", "acknowledged"]
        assert world.journal("shop") == [f"r{alarm['activation']:08x}"]
        told = [(task.to, task.stage) for _, task in world.gateway.told]
        assert told == [("relative", "opened"), ("police", "opened"), ("police", "acknowledged")]


def night(seed: int) -> str:
    """A world with a bit of everything, as its whole trace."""
    citizen = Button("citizen", track=[(0.0, *SITE), (300.0, SITE[0] + 0.01, SITE[1])], wifi={"rssi_dbm": -77})
    with virtual(shop(), citizen, shop("kiosk", settings={"silent": True}), seed=seed) as world:
        kernel = world.kernel
        world.boards["citizen"].link.change(loss=0.2)
        for name, at_s in (("shop", 20.0), ("citizen", 60.0), ("kiosk", 61.0)):
            world.boards[name].press(presses(3, bounce_ms=8, seed=seed), int(at_s * 1e6))
        kernel.at(60_700_000, world.boards["shop"].power_off, world.boards["shop"])
        kernel.at(75_000_000, world.boards["shop"].power_on, world.boards["shop"])
        kernel.at(61_640_000, world.gateway.kill)
        kernel.at(64_000_000, world.gateway.start)
        kernel.at(90_000_000, world.kill_broker)
        kernel.at(95_000_000, world.broker.start)
        world.run(200)
        assert len(world.store.alarms()) == 3
        return world.trace.text()


def test_the_same_seed_gives_the_same_trace_byte_for_byte_and_another_seed_another() -> None:
    first = night(7)
    affinity = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(affinity)})  # the boards' processes run in another order
        again = night(7)
    finally:
        os.sched_setaffinity(0, affinity)
    assert first == again
    assert night(8) != first
    entries = [json.loads(line) for line in first.splitlines()]
    assert {"shop", "citizen", "kiosk", "broker", "gateway"} <= {entry["who"] for entry in entries}


def test_the_trace_is_in_the_order_of_time() -> None:
    moments = [json.loads(line)["at_us"] for line in night(9).splitlines()]
    assert moments == sorted(moments)


def test_a_day_of_an_idle_button(record_property: pytest.RecordProperty) -> None:
    """The figure is for `-s` and the report; only a wide limit fails (the aim is 15 s on an idle machine)."""
    began = time.perf_counter()
    with virtual() as world:
        world.run(86_400)
        took_s = time.perf_counter() - began
        devices = world.store.devices()
        beats = world.store.counts()["ingest.heartbeats"]
    record_property("day_s", took_s)
    print(f"\na day of one idle button: {took_s:.1f} s, {beats} heartbeats")
    assert devices["shop"]["online"]
    assert 288 < beats < 330, "one in five minutes, with jitter"
    assert 86_400_000_000 - devices["shop"]["last_heard_us"] < 330_000_000
    assert took_s < 90


def test_ticks_wrap_between_press_and_receipt() -> None:
    # The wrap comes while the alarm is under way: 700 ms of start, then some 17 s to the press.
    with virtual(shop(ticks_ms=(1 << 30) - 18_000)) as world:
        pressed(world)
        world.run(120)
        (alarm,) = world.store.alarms()
        ticks = [entry["t_ms"] for entry in world.boards["shop"].pins.since() if entry["t_ms"] is not None]
        assert max(ticks) > (1 << 30) - 5_000
        assert ticks[-1] < 200_000
        assert abs(alarm["pressed_us"] - THIRD_PRESS_US) < 60_000, "the age survives the wrap"


def test_an_interrupt_waits_while_flash_is_erased_and_edges_become_one(tmp_path: Path) -> None:
    main = """
import machine, time
seen = []
pin = machine.Pin(27, machine.Pin.IN, machine.Pin.PULL_UP)
pin.irq(lambda p: seen.append((time.ticks_ms(), p.value())), machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)
time.sleep_ms(1000)
began = time.ticks_ms()
for n in range(40):
    with open("/f%d" % n, "w") as f:
        f.write("x" * 3000)
ended = time.ticks_ms()
time.sleep_ms(1)
print("stalled", ended - began)
print("seen", [(t >= ended, v) for t, v in seen])
"""
    with bench(tmp_path, main) as world:
        board = world.boards["b"]
        world.run(4)
        start_us = next(json.loads(x)["at_us"] for x in world.trace.lines if '"what":"boot"' in x)
        board.press([(0, 0), (50, 1), (100, 0)], start_us + 1_100_000)
        world.run(30)
        stalled = int(console(world)[-2].split()[1])
        assert stalled > 40 * 45, "each file costs at least an erase"
        assert console(world)[-1] == "seen [(True, 0)]", "one interrupt, late, with the level as it is then"


def test_the_scheduler_queue_overflows_while_a_name_is_looked_up(tmp_path: Path) -> None:
    main = """
import machine, network, socket, time
seen = []
pin = machine.Pin(27, machine.Pin.IN, machine.Pin.PULL_UP)
pin.irq(lambda p: seen.append(time.ticks_ms()), machine.Pin.IRQ_FALLING | machine.Pin.IRQ_RISING)
wlan = network.WLAN()
wlan.active(True)
wlan.connect("sigap", "")
while not wlan.isconnected():
    time.sleep_ms(10)
began = time.ticks_ms()
print("looking")
try:
    socket.getaddrinfo("broker.example", 1883)
except OSError as error:
    print("failed", error.errno)
time.sleep_ms(1)
print("took", time.ticks_diff(time.ticks_ms(), began), "seen", len(seen))
"""
    with bench(tmp_path, main) as world:
        board = world.boards["b"]
        board.set_names(stall_us=5_000_000, fails=True)
        board.press([(20 * n, n % 2) for n in range(20)], 7_000_000)
        world.run(20)
        assert console(world) == ["looking", "failed -202", "took 5001 seen 8"]
        assert board.overflows == 12


def test_a_watchdog_bites_who_hangs_in_waiting(tmp_path: Path) -> None:
    main = """
import machine, time
if machine.reset_cause() != machine.WDT_RESET:
    machine.WDT(timeout=5000)
    time.sleep(60)
print("cause", machine.reset_cause())
"""
    with bench(tmp_path, main) as world:
        world.run(30)
        assert console(world) == ["cause 3"]
        reset = next(json.loads(line) for line in world.trace.lines if '"what":"reset"' in line)
        boot = next(json.loads(line) for line in world.trace.lines if '"what":"boot"' in line)
        assert reset["at_us"] - boot["at_us"] == 5_000_000


def test_a_power_cut_tears_the_page_that_is_written(tmp_path: Path) -> None:
    main = """
import os
from micropython import const
try:
    with open("/log") as f:
        print("kept", len(f.read()))
except OSError:
    print("new")
n = 0
while True:
    n += 1
    with open("/log", "w") as f:
        f.write("%06d" % n * 500)
"""
    with bench(tmp_path, main) as world:
        board = world.boards["b"]
        for k in range(12):
            at_us = 10_000_000 + k * 1_000_000 + k * 137
            world.kernel.at(at_us, board.power_off, board)
            world.kernel.at(at_us + 100_000, board.power_on, board)
        world.run(25)
        lines = console(world)
        assert lines[0] == "new"
        assert len(lines) == 13, "it mounted after every cut"
        assert set(lines[1:]) == {"kept 3000"}, "LittleFS shows the old file or the new one, whole"


def test_a_worn_block_fails_and_the_alarm_goes_out(tmp_path: Path) -> None:
    button = shop(plan={"wear_limit": 1})
    with virtual(button) as world:
        pressed(world)
        world.run(60)
        assert world.boards["shop"].worn
        assert len(world.store.alarms()) == 1


def test_a_board_that_hangs_without_waiting_is_reset_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simulator.virtual.process.HANG_LIMIT_S", 0.5)
    main = "import machine\nprint('cause', machine.reset_cause())\nwhile machine.reset_cause() != 3:\n    pass\n"
    with bench(tmp_path, main) as world:
        world.run(8)
        assert console(world) == ["cause 3"]
        assert any('"why":"hung"' in line for line in world.trace.lines)


def test_nothing_is_left_running() -> None:
    with virtual(shop(), shop("kiosk")) as world:
        world.run(5)
        pids = [board._process.pid for board in world.boards.values() if board._process]
        assert len(pids) == 2
    for pid in pids:
        assert not Path(f"/proc/{pid}").exists()
