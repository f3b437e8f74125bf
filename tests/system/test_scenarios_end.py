"""Whatever ends a story, nothing is left of it: no process, no folder; and a full disk is said."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from sigap.problem import Problem
from sigap.virtual_gateway import VirtualStore
from simulator.scenario import load
from simulator.scenario import run as running
from simulator.scenario.run import run
from tests.system.local_lab import wait_until
from tests.system.test_start_errors import small_disk

SIGAP = str(Path(sys.executable).with_name("sigap"))


def descendants(of: int) -> dict[int, str]:
    """{pid: command} of every process below this one."""
    listed = subprocess.run(["ps", "-eww", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(maxsplit=2) for line in listed.splitlines()]
    found: dict[int, str] = {}
    reached = {of}
    while more := {int(pid): args for pid, ppid, args in rows if int(ppid) in reached and int(pid) not in found}:
        found |= more
        reached |= set(more)
    return found


def folder_of(pid: int) -> Path:
    """Where a board's flash image lies."""
    environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    image = next(each for each in environment if each.startswith(b"SIGAP_IMAGE="))
    return Path(image.decode().partition("=")[2]).parent


def is_alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
    return False


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a process with its parent")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_ended_in_the_middle_nothing_is_left(how: signal.Signals) -> None:
    command = [SIGAP, "scenario", "run", "a-week-of-heartbeats", "market-in-panic", "--workers", "2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_until(lambda: sum("lockstep" in args for args in descendants(process.pid).values()) >= 5, "boards", 60)
        below = descendants(process.pid)
        folders = {folder_of(pid) for pid, args in below.items() if "lockstep" in args}
    finally:
        os.kill(process.pid, how)
    wait_until(lambda: process.poll() is not None, "the end", 30)
    wait_until(lambda: not any(is_alive(pid) for pid in below), "the end of every process below", 30)
    # What was killed could not tidy up; the next run does.
    run(load.load("no-sky"), name="no-sky", seed=1, make_store=VirtualStore)
    assert len(folders) == 2
    assert not [folder for folder in folders if folder.exists()]


def test_a_full_disk_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_disk(tmp_path, "1m") as folder:
        monkeypatch.setattr(running, "MEMORY", folder)
        with pytest.raises(Problem, match="is full"):
            run(load.load("no-sky"), name="no-sky", seed=1, make_store=VirtualStore)
        assert list(folder.iterdir()) == []
