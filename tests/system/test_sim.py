"""`sigap sim`: with a Sigap of its own, beside one that runs, and beside a world alone; Ctrl-C leaves nothing."""

from __future__ import annotations

import contextlib
import http.cookiejar
import json
import re
import signal
import socket
import subprocess
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from sigap.processes import free_port, sigap_command
from simulator.world.client import WorldClient
from tests.system.local_lab import local, running, wait_until

LIMIT_S = 30.0
LINK = re.compile(r"panel\s+(http://127\.0\.0\.1:\d+/\?t=\S+)")


@contextlib.contextmanager
def simulating(*options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """`sigap sim` in a process of its own, and its link; it ends by Ctrl-C, well."""
    command = sigap_command("sim", "--port", "0", *options)
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        found = next((link for line in process.stdout if (link := LINK.search(line))), None)
        assert found, process.communicate(timeout=LIMIT_S)
        yield process, found[1]
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=LIMIT_S)
        assert process.returncode == 0, said
        assert "nothing is left running" in said
        assert "Traceback" not in said
    finally:
        if process.poll() is None:
            process.terminate()
            process.communicate(timeout=LIMIT_S)


def timeline(link: str) -> list[dict]:
    """What the panel exports."""
    cookies = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
    opener = urllib.request.build_opener(cookies, urllib.request.ProxyHandler({}))
    opener.open(link, timeout=LIMIT_S).close()
    with opener.open(link.split("?")[0] + "timeline.json", timeout=LIMIT_S) as answer:
        return json.load(answer)


def test_a_sigap_of_its_own_and_nothing_left(tmp_path: Path) -> None:
    ports = {name: free_port() for name in ("broker", "gateway", "police", "mail")}
    options = [part for name, port in ports.items() for part in (f"--{name}-port", str(port))]
    with simulating("--dir", str(tmp_path), *options) as (_, link):
        with WorldClient.find(tmp_path) as world:
            pressed_at = world.press("shop-1")["presses"][2]["down_at"]
            pid = world.hello["world"]
        (alarm,) = wait_until(lambda: [each for each in timeline(link) if "accepted" in each["stages"]], "the alarm")
        assert alarm["pressed_at"] == pytest.approx(pressed_at, abs=1)
        assert alarm["alarm"]
    assert not Path(f"/proc/{pid}").exists()
    for port in (*ports.values(), int(link.split(":")[2].split("/")[0])):
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def test_beside_what_runs_already_and_it_goes_on(tmp_path: Path) -> None:
    with running(local(tmp_path)) as one:
        with simulating("--dir", str(tmp_path)) as (_, link), one.world() as world:
            world.press("citizen-1")
            wait_until(lambda: [each for each in timeline(link) if "accepted" in each["stages"]], "the alarm")
        one.processes.check()
        # And a second panel may come, which knows the alarm from the gateway and the light from the world's log.
        with simulating("--dir", str(tmp_path)) as (_, link):
            (alarm,) = wait_until(lambda: [each for each in timeline(link) if each["alarm"]], "the alarm")
            wait_until(lambda: "received" in timeline(link)[0]["shown"], "the light's word")
            assert len(timeline(link)) == 1
        assert alarm["board"] == "citizen-1"


def test_a_port_in_use_is_said_in_one_line(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        command = sigap_command("sim", "--dir", str(tmp_path), "--port", str(port))
        done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(f"sigap: port {port} for the panel")
    assert len(done.stderr.splitlines()) == 1
