"""vectors.json is what the independent encoder makes; tests/firmware/test_wire_vectors.py reads it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

GENERATOR = Path(__file__).with_name("make_vectors.py")
VECTORS = Path(__file__).resolve().parents[2] / "firmware" / "panic_wire" / "vectors.json"
PHONE_VECTORS = Path(__file__).resolve().parents[2] / "docs" / "api" / "phone-vectors.json"


def run(*arguments: str, script: Path = GENERATOR) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(script), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_vectors_are_what_the_generator_makes() -> None:
    done = run("--check")
    assert done.returncode == 0, done.stderr


def test_the_check_sees_a_changed_file(tmp_path: Path) -> None:
    here, there = tmp_path / "tests" / "contract", tmp_path / "firmware" / "panic_wire"
    here.mkdir(parents=True)
    there.mkdir(parents=True)
    (tmp_path / "docs" / "api").mkdir(parents=True)
    for name in (
        "make_vectors.py",
        "wire_cases.py",
        "wire_compact.py",
        "wire_encoder.py",
        "wire_phone.py",
        "wire_published.py",
    ):
        (here / name).write_bytes(GENERATOR.with_name(name).read_bytes())
    (here / "make_vectors.py").write_bytes(GENERATOR.read_bytes())
    script, copy = here / "make_vectors.py", there / "vectors.json"
    assert run("--check", script=script).returncode == 1, "a missing file is not the right file"
    copy.write_bytes(VECTORS.read_bytes())
    (tmp_path / "docs" / "api" / "phone-vectors.json").write_bytes(PHONE_VECTORS.read_bytes())
    assert run("--check", script=script).returncode == 0
    copy.write_text(VECTORS.read_text(encoding="utf-8").replace('"age_ms": 1234', '"age_ms": 1235', 1), "utf-8")
    done = run("--check", script=script)
    assert done.returncode == 1
    assert "vectors.json" in done.stderr


def test_the_generator_does_not_use_the_code_under_test() -> None:
    for name in ("make_vectors.py", "wire_cases.py", "wire_compact.py", "wire_encoder.py", "wire_published.py"):
        lines = GENERATOR.with_name(name).read_text(encoding="utf-8").splitlines()
        assert not [line for line in lines if line.lstrip().startswith(("from panic_wire", "import panic_wire"))]
