"""What keeps Sigap from starting is said in one line, with what to do, and an exit code that is not 0."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.settings_example import write_example
from sigap.processes import free_port, sigap_command

LIMIT_S = 60.0


def said(command: list[str], env: dict[str, str] | None = None, code: int = 1) -> str:
    """The one line of a command that refuses to start."""
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=LIMIT_S, env={**os.environ, **(env or {})}, check=False
    )
    assert done.returncode == code, done.stderr
    assert done.stdout == ""
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("sigap: ")
    return lines[0]


def run(folder: Path, **ports: int) -> list[str]:
    """`sigap run` in a folder, on free ports but for those given."""
    chosen = {"broker": free_port(), "gateway": free_port(), "police": free_port(), "mail": free_port(), **ports}
    options = [part for name, port in chosen.items() for part in (f"--{name}-port", str(port))]
    return sigap_command("run", "--dir", str(folder), *options)


@contextlib.contextmanager
def taken() -> Iterator[int]:
    """A port that somebody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


@pytest.mark.parametrize(
    ("part", "words"),
    [("broker", "the broker"), ("gateway", "the gateway"), ("police", "the police desk"), ("mail", "the mail sink")],
)
def test_a_port_in_use(tmp_path: Path, part: str, words: str) -> None:
    with taken() as port:
        line = said(run(tmp_path, **{part: port}))
    assert f"port {port} for {words} is in use" in line
    assert f"--{part}-port" in line


@pytest.mark.parametrize("part", ["broker", "gateway"])
def test_a_port_in_use_for_a_part_alone(tmp_path: Path, part: str) -> None:
    config = tmp_path / "sigap.toml"
    with taken() as port:
        write_example(config, {"broker.port" if part == "broker" else "http.port": port})
        line = said(sigap_command(part, "--config", str(config)))
    assert f"port {port}" in line
    assert "in use" in line


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[broker]\nprot = 1883\n", "prot"),
        ("[broker]\nport = 70000\n", "[broker] port must be"),
        ("[broker\n", "is not TOML"),
    ],
)
def test_a_wrong_setting(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "sigap.toml").write_text(text)
    for command in (run(tmp_path), sigap_command("gateway", "--config", str(tmp_path / "sigap.toml"))):
        line = said(command, code=2)
        assert words in line
        assert "sigap.toml" in line


def test_a_wrong_variable(tmp_path: Path) -> None:
    line = said(run(tmp_path), {"SIGAP_BROKER__PROT": "1"}, code=2)
    assert "SIGAP_BROKER__PROT" in line


def test_a_missing_broker(tmp_path: Path) -> None:
    # Mosquitto is installed here, so the places where it is looked for are taken away.
    program = "import sys, gateway.broker.running as running; running.PLACES = ()\nfrom sigap.cli import main\nmain()"
    for arguments in (run(tmp_path)[3:], ["broker", "--config", str(tmp_path / "sigap.toml")]):
        write_example(tmp_path / "sigap.toml")
        line = said([sys.executable, "-c", program, *arguments], {"PATH": str(tmp_path)}, code=3)
        assert "Mosquitto" in line
        assert "apt install mosquitto" in line


def test_a_second_run_in_the_same_folder(tmp_path: Path) -> None:
    import fcntl

    with (tmp_path / "run.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        line = said(run(tmp_path))
    assert "is running already" in line


def test_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path, "1m") as folder:
        line = said(run(folder))
        assert "MiB free" in line
        assert "Free some space" in line
        # The parts alone, when there is not even room for the database.
        config = folder / "sigap.toml"
        write_example(config)
        (folder / "filler").write_bytes(bytes(900 << 10))
        for part in ("gateway", "broker"):
            line = said(sigap_command(part, "--config", str(config)))
            assert "is full" in line
            assert "Free some space" in line


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A disk of its own, in memory."""
    if sys.platform != "linux" or os.geteuid() != 0:
        pytest.skip("needs the right to mount (root)")
    disk = folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)], check=False)
    if mounted.returncode:
        pytest.skip("this container may not mount")
    try:
        yield disk
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_json_needs_once() -> None:
    done = subprocess.run(sigap_command("run", "--json"), capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert "--once" in done.stderr
