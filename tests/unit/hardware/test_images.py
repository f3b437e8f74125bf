"""MicroPython images: only with their SHA-256, only for the board's chip, fetched whole or not at all."""

from __future__ import annotations

import hashlib
import http.server
import threading
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from hardware.flashing import images
from hardware.generate import read_boards
from sigap.problem import Problem

BYTES = bytes([0xE9, 4, 2, 0x20]) + bytes(8) + b"\x00\x00" + bytes(1000)
SUM = hashlib.sha256(BYTES).hexdigest()
IMAGE = replace(images.find("ESP32_GENERIC"), sha256=SUM)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SIGAP_IMAGES", str(tmp_path / "images"))
    return tmp_path / "images"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "www").mkdir()
    (tmp_path / "www" / "good.bin").write_bytes(BYTES)
    (tmp_path / "www" / "bad.bin").write_bytes(BYTES + b"x")
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path / "www"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{one.server_port}"
        one.shutdown()
        thread.join()


def said(problem: pytest.ExceptionInfo[Problem]) -> str:
    return str(problem.value)


def test_every_board_has_its_image() -> None:
    for board in read_boards().values():
        assert images.find(board.board.image).chip == board.board.chip
    with pytest.raises(Problem, match="has no image NOTHING"):
        images.find("NOTHING")


def test_fetched_once_and_compared(server: str, cache: Path) -> None:
    path = images.get(replace(IMAGE, url=f"{server}/good.bin"), None, None)
    assert path == cache / IMAGE.file
    assert path.read_bytes() == BYTES
    assert images.get(replace(IMAGE, url="http://127.0.0.1:1/"), None, None) == path, "from the cache"


def test_a_download_that_is_not_the_pinned_one_is_not_kept(server: str, cache: Path) -> None:
    with pytest.raises(Problem, match=f"not {SUM}"):
        images.get(replace(IMAGE, url=f"{server}/bad.bin"), None, None)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("page", ["/nothing.bin", None])
def test_what_to_do_by_hand(server: str, cache: Path, page: str | None) -> None:
    url = f"{server}{page}" if page else "http://127.0.0.1:1/"
    with pytest.raises(Problem, match="cannot be fetched") as problem:
        images.get(replace(IMAGE, url=url), None, None)
    assert f"put it at {cache / IMAGE.file}, or give it by --image" in said(problem)
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize(
    ("content", "sha256", "words"),
    [
        (BYTES, None, "the SHA-256 of one.bin is not known"),
        (BYTES, "00" * 32, f"has the SHA-256 {SUM}"),
        (b"\x7fELF" + bytes(100), "", "is no image for an ESP32"),
        (BYTES[:12] + b"\x09\x00" + BYTES[14:], "", "is for another chip than the esp32"),
        (bytes((4 << 20) + 1), "", "has more than 4 MB"),
    ],
)
def test_a_file_that_will_not_do(tmp_path: Path, content: bytes, sha256: str | None, words: str) -> None:
    path = tmp_path / "one.bin"
    path.write_bytes(content)
    with pytest.raises(Problem, match=words):
        images.get(IMAGE, path, hashlib.sha256(content).hexdigest() if sha256 == "" else sha256)


def test_a_file_with_its_own_sum(tmp_path: Path) -> None:
    path = tmp_path / "one.bin"
    path.write_bytes(BYTES)
    assert images.get(replace(IMAGE, sha256=""), path, SUM.upper()) == path
    with pytest.raises(Problem, match="cannot be read"):
        images.get(IMAGE, tmp_path / "gone.bin", SUM)


def test_nothing_is_taken_unpinned() -> None:
    with pytest.raises(Problem, match="is not known"):
        images.get(replace(IMAGE, sha256=""), None, None)


def test_every_shipped_board_has_a_pinned_image() -> None:
    for board in read_boards().values():
        assert len(images.find(board.board.image).sha256) == 64, board.board.name
