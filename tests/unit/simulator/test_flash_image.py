"""Flash images: round trip, a re-flash that keeps what the board has stored, the cache of compiled files."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from sigap.problem import Problem
from simulator import image


def test_round_trip(tmp_path: Path) -> None:
    files = {
        "boot.py": b"",
        "main.py": b"print(1)\n" * 500,
        "state/a": bytes(range(256)),
        "hal/deep/x.mpy": b"M",
    }
    path = tmp_path / "b.img"
    image.build(path, files)
    assert path.stat().st_size == 2 << 20
    assert path.stat().st_mode & 0o777 == 0o600, "it holds the root key"
    assert image.read_files(path) == files
    assert image.read_files(path, "/state") == {"state/a": bytes(range(256))}
    assert image.read_file(path, "/main.py") == files["main.py"]
    assert image.read_file(path, "nothing") is None


def test_reflash_keeps_what_the_board_has_stored(tmp_path: Path) -> None:
    path = tmp_path / "b.img"
    stored = {"state/a": b"counter", "journal/0/page": b"open alarm", "device.json": b"{}"}
    image.flash(path, {"main.py": b"old", "panic/old.mpy": b"old"})
    image.write_files(path, stored)
    image.flash(path, {"main.py": b"new", "panic/new.mpy": b"new"})
    assert image.read_files(path) == {**stored, "main.py": b"new", "panic/new.mpy": b"new"}
    image.flash(path, {"main.py": b"new", "device.json": b'{"device": 1}'})
    assert image.read_file(path, "device.json") == b'{"device": 1}'


@pytest.mark.parametrize(
    ("prepare", "words"),
    [
        (lambda p: None, "there is no flash image"),
        (lambda p: p.write_bytes(b"short"), "is no flash image (5 bytes)"),
        (lambda p: p.write_bytes(bytes(2 << 20)), "holds no readable filesystem"),
    ],
)
def test_what_is_no_image(tmp_path: Path, prepare, words: str) -> None:
    prepare(tmp_path / "b.img")
    with pytest.raises(Problem) as caught:
        image.read_files(tmp_path / "b.img")
    assert words in str(caught.value)


def test_keys_are_not_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        image.build(tmp_path / "b.img", {"device.json": b"the root key"})
    assert "root key" not in caplog.text
