"""What the firmware needs of a board: its own files, heap, peripherals, flash, clock."""

from __future__ import annotations

from tests.system.mpremote_lab import Mpremote

LEAST_FREE_BYTES = 20_000  # for sockets, TLS and the alarms; docs/firmware.md


def test_the_firmware_imports_and_leaves_heap(device: Mpremote) -> None:
    code = """
import gc
import hal.board, mqtt, panic.app, panic.files, panic.settings, panic_wire.keys
gc.collect()
print(gc.mem_free())
"""
    assert int(device("exec", code)) >= LEAST_FREE_BYTES


def test_peripherals(device: Mpremote) -> None:
    code = """
import machine
from machine import PWM, UART, WDT, Pin
button = Pin(27, Pin.IN, Pin.PULL_UP)
print(button.value() in (0, 1), callable(button.irq), Pin.IRQ_FALLING != Pin.IRQ_RISING)
print(callable(WDT), callable(PWM), len(machine.unique_id()), machine.reset_cause())
uart = UART(1, 9600, tx=17, rx=16)
print(uart.any() >= 0, hasattr(uart, "read"))
"""
    assert device("exec", code).splitlines() == ["True True True", "True True 6 5", "True True"]


def test_littlefs_writes_renames_and_reads_back(device: Mpremote) -> None:
    code = """
import os
content = bytes(range(256)) * 20
with open("/device-test.new", "wb") as f:
    f.write(content)
with open("/device-test", "wb") as f:
    f.write(b"old")
os.rename("/device-test.new", "/device-test")
with open("/device-test", "rb") as f:
    print(f.read() == content, os.stat("/device-test")[6], "device-test.new" in os.listdir("/"))
"""
    assert device("exec", code) == "True 5120 False\n"
    # And after a soft reset, by another process.
    code = """
import os
with open("/device-test", "rb") as f:
    print(f.read() == bytes(range(256)) * 20)
os.remove("/device-test")
print("device-test" in os.listdir("/"))
"""
    assert device("exec", code) == "True\nFalse\n"


def test_ticks_wrap(device: Mpremote) -> None:
    code = """
from time import sleep_ms, ticks_add, ticks_diff, ticks_ms
period = 1 << 30
print(ticks_diff(3, period - 5), ticks_diff(period - 5, 3), ticks_add(period - 5, 8))
begin = ticks_ms()
sleep_ms(50)
print(0 <= begin < period, 50 <= ticks_diff(ticks_ms(), begin) < 2000)
"""
    assert device("exec", code) == "8 -8 3\nTrue True\n"
