"""`sigap run --once`: what it says of itself, checked from outside by what it cannot know of."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import sqlite3
import subprocess
import threading
import time
import tomllib
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook

from panic_wire.frames import RECEIPT, STATUS, FrameError, unpack_status
from panic_wire.keys import downlink_key
from panic_wire.seal import open_frame
from sigap.problem import Problem
from sigap.processes import sigap_command
from simulator.world.client import WorldClient
from tests.system.wire import Segment, Wire, may_listen

LIMIT_S = 60.0
DEBOUNCE_MS = 30
CLOSE_MS = 60  # two measurements of one thing, on a machine that does other work too
STAGES = ["pressed", "received", "accepted", "relatives", "acknowledged", "dispatched", "on_scene", "closed"]
DOWN = re.compile(rb"sigap/v1/d/([0-9a-f]{8})/down")


class Witness:
    """Watches one `sigap run --once` from outside: its folder, its board's pins, its packets."""

    def __init__(self, tmp_path: Path) -> None:
        self._tmp_path = tmp_path
        self.boards: list[dict[str, Any]] = []
        self.backend: dict[str, Any] = {}
        self.pins: list[dict[str, Any]] = []
        self.receipt: tuple[float, int] | None = None  # when it left, of which activation
        self.mails: dict[str, EmailMessage] = {}
        self._police_port = 0

    @property
    def folder(self) -> Path | None:
        return next(iter(self._tmp_path.glob("sigap-once-*")), None)

    def wanted(self, segment: Segment) -> bool:
        return DOWN.search(segment.data) is not None or self._police_port in (segment.source, segment.target)

    def on_segment(self, segment: Segment) -> None:
        found = DOWN.search(segment.data)
        if found is None or self.receipt is not None or not self.boards or found[1].decode() != self.device["device"]:
            return
        activation = self._receipted(segment.data[found.end() :])
        if activation is None:
            return
        # Whatever is on disk at this moment is all that a power cut would leave.
        assert self.folder
        for path in (self.folder / "data").glob("sigap.db*"):
            shutil.copy(path, self._tmp_path / f"copy-{path.name}")
        self.receipt = segment.at, activation

    def _receipted(self, after_topic: bytes) -> int | None:
        """The activation that a PUBLISH receipts; behind its topic: a packet identifier (QoS 1) and the frame."""
        key = downlink_key(bytes.fromhex(self.device["root_key"]), int(self.device["device"], 16))
        try:
            header, body = open_frame(key, after_topic[2:])
        except FrameError:
            return None  # it was a SUBSCRIBE
        if header.type != STATUS:
            return None  # it tells the time
        activation = unpack_status(body).activation  # 0 answers a heartbeat
        return activation if header.stage == RECEIPT and activation else None

    @property
    def device(self) -> dict[str, Any]:
        return next(board["device"] for board in self.boards if board["name"] == "citizen-1")

    def follow(self, process: subprocess.Popen[str]) -> None:
        """Until the process ends: read its files once they are there, and the pins as they come."""
        world = None
        while process.poll() is None:
            time.sleep(0.1)
            folder = self.folder
            if folder is None or not (folder / "world.json").exists():
                continue
            with contextlib.suppress(Problem, OSError):  # the world is starting, or has ended
                if world is None:
                    world = WorldClient.find(folder)
                    self.boards = json.loads((folder / "boards.json").read_text())["boards"]
                    self.backend = tomllib.loads((folder / "sigap.toml").read_text())["backends"][0]
                    log = (folder / "logs" / "police-desk.log").read_text()
                    self._police_port = int(re.search(r"http://127\.0\.0\.1:(\d+)/", log)[1])  # type: ignore[index]
                for path in sorted((folder / "mails").glob("*.eml")):
                    self.mails[path.name] = message_from_bytes(path.read_bytes(), policy=policy.default)
                self.pins += world.pins("citizen-1", self.pins[-1]["seq"] if self.pins else 0)
        if world is not None:
            world.close()


@pytest.mark.skipif(not may_listen(), reason="needs the right to read the wire (root)")
def test_what_once_says_is_what_happened(tmp_path: Path) -> None:
    witness = Witness(tmp_path)
    with Wire(witness.wanted, witness.on_segment) as wire:
        process = subprocess.Popen(
            sigap_command("run", "--once", "--json"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
        follower = threading.Thread(target=witness.follow, args=(process,))
        follower.start()
        try:
            out, err = process.communicate(timeout=LIMIT_S)
        finally:
            process.kill()
            follower.join()
    assert process.returncode == 0, err
    said = json.loads(out)  # exactly one document

    # Its shape, and that time only goes forward.
    assert list(said["stages"]) == STAGES
    # Relatives are told beside the police, so their mail may come before or after what the police do.
    assert said["stages"]["relatives"] >= said["stages"]["received"]
    times = [at for stage, at in said["stages"].items() if stage != "relatives"]
    assert times == sorted(times)
    assert list(said["shown"]) == ["sending", "received", "acknowledged", "dispatched"]
    assert said["device"] == witness.device["device"]

    # The thumb, from the pins: the third falling edge by the world.
    downs = [entry["at"] for entry in witness.pins if entry["by"] == "world" and entry.get("value") == 0]
    pressed_at = downs[2]
    lit = [one for one in witness.pins if one.get("pin") == 26 and one["by"] == "board" and one["at"] > pressed_at]
    assert lit[0]["value"] == 1
    assert lit[0]["at"] - pressed_at == pytest.approx(said["shown"]["sending"], abs=1)
    assert said["shown"]["sending"] >= DEBOUNCE_MS - 1
    # Steady light from "dispatched" on: no edge until the end.
    steady = [one for one in lit if one["at"] - pressed_at >= said["shown"]["dispatched"] + 1]
    assert all(one["at"] - pressed_at >= said["stages"]["closed"] - CLOSE_MS for one in steady)

    # The receipt on the wire: after the commit, before the light; and the alarm was on disk when it left.
    assert witness.receipt is not None
    receipt_ms, activation = witness.receipt[0] - pressed_at, witness.receipt[1]
    assert said["alarm"] == f"{said['device']}-{activation}"
    assert abs(receipt_ms - said["stages"]["received"]) < CLOSE_MS
    assert -1 <= said["shown"]["received"] - receipt_ms < CLOSE_MS
    with contextlib.closing(sqlite3.connect(tmp_path / "copy-sigap.db")) as copy:
        rows = copy.execute("select device_id, activation, pressed_at from alarms").fetchall()
        kinds = [kind for (kind,) in copy.execute("select kind from events order by id")]
        waiting = copy.execute("select count(*) from deliveries where destination = 'backend:police'").fetchone()
    assert [row[:2] for row in rows] == [(int(said["device"], 16), activation)]
    assert abs(rows[0][2] / 1000 - pressed_at) < CLOSE_MS
    assert kinds[0] == "opened"
    assert waiting == (1,)

    # What the police got, as it was on the wire, verified with the secret of the settings file.
    posts = [one for one in wire.segments if one.data.startswith(b"POST /alarms ")]
    head, _, body = wire.stream(posts[0].source, posts[0].target).partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n")[1:])
    headers = {name.lower(): value for name, value in headers.items()}
    body = body[: int(headers["content-length"])]
    event = Webhook(witness.backend["secret"]).verify(body, headers)
    assert event["data"]["alarms"][0]["alarm"] == said["alarm"]
    assert posts[0].at - pressed_at >= said["stages"]["received"] - CLOSE_MS
    # A stage's time is the last look that did not see it: early by as long as the machine kept the looks apart.
    assert posts[0].at - pressed_at <= said["stages"]["accepted"] + CLOSE_MS

    # The mails that the relatives got, as they lay in the sink.
    subjects = [message["subject"] for message in witness.mails.values()]
    assert "menekan tombol darurat" in subjects[0]
    assert "Posisi: " in next(iter(witness.mails.values())).get_content()

    # It left nothing: no folder, no process.
    assert list(tmp_path.glob("sigap-once-*")) == []
    assert not _processes_in(tmp_path)


def _processes_in(folder: Path) -> list[str]:
    listed = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    return [line for line in listed.splitlines() if str(folder) in line]


def test_a_stage_that_does_not_come_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        sigap_command("run", "--once", "--json", "--auto", "acknowledged=0.2", "--limit-s", "2"),
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert [stage for stage in said["stages"] if stage != "relatives"] == [*STAGES[:3], "acknowledged"]
    last = done.stderr.strip().splitlines()[-1]
    assert "what did not come: dispatched, on_scene, closed" in last
    assert str(tmp_path) in last  # the logs are kept, and it says where
    assert not _processes_in(tmp_path)
