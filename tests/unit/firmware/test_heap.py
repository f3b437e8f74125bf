"""What the firmware costs in RAM: the bundle under the real MicroPython, in the heap of a board."""

from __future__ import annotations

import pytest

from sigap.firmware.bundle import make
from sigap.firmware.measuring import HEAP_KB, measure

# The aim: 140 kB with 64-bit objects stand for the 96 kB or so that an ESP32 without PSRAM has, and what is left is for
# sockets, TLS and the alarms.
LIMIT_BYTES = 85 * 1024


def test_the_firmware_leaves_room(capsys: pytest.CaptureFixture[str]) -> None:
    ram = measure(make())
    with capsys.disabled():
        print(
            f"\nfirmware in {HEAP_KB} kB: {ram.imported:,} bytes imported, {ram.running:,} without settings and keys, "
            f"{ram.free:,} free"
        )
    assert ram.running <= LIMIT_BYTES
