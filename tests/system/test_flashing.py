"""`sigap flash`: the real esptool at a mock of the chip's bootloader, the real mpremote at a virtual board's port."""

from __future__ import annotations

import hashlib
import os
import random
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import serial
from esp32_mock_bootloader import mock_bootloader

from hardware.flashing import images
from hardware.flashing.copying import Copied, copy
from hardware.flashing.port import check
from hardware.flashing.repl import CHUNK_BYTES, open_repl
from hardware.flashing.rom import Rom
from sigap.firmware import bundle
from sigap.problem import Problem
from simulator import image
from simulator.testing import running_world, small_firmware
from simulator.world.client import WorldClient
from simulator.world.settings import BoardSettings, WorldSettings

SIGAP = [sys.executable, "-m", "sigap.cli"]
STORED = {"device.json": b"{}", "state/a": b"counters", "journal/u7": b"an alarm"}


def made_image(folder: Path, size: int) -> tuple[Path, str]:
    """What esptool takes for an ESP32's image, of bytes that do not compress; and its SHA-256."""
    content = bytes([0xE9, 0, 2, 0x20]) + bytes(20) + random.Random(1).randbytes(size)
    path = folder / "made.bin"
    path.write_bytes(content)
    return path, hashlib.sha256(content).hexdigest()


def flash(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*SIGAP, "flash", *arguments], capture_output=True, text=True, timeout=100)


def nothing(doing: str, share: float) -> None:
    """No progress is shown."""


# The chip


def test_micropython_onto_a_chip(tmp_path: Path) -> None:
    path, sha256 = made_image(tmp_path, 60_000)
    with mock_bootloader(chip="esp32") as chip:
        done = flash(
            *("--port", chip.url(), "--board", "devkit", "--image", str(path), "--sha256", sha256, "--micropython-only")
        )
    assert done.returncode == 0, done.stderr
    assert "MicroPython is on the board, verified (made.bin)" in done.stdout
    steps = [line for line in done.stderr.splitlines() if line.endswith(": done")]
    assert steps == [
        f"{step}: done" for step in ("looking for the chip", "erasing", "writing MicroPython", "verifying")
    ]


def test_another_chip_is_not_touched(tmp_path: Path) -> None:
    path, sha256 = made_image(tmp_path, 100)
    with mock_bootloader(chip="esp32s3") as chip:
        done = flash("--port", chip.url(), "--board", "tbeam", "--image", str(path), "--sha256", sha256)
    assert done.returncode == 1
    assert "the chip is an esp32s3, and tbeam has an esp32. Give the board that is plugged in by --board" in done.stderr
    assert "erasing" not in done.stderr


@contextmanager
def cable(far: int, last: int) -> Iterator[str]:
    """A port that leads to the one at `far` and is cut when `last` bytes went there by one connection."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def carry() -> None:
            while True:
                near, _ = listener.accept()
                with near, socket.create_connection(("127.0.0.1", far)) as chip:
                    if not one_connection(near, chip):
                        listener.close()
                        return

        def one_connection(near: socket.socket, chip: socket.socket) -> bool:
            left = last
            while True:
                for end in select.select([near, chip], [], [])[0]:
                    try:
                        content = end.recv(min(4096, left))
                    except ConnectionResetError:
                        content = b""
                    if not content:
                        return True
                    (chip if end is near else near).sendall(content)
                    left -= len(content) if end is near else 0
                    if not left:
                        return False

        Thread(target=carry, daemon=True).start()
        yield f"socket://127.0.0.1:{listener.getsockname()[1]}"


def test_the_cable_is_pulled_while_esptool_writes(tmp_path: Path) -> None:
    path, _ = made_image(tmp_path, 500_000)
    with (
        mock_bootloader(chip="esp32") as chip,
        cable(int(chip.url().rpartition(":")[2]), 250_000) as port,
        pytest.raises(Problem, match="the connection broke while writing MicroPython") as problem,
    ):
        Rom(port, nothing).flash(images.find("ESP32_GENERIC"), path)
    assert "Look at the cable" in problem.value.todo


def test_nobody_listens() -> None:
    with pytest.raises(Problem, match="cannot be opened"):
        Rom("socket://127.0.0.1:1", nothing).chip()


# The port


def test_a_port_that_is_not_there() -> None:
    done = flash("--port", "/dev/ttyNOTHING", "--board", "devkit", "--keep")
    assert done.returncode == 3
    assert "the port /dev/ttyNOTHING is missing" in done.stderr
    with pytest.raises(Problem, match="is no serial port"):
        check("/etc/hostname")


def test_a_port_that_another_program_has() -> None:
    master, slave = os.openpty()
    try:
        with (
            serial.Serial(os.ttyname(slave), exclusive=True),
            pytest.raises(Problem, match="is in use by another program"),
        ):
            check(os.ttyname(slave))
        assert check(os.ttyname(slave)) == os.ttyname(slave)
    finally:
        os.close(master)
        os.close(slave)


@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become somebody else")
def test_a_port_that_we_may_not_open() -> None:
    master, slave = os.openpty()
    os.chmod(os.ttyname(slave), 0o600)
    said_at, say_at = os.pipe()
    if (child := os.fork()) == 0:
        os.setgid(65534)
        os.setuid(65534)
        try:
            check(os.ttyname(slave))
            os.write(say_at, b"opened")
        except Problem as problem:
            os.write(say_at, str(problem).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    said = os.read(said_at, 1000).decode()
    for descriptor in (master, slave, said_at, say_at):
        os.close(descriptor)
    assert "no permission for /dev/pts/" in said
    assert "sudo usermod -aG dialout $USER" in said


# The firmware


@pytest.fixture(scope="module")
def made() -> bundle.Bundle:
    return bundle.make()


@pytest.fixture
def board(tmp_path: Path) -> Iterator[WorldClient]:
    """A board "b" with an older firmware, and with what a button has stored."""
    old = small_firmware(tmp_path / "old", "print('old')\n")
    (old / "panic").mkdir()
    (old / "panic" / "gone.py").write_text("x = 1\n")
    one = BoardSettings("b", tmp_path / "b.img", files=STORED, serial=True)
    with running_world(WorldSettings([one], old)) as client:
        client.watch("b")
        client.wait_running("b")
        yield client


def port(board: WorldClient) -> str:
    device = board.serial("b")
    assert device
    return device


def put(board: WorldClient, made: bundle.Bundle, progress=nothing) -> Copied:
    with open_repl(port(board)) as repl:
        done = copy(repl, made, progress)
        repl.reset()
    return done


def on_flash(board: WorldClient, folder: Path) -> dict[str, bytes]:
    board.power("b", False)
    files = image.read_files(folder / "b.img")
    board.power("b", True)
    board.wait_running("b")
    return files


def test_the_firmware_onto_a_board(board: WorldClient, tmp_path: Path, made: bundle.Bundle) -> None:
    done = flash("--port", port(board), "--board", "devkit", "--keep")
    assert done.returncode == 0, done.stderr
    assert f"firmware 0.1.0 is on the board, verified: {len(made.files)} files sent, 0 there" in done.stdout
    # It runs: its own settings' check speaks.
    board.event(lambda e: e["event"] == "console" and "/device.json: device is missing" in e["text"])
    assert on_flash(board, tmp_path) == {**STORED, **made.files, "manifest.json": made.manifest_bytes}
    again = put(board, made)
    assert again == Copied(written=0, same=len(made.files), version="0.1.0")
    changed = {**made.files, "boot.py": b"import gc\n"}
    files = {name: {"sha256": bundle.sha256(content), "size": len(content)} for name, content in changed.items()}
    newer = bundle.Bundle(changed, {**made.manifest, "files": files, "bundle": bundle.whole_hash(files)})
    assert put(board, newer).written == 1
    assert on_flash(board, tmp_path) == {**STORED, **changed, "manifest.json": newer.manifest_bytes}


def test_cut_off_in_the_middle_it_goes_on(board: WorldClient, tmp_path: Path, made: bundle.Bundle) -> None:
    def pull(doing: str, share: float) -> None:
        if doing == "copying" and share > 0.5:
            board.power("b", False)

    with pytest.raises(Problem, match="the connection broke while copying") as problem:
        put(board, made, pull)
    assert "it goes on where it was" in problem.value.todo
    files = image.read_files(tmp_path / "b.img")
    assert files["main.py"] == b"print('old')\n", "the old firmware is whole"
    assert "panic/gone.mpy" in files
    board.power("b", True)
    board.wait_running("b")
    sent = []

    def pull_late(doing: str, share: float) -> None:
        sent.append(doing)
        if doing == "putting in place":
            board.power("b", False)

    with pytest.raises(Problem, match="the connection broke while"):
        put(board, made, pull_late)
    assert 0 < sent.count("copying") < sum(-(-len(content) // CHUNK_BYTES) for content in made.files.values()) * 0.6
    assert image.read_files(tmp_path / "b.img")["main.py"] == b"print('old')\n"
    board.power("b", True)
    board.wait_running("b")
    assert put(board, made) == Copied(written=0, same=len(made.files), version="0.1.0")
    assert on_flash(board, tmp_path) == {**STORED, **made.files, "manifest.json": made.manifest_bytes}


def test_another_interpreter_is_refused(board: WorldClient, made: bundle.Bundle) -> None:
    other = bundle.Bundle(made.files, {**made.manifest, "mpy": "5"})
    with pytest.raises(Problem, match=r"reads \.mpy version 6, the firmware has 5"):
        put(board, other)


def test_nobody_answers(board: WorldClient) -> None:
    device = port(board)
    board.power("b", False)
    with pytest.raises(Problem, match="no MicroPython answers at") as problem, open_repl(device, 0):
        pass
    assert "Press RESET" in problem.value.todo


def test_wrong_use() -> None:
    assert flash("--port", "x", "--board", "devkit", "--keep", "--micropython-only").returncode == 2
    done = flash("--port", "x", "--board", "heltec", "--keep")
    assert done.returncode == 2
    assert "there is no board 'heltec'. Give one of devkit, tbeam by --board" in done.stderr
