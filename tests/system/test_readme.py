"""The README's commands, as a newcomer types them."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from sigap.processes import free_port
from tests.system.local_lab import wait_until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
COMMANDS = re.findall(r"^```\n(.+?)\n```$", README, re.M | re.S)
LIMIT_S = 60.0


@contextlib.contextmanager
def terminal(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A command in a terminal of its own: Ctrl-C reaches all of its processes."""
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=out, start_new_session=True)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def processes_of(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def test_what_the_readme_shows() -> None:
    assert COMMANDS == [
        "make run",
        ".venv/bin/sigap press shop-1",
        "make once",
        ".venv/bin/sigap scenario run shop-robbery-silent",
        "make lint",
        "make test",
    ]
    for target in ("run", "once", "lint", "test"):
        subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)
    for path in re.findall(r"\]\((?!http)([^)]+)\)", README):
        assert (ROOT / path).exists(), path


def test_a_story_in_virtual_time() -> None:
    story = shlex.split(COMMANDS[3])
    command = [str(Path(sys.executable).with_name("sigap")), *story[1:]]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
    assert re.search(r"^ok +shop-robbery-silent +0\.\d{3}", done.stdout, re.M)


def test_run_press_and_the_police_have_it_within_a_second(tmp_path: Path) -> None:
    run, press = shlex.split(COMMANDS[0]), shlex.split(COMMANDS[1])
    ports = {name: free_port() for name in ("broker", "gateway", "police", "mail", "phone")}
    options = " ".join(f"--{name}-port {port}" for name, port in ports.items())
    folder, log = tmp_path / "run", tmp_path / "run.out"
    with terminal([*run, f"RUN_DIR={folder}", f"RUN_ARGS={options}"], log) as process:
        wait_until(
            lambda: "Ctrl-C ends everything" in log.read_text() or process.poll() is not None, "make run", LIMIT_S
        )
        assert f"http://127.0.0.1:{ports['police']}/" in log.read_text()
        # In another terminal. This interpreter's own command, should the tests run from another .venv.
        command = [str(Path(sys.executable).with_name("sigap")), *press[1:], "--dir", str(folder)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=LIMIT_S, check=True)
        pressed = time.monotonic()
        assert "pressed 3 times" in done.stdout
        wait_until(lambda: re.search(r"shop-1 +accepted", log.read_text()), "accepted in the terminal", LIMIT_S)
        assert time.monotonic() - pressed < 1.0
    assert not processes_of(folder)
    text = log.read_text()
    assert "ended; nothing is left running" in text
    assert "Traceback" not in text
