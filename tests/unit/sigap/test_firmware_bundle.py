"""The bundle: compiled files, the same bytes wherever and whenever it is made, and a manifest that says so."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sigap.firmware import bundle, measuring
from sigap.firmware.compiling import FIRMWARE, firmware_files
from sigap.problem import Problem

# What another process builds: source folder, cache and result are its arguments.
BUILD = """
import sys
from pathlib import Path
from sigap.firmware import bundle
source, cache, out = map(Path, sys.argv[1:])
bundle.write(bundle.make(source, cache), out)
"""


def test_firmware_is_compiled_except_boot_and_main(tmp_path: Path) -> None:
    source = tmp_path / "firmware"
    (source / "panic").mkdir(parents=True)
    (source / "panic" / "main.py").write_text("x = 1\n")
    (source / "main.py").write_text("import panic.main\n")
    (source / "manifest.py").write_text("include()\n")
    (source / "vectors.json").write_text("{}")
    cache = tmp_path / "cache"
    files = firmware_files(source, cache)
    assert sorted(files) == ["main.py", "panic/main.mpy"]
    assert files["panic/main.mpy"][:2] == b"M\x06", "mpy version 6"
    kept = {path: path.stat().st_mtime_ns for path in cache.iterdir()}
    assert firmware_files(source, cache) == files
    assert {path: path.stat().st_mtime_ns for path in cache.iterdir()} == kept, "nothing compiled twice"
    (source / "panic" / "main.py").write_text("x = 2\n")
    assert firmware_files(source, cache)["panic/main.mpy"] != files["panic/main.mpy"]


def test_a_source_that_does_not_compile(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "broken.py").write_text("def f(:\n")
    with pytest.raises(Problem, match=r"broken\.py:1: invalid syntax"):
        firmware_files(tmp_path, tmp_path / "cache")
    (tmp_path / "broken.py").write_text("match 1:\n    case _:\n        pass\n")  # not MicroPython
    with pytest.raises(Problem, match=r"broken\.py does not compile for MicroPython"):
        firmware_files(tmp_path, tmp_path / "cache")
    assert not list((tmp_path / "cache").glob("*.mpy"))


def test_no_firmware(tmp_path: Path) -> None:
    with pytest.raises(Problem, match="no firmware in"):
        firmware_files(tmp_path)


def folder_hash(folder: Path) -> str:
    lines = [
        f"{path.relative_to(folder)} {path.read_bytes().hex()}" for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def test_the_same_bytes_wherever_and_whenever(tmp_path: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__")
    here, there = tmp_path / "here" / "firmware", tmp_path / "a" / "longer path" / "fw"
    shutil.copytree(FIRMWARE, here, ignore=ignored)
    shutil.copytree(FIRMWARE, there, ignore=ignored)
    for age_s, path in enumerate(there.rglob("*.py")):
        os.utime(path, (age_s, age_s))  # the same text, from another time
    hashes = set()
    for folder, zone in ((here, "Asia/Jakarta"), (there, "UTC")):
        out = folder.parent / "out"
        # A process of its own with an empty cache: nothing is handed over from the first build.
        command = [sys.executable, "-c", BUILD, folder, folder.parent / "cache", out]
        environment = {**os.environ, "TZ": zone, "PYTHONHASHSEED": str(len(zone))}
        subprocess.run(list(map(str, command)), cwd=folder.parent, env=environment, check=True, timeout=60)
        hashes.add(folder_hash(out))
    assert len(hashes) == 1
    made = bundle.read(here.parent / "out")
    assert made.files == firmware_files(), "the simulator's boards run these bytes"
    assert made.manifest["version"] == bundle.version_of(FIRMWARE)
    assert made.manifest["mpy"] == "6"


def test_a_bundle_that_was_touched_is_refused(tmp_path: Path) -> None:
    out = tmp_path / "out"
    small = tmp_path / "firmware"
    (small / "panic").mkdir(parents=True)
    (small / "panic" / "__init__.py").write_text("FIRMWARE = (1, 2, 3)\n")
    (small / "main.py").write_text("import panic\n")
    made = bundle.make(small, tmp_path / "cache")
    bundle.write(made, out)
    bundle.write(made, out)
    assert bundle.read(out) == made
    assert sorted(path.name for path in out.parent.iterdir()) == ["cache", "firmware", "out"], "nothing is left over"
    (out / "files" / "main.py").write_text("import os\n")
    with pytest.raises(Problem, match=r"is damaged \(main\.py\)"):
        bundle.read(out)
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["files"]["../../outside.py"] = manifest["files"].pop("main.py")
    (out / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(Problem, match="no path of a firmware file"):
        bundle.read(out)
    with pytest.raises(Problem, match="Build it: `make firmware`"):
        bundle.read(tmp_path / "nothing")


def test_what_make_firmware_prints(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sigap.firmware", "--out", str(tmp_path / "out")]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert f"sha256 {bundle.read(tmp_path / 'out').manifest['bundle']}" in shown
    ram = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)["ram"]
    for figure in (ram["imported"], ram["running"], ram["free"], ram["largest_allocation"], ram["largest_free"]):
        assert f"{figure:,}" in shown
    assert ram["largest_allocation"] < ram["running"] < ram["imported"]
    assert ram["largest_free"] <= ram["free"]


def test_a_firmware_that_does_not_fit() -> None:
    with pytest.raises(Problem, match="does not import in a heap of 60 kB"):
        measuring.measure(bundle.make(), 60)
