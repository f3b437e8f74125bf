"""The operating-system side of a board: one MicroPython process that dies with its world."""

from __future__ import annotations

import asyncio
import hashlib
import os
import sys
from pathlib import Path

from sigap.problem import missing
from sigap.processes import die_with_parent
from simulator import image
from simulator.world.prompt import Prompt

BOARD_SOURCES = Path(__file__).resolve().parents[1] / "board"
# What launcher and shims take of the heap, measured. On a chip they are C and take none: a board gets this on top of
# its heap. `sigap board memory` says 60.2 kB (launcher); asyncio's 4 kB in it are not the shims', as a chip has them in
# its heap too. tests/system/test_board_heap.py holds both figures to what is there.
ASYNCIO_KB = 4
SHIMS_KB = 57
SENSORS_KB = 8  # on top, for the shims of I2C, SPI and ADC, on boards that have them
PROMPT_KB = 8  # on top of those, with a serial port: what is typed is compiled, and the firmware may have left little


def micropython() -> Path:
    """The MicroPython unix port beside this Python. Raises Problem (exit code 3) when it is not installed."""
    path = Path(sys.executable).parent / "micropython"
    if not path.exists():
        missing(f"the MicroPython interpreter (expected at {path})", "Run `make setup`")
    return path


def launcher_folder(cache: Path = image.CACHE) -> Path:
    """A folder with the package `virtual_board`, compiled: compiling would cost the board's heap."""
    files = image.compile_tree(BOARD_SOURCES, cache)
    digest = hashlib.sha256(b"".join(name.encode() + content for name, content in files.items())).hexdigest()[:16]
    folder = cache.parent / "virtual_board" / digest
    for name, content in files.items():
        path = folder / "virtual_board" / name
        if path.exists():
            continue
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.{os.getpid()}.part")
        part.write_bytes(content)
        os.replace(part, path)
    return folder


async def spawn(
    *,
    folder: Path,
    name: str,
    image_path: Path,
    heap_kb: int,
    port: int,
    token: str,
    run: int,
    flash: str = "",
    sensors: bool = False,
    prompt: Prompt | None = None,
) -> asyncio.subprocess.Process:
    """Start a board with `heap_kb` for its firmware. Its output (stdout and stderr together) is a pipe.

    flash: what is wrong with it, as simulator/board/bad_flash.py takes it. sensors: it has chips on a bus, or a
    voltage to measure. With `prompt` it reads that one's input, and
    ends at the interpreter's prompt. Its secrets are in its environment, not in `ps`.
    """
    wake_read, wake_write = map(os.dup, prompt.wake) if prompt else os.pipe()
    environment = {
        "PATH": os.environ.get("PATH", "/usr/bin:/bin"),
        "MICROPYPATH": f"{folder}:.frozen",
        "PYTHONNOUSERSITE": "1",
        "SIGAP_WORLD_PORT": str(port),
        "SIGAP_WORLD_TOKEN": token,
        "SIGAP_BOARD": name,
        "SIGAP_RUN": str(run),
        "SIGAP_IMAGE": str(image_path.resolve()),
        "SIGAP_WAKE": f"{wake_read},{wake_write}",
        **({"SIGAP_FLASH": flash} if flash else {}),
    }
    try:
        return await asyncio.create_subprocess_exec(
            str(micropython()),
            "-X",
            f"heapsize={heap_kb + SHIMS_KB + (PROMPT_KB if prompt else 0) + (SENSORS_KB if sensors else 0)}k",
            *(["-i"] if prompt else []),
            "-c",
            "__import__('virtual_board.launcher')",
            stdin=prompt.stdin if prompt else asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env=environment,
            pass_fds=(wake_read, wake_write),
            start_new_session=True,
            preexec_fn=die_with_parent,
            limit=64 << 10,
        )
    finally:
        os.close(wake_read)
        os.close(wake_write)
