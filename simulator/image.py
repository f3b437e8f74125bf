"""Flash images of virtual boards.

LittleFS with the firmware, the device's settings, and whatever the board has written.

The layout is that of a stock 4 MB ESP32: 512 blocks of 4 KiB, read and program size 32 bytes (MicroPython's
VfsLfs2 defaults), LittleFS disk version 2.1. The firmware on it comes from sigap.firmware, byte for byte what a real
button gets.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from littlefs import LittleFS
from littlefs.errors import LittleFSError

# What a world puts on its boards: taken from here by those who build images.
from sigap.firmware.compiling import CACHE as CACHE
from sigap.firmware.compiling import FIRMWARE as FIRMWARE
from sigap.firmware.compiling import compile_tree as compile_tree
from sigap.firmware.compiling import firmware_files as firmware_files
from sigap.problem import Problem

BLOCK_BYTES = 4096
BLOCKS = 512
# At DEBUG littlefs-python logs every byte it writes, root keys too.
logging.getLogger("littlefs").setLevel(logging.WARNING)
KEPT = ("device.json", "state", "journal")  # what a re-flash leaves alone


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
