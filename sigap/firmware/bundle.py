"""The bundle: what `make firmware` leaves in build/firmware, what `sigap flash` copies, what the simulator runs.

    build/firmware/manifest.json     what is in it; on a device it is /manifest.json and is written last
    build/firmware/files/...         the files as they lie on a device
    build/firmware/joined/...        what a traceback's lines are those of: the sources, joined as in the .mpy files

manifest.json, version 1:

    {"manifest": 1, "version": "0.1.0", "mpy": "6", "slot": "",
     "files": {"main.py": {"sha256": "...", "size": 812}, ...}, "bundle": "..."}

version: of the firmware (panic.FIRMWARE). mpy: ABI of the .mpy files, which the MicroPython on the device must read.
bundle: SHA-256 over every path and its hash, so that one line names the whole. slot: folder below which the files lie,
with its slash: "" until there are the two slots of the design ("a/", "b/"). A signature will be another file beside
this one, over its bytes; so manifest.json has one form only (sorted keys, no spaces).
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sigap.firmware.compiling import CACHE, FIRMWARE, ROOT, firmware_files, joined_texts
from sigap.problem import Problem

OUT = ROOT / "build" / "firmware"
MANIFEST = "manifest.json"
FORMAT = 1
FIELDS = {"manifest", "version", "mpy", "slot", "files", "bundle"}
PATH = re.compile(r"[a-z0-9_]+(/[a-z0-9_]+)*\.(py|mpy)")


@dataclass(frozen=True)
class Bundle:
    """files: {path on the device: content}; manifest: as above; joined: {path: text}, for people only."""

    files: dict[str, bytes]
    manifest: dict[str, Any]
    joined: dict[str, str] = field(default_factory=dict, compare=False)

    @property
    def manifest_bytes(self) -> bytes:
        return json.dumps(self.manifest, sort_keys=True, separators=(",", ":")).encode() + b"\n"

    @property
    def size(self) -> int:
        return sum(map(len, self.files.values()))


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def version_of(folder: Path) -> str:
    """The version that panic/__init__.py states: FIRMWARE = (0, 1, 0) is "0.1.0". Raises Problem."""
    path = folder / "panic" / "__init__.py"
    found = re.search(r"^FIRMWARE = \((\d+), (\d+), (\d+)\)$", path.read_text(), re.M) if path.exists() else None
    if found is None:
        raise Problem(f"{path} does not say its version", "Write FIRMWARE = (major, minor, patch) in it")
    return ".".join(found.groups())


def mpy_abi(files: dict[str, bytes]) -> str:
    """The version of the .mpy files, "6": the second byte of their header. Raises Problem.

    The third byte is 0 where there is no native code (MicroPython, py/persistentcode.c): such files load on every chip,
    whatever the sub-version of its MicroPython.
    """
    found = {(content[1], content[2]) for name, content in files.items() if name.endswith(".mpy")}
    if len(found) != 1 or next(iter(found))[1]:
        raise Problem(f"the .mpy files are of several kinds ({sorted(found)})", "Empty build/mpy and build them again")
    return str(found.pop()[0])


def whole_hash(files: dict[str, dict[str, Any]]) -> str:
    """SHA-256 over "<hash>  <path>" lines in the order of the paths, as sha256sum prints them."""
    return sha256("".join(f"{files[name]['sha256']}  {name}\n" for name in sorted(files)).encode())


def make(folder: Path = FIRMWARE, cache: Path = CACHE) -> Bundle:
    """Compile the firmware in `folder`. Same sources and same mpy-cross, same bytes. Raises Problem."""
    files = firmware_files(folder, cache)
    listed = {name: {"sha256": sha256(content), "size": len(content)} for name, content in files.items()}
    manifest = {
        "manifest": FORMAT,
        "version": version_of(folder),
        "mpy": mpy_abi(files),
        "slot": "",
        "files": listed,
        "bundle": whole_hash(listed),
    }
    return Bundle(files, manifest, joined_texts(folder))


def write(bundle: Bundle, out: Path = OUT) -> None:
    """Replace `out` by this bundle, with nothing else in it; whole or not at all."""
    out.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(dir=out.parent, prefix=out.name + ".part-"))
    try:
        for name, content in bundle.files.items():
            path = part / "new" / "files" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        for name, text in bundle.joined.items():
            path = part / "new" / "joined" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (part / "new" / MANIFEST).write_bytes(bundle.manifest_bytes)
        if out.exists():
            os.replace(out, part / "old")
        os.replace(part / "new", out)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def read(out: Path = OUT) -> Bundle:
    """A bundle from its folder, every hash compared. Raises Problem."""
    todo = "Build it: `make firmware`"
    try:
        manifest = json.loads((out / MANIFEST).read_bytes())
        files = {name: (out / "files" / checked_path(name)).read_bytes() for name in manifest["files"]}
    except OSError as error:
        raise Problem(f"there is no whole bundle in {out} ({error.strerror}: {error.filename})", todo) from error
    except (ValueError, KeyError, TypeError) as error:
        raise Problem(f"{out / MANIFEST} cannot be read ({error})", todo) from error
    if manifest.get("manifest") != FORMAT or set(manifest) != FIELDS:
        raise Problem(f"{out / MANIFEST} is no manifest of version {FORMAT}", todo)
    wrong = [name for name, content in files.items() if manifest["files"][name]["sha256"] != sha256(content)]
    if wrong or whole_hash(manifest["files"]) != manifest["bundle"]:
        raise Problem(f"{out} is damaged ({', '.join(wrong) or MANIFEST})", todo)
    return Bundle(files, manifest)


def checked_path(name: str) -> str:
    """A path of a manifest that stays below its folder. Raises ValueError."""
    if not PATH.fullmatch(name):
        raise ValueError(f"{name!r} is no path of a firmware file")
    return name
