"""Each kind of backend through real processes: a whole press, the common checker, several kinds at once."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.settings_example import write_example
from sigap.processes import free_port, sigap_command
from tests.system.test_once import STAGES

LIMIT_S = 60.0
KEY = "000102030405060708090A0B0C0D0E0F1011121314151617"


@pytest.mark.parametrize("kind", ["dc09", "cap", "mqtt"])
def test_a_press_goes_all_the_way_through_each_kind(kind: str, tmp_path: Path) -> None:
    done = subprocess.run(
        sigap_command("run", "--once", "--json", "--backend", kind),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert list(said["stages"]) == STAGES
    assert said["stages"]["received"] < said["stages"]["accepted"] < said["stages"]["acknowledged"]


@contextlib.contextmanager
def receiving(kind: str, port: int, log: Path, *more: str, **env: str) -> Iterator[None]:
    """`sigap backends receive KIND`, ready."""
    command = sigap_command("backends", "receive", kind, "--port", str(port), "--json-log", str(log), *more)
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", **env}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert str(port) in line, line
            yield
        finally:
            process.terminate()
            process.wait(20)
            process.stdout.close()


def heard(log: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in log.read_text().splitlines()]


def settings(folder: Path, port: int, kind: str, **more: Any) -> Path:
    path = folder / "sigap.toml"
    reached: dict[str, dict[str, Any]] = {
        "webhook": {"url": f"http://127.0.0.1:{port}/alarms"},
        "dc09": {"host": "127.0.0.1", "port": port},
        "cap": {"url": f"http://127.0.0.1:{port}/cap", "sender": "polres@example.org"},
        "mqtt": {"host": "127.0.0.1", "port": port, "tls": False, "reply_topic": "sigap/replies"},
    }
    told = {"kind": kind, "name": "police", "timeout_s": 2.0, **reached[kind], **more}
    write_example(path, {"gateway.data_dir": str(folder), **{f"backends.{key}": told[key] for key in told}})
    return path


def check(config: Path, *more: str) -> tuple[int, dict[str, Any], str]:
    command = sigap_command("backends", "check", "police", "--config", str(config))
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    in_words = subprocess.run([*command, *more], capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert in_words.returncode == done.returncode
    assert "Traceback" not in done.stderr + in_words.stderr
    return done.returncode, json.loads(done.stdout), in_words.stdout


@pytest.mark.parametrize("kind", ["dc09", "cap", "mqtt"])
def test_the_checker_sends_a_test_alarm_and_ends_it(kind: str, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log.jsonl"
    config = settings(tmp_path, port, kind, **({"key": KEY} if kind == "dc09" else {}))
    with receiving(kind, port, log, **({"SIGAP_DC09_KEY": KEY} if kind == "dc09" else {})):
        code, said, in_words = check(config)
    assert code == 0
    supervised = [] if kind == "cap" else ["supervise"]
    assert [step["name"] for step in said["steps"]] == ["connect", *supervised, "test opened", "test closed"]
    assert all(step["ok"] and step["ms"] >= 0 for step in said["steps"])
    assert "it accepted" in said["steps"][-2]["said"]
    assert re.search(r"^ok +connect +\d+\.\d ms  127\.0\.0\.1 port", in_words)
    if kind == "dc09":
        assert {each["event"] for each in heard(log)} == {"NULL", "Nri1/RX1"}
        assert "the person's light would say so" in said["verdict"]
    if kind == "cap":
        assert [each["status"] for each in heard(log)] == [
            "Test",
            "Test",
        ]  # once a run: an end is told only of what was kept
        assert "never counts" in said["verdict"]


@pytest.mark.parametrize(
    ("behave", "ok", "words"),
    [
        (("--behave", "duh"), False, "it does not understand RX (DUH)"),
        (("--behave", "nak"), False, "it refuses our time (NAK)"),
        (("--behave", "silent"), False, "no answer of 127.0.0.1"),
        (("--clock", "600"), True, "It accepted the test alarm"),
    ],
    ids=["duh", "nak", "silent", "clock"],
)
def test_the_checker_says_what_is_wrong(behave: tuple[str, ...], ok: bool, words: str, tmp_path: Path) -> None:
    port = free_port()
    config = settings(tmp_path, port, "dc09", timeout_s=0.5)
    with receiving("dc09", port, tmp_path / "log.jsonl", *behave):
        code, said, in_words = check(config)
    assert code == (0 if ok else 1)
    assert words in said["verdict"]
    assert words in in_words


def test_the_checker_asks_nothing_of_a_line_that_is_not_supervised(tmp_path: Path) -> None:
    port = free_port()
    config = settings(tmp_path, port, "dc09", supervise_s=0)
    with receiving("dc09", port, tmp_path / "log.jsonl"):
        code, said, _ = check(config)
    assert code == 0
    assert [step["name"] for step in said["steps"]] == ["connect", "test opened", "test closed"]


def test_the_checker_where_nobody_is(tmp_path: Path) -> None:
    code, said, _ = check(settings(tmp_path, free_port(), "webhook"))
    assert code == 1
    assert said["steps"][0]["name"] == "connect"
    assert "Connection refused" in said["verdict"]
    missing = sigap_command("backends", "check", "polda", "--config", str(tmp_path / "sigap.toml"))
    done = subprocess.run(missing, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 1
    assert done.stderr.strip() == "sigap: no [[backends]] has the name polda. Give one of: police."


def test_the_list_has_the_checklist(tmp_path: Path) -> None:
    config = settings(tmp_path, free_port(), "dc09")
    command = sigap_command("backends", "--config", str(config))
    shown = json.loads(subprocess.run([*command, "--json"], capture_output=True, text=True, check=True).stdout)
    (police,) = [each for each in shown["backends"] if each["destination"] == "backend:police"]
    assert (police["kind"], police["receives"]) == ("dc09", True)
    assert police["quality"]["tested"]["wrong clock"].endswith("test_a_nak_sets_the_stamps_right")
    words = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "accepted: the receiver's ACK to an alarm" in words
    assert "tested: slow, refuses" in words
