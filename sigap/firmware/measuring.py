"""What the firmware takes of a board's RAM, by running its files in the real MicroPython."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from sigap.firmware.bundle import Bundle
from sigap.problem import Problem, missing

# 140 kB with the unix port's 64-bit objects stand for about 96 kB of an ESP32 without PSRAM.
HEAP_KB = 140
LIMIT_S = 60
BLOCK_BYTES = 32  # of the garbage collector, with 64-bit objects

# As main.py does, without what needs a chip. mem_info says the largest piece in use and the largest free one.
_SCRIPT = """
import gc, micropython, sys
sys.path[:] = [sys.argv[1], ".frozen"]
gc.collect()
bare = gc.mem_alloc()
import panic.app, panic.files, panic.settings, panic_wire.keys
gc.collect()
used = gc.mem_alloc() - bare
for package, name in ((panic, "settings"), (panic, "schema"), (panic_wire, "keys")):
    delattr(package, name)
    del sys.modules[package.__name__ + "." + name]
gc.collect()
running, free = gc.mem_alloc() - bare, gc.mem_free()
print(used, running, free)
micropython.mem_info()
"""


@dataclass(frozen=True)
class Ram:
    """Bytes: after every import; the same without the settings' checks, which main.py drops; free; the largest single
    allocation that stays, and the largest block that can still be had in one piece."""

    imported: int
    running: int
    free: int
    largest_allocation: int
    largest_free: int


def measure(bundle: Bundle, heap_kb: int = HEAP_KB) -> Ram:
    """Import the bundle in a heap of `heap_kb`. Raises Problem when that fails."""
    interpreter = Path(sys.executable).parent / "micropython"
    if not interpreter.exists():
        missing(f"the MicroPython interpreter (expected at {interpreter})", "Run `make setup`")
    with tempfile.TemporaryDirectory(prefix="sigap-bundle-") as folder:
        for name, content in bundle.files.items():
            path = Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        script = Path(folder, "measure_ram.py")
        script.write_text(_SCRIPT)
        command = [str(interpreter), "-X", f"heapsize={heap_kb}k", str(script), folder]
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S)
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
        raise Problem(f"the firmware does not import in a heap of {heap_kb} kB: {said[-1]}", "Make it smaller")
    figures, *info = done.stdout.splitlines()
    blocks = re.search(r"max blk sz: (\d+), max free sz: (\d+)", "".join(info))
    if blocks is None:
        raise Problem(f"this MicroPython says {info!r} of its memory", "Use the one that `make setup` installs")
    return Ram(*map(int, figures.split()), *(int(size) * BLOCK_BYTES for size in blocks.groups()))
