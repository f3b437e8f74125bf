"""The gateway dies by `kill -9` at the worst moments; the alarm is there once, receipted, and told under one id."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import sqlite3
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.incidents.cloudevents import OPENED_TYPE
from panic_wire.topics import device_name
from sigap.local import BROKER, GATEWAY, POLICE, WORLD, Local
from sigap.processes import sigap_command
from simulator.world.client import WorldClient
from tests.system.local_lab import (
    CITIZEN,
    Plug,
    committed,
    event_kinds,
    local,
    prepared,
    received_by_police,
    running,
    says,
    wait_until,
)

NAME = CITIZEN.name


@pytest.fixture
def one(tmp_path: Path) -> Iterator[Local]:
    with running(local(tmp_path)) as one:
        yield one


@pytest.fixture
def world(one: Local) -> Iterator[WorldClient]:
    with one.world() as world:
        yield world


def last_seq(world: WorldClient) -> int:
    return max((entry["seq"] for entry in world.pins(NAME)), default=0)


@contextlib.contextmanager
def no_commits(one: Local) -> Iterator[None]:
    """Nobody can commit meanwhile: this connection holds the database's write lock."""
    assert one.store.path
    with contextlib.closing(sqlite3.connect(one.store.path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def behave(one: Local, **how: Any) -> None:
    request = urllib.request.Request(
        f"{one.police_url}behave", json.dumps(how).encode(), {"content-type": "application/json"}
    )
    urllib.request.urlopen(request, timeout=5).close()


def check_the_end(one: Local, world: WorldClient, since: int) -> None:
    """Once in the database, on the light, and at the police: at least once, always with the same id."""
    says(world, NAME, "received", since)
    wait_until(lambda: "accepted" in event_kinds(one), "accepted")
    assert len(committed(one)) == 1
    assert event_kinds(one).count("opened") == 1
    assert event_kinds(one).count("accepted") == 1
    told = received_by_police(one, at_least=1)
    assert len({each["body"]["data"]["incident"] for each in told}) == 1
    # The desk keeps one entry an id, however often it came; a fix that comes meanwhile is an update of its own.
    assert [each["body"]["type"] for each in told].count(OPENED_TYPE) == 1
    (state,) = [each for each in world.boards() if each["name"] == NAME]
    assert state["resets"] == 0


def test_killed_before_the_commit(one: Local, world: WorldClient) -> None:
    since = last_seq(world)
    with no_commits(one):
        world.press(NAME)
        wait_until(lambda: one.health().get("waiting", 0) > 0, "the frame at the gateway")
        assert committed(one) == []
        one.processes.kill(GATEWAY)
    assert committed(one) == []
    one.processes.restart(GATEWAY)
    check_the_end(one, world, since)


def test_killed_between_commit_and_receipt(tmp_path: Path) -> None:
    with prepared(local(tmp_path)) as one, Plug(one.ports.broker) as plug:
        one.start(BROKER, POLICE)
        one.start(GATEWAY, SIGAP_BROKER__PORT=str(plug.port))
        wait_until(lambda: one.health().get("ok"), "a healthy gateway")
        one.start(WORLD)
        wait_until(lambda: (one.folder / "world.json").exists(), "the world")
        with one.world() as world:
            world.wait_running(NAME)
            wait_until(lambda: any("mqtt: connected" in line for line in world.console(NAME)), "the button's login")
            since = last_seq(world)
            plug.hold_up.set()  # from here on nothing that the gateway says reaches the broker
            world.press(NAME)
            wait_until(lambda: committed(one), "the commit")
            one.processes.kill(GATEWAY)
            plug.hold_up.clear()
            one.processes.restart(GATEWAY)
            check_the_end(one, world, since)


def test_killed_with_the_webhook_in_flight(one: Local, world: WorldClient) -> None:
    since = last_seq(world)
    behave(one, slow_s=30)
    world.press(NAME)
    first = received_by_police(one, at_least=1)
    assert "accepted" not in event_kinds(one)
    one.processes.kill(GATEWAY)
    behave(one, slow_s=0)
    one.processes.restart(GATEWAY)
    check_the_end(one, world, since)
    again = received_by_police(one, at_least=1)
    assert again[0]["webhook_id"] == first[0]["webhook_id"]
    assert len(again[0]["times"]) == 2


def test_a_reset_board_sends_the_same_alarm_again(one: Local, world: WorldClient) -> None:
    gateway = one.processes.pid(GATEWAY)
    os.kill(gateway, signal.SIGSTOP)  # no receipt, so it stays in the journal
    try:
        world.press(NAME)
        since = last_seq(world)
        world.watch(NAME)
        world.reset(NAME)
        world.event(lambda event: event["event"] == "boot")
        assert committed(one) == []
    finally:
        os.kill(gateway, signal.SIGCONT)
    says(world, NAME, "received", since)
    (alarm,) = committed(one)
    console = "\n".join(world.console(NAME))
    assert f"alarm {alarm['activation']} resumed" in console


@pytest.mark.skipif(not shutil.which("strace"), reason="needs strace, which reads a process's system calls")
def test_the_disk_has_it_before_the_receipt_leaves(tmp_path: Path) -> None:
    """What kill -9 cannot show, as the page cache survives it: fdatasync returned, and then the receipt was sent."""
    with prepared(local(tmp_path)) as one:
        trace = tmp_path / "trace"
        calls = "trace=openat,fdatasync,fsync,pwrite64,write,sendto,recvfrom,read"
        strace = ["strace", "-f", "-yy", "-s", "120", "-e", calls, "-o", str(trace)]
        one.start(BROKER, POLICE)
        env = {"SIGAP_BROKER__PORT": str(one.ports.broker), "SIGAP_HTTP__PORT": str(one.ports.gateway)}
        command = [*strace, *sigap_command("gateway", "--config", str(one.config))]
        one.processes.start(GATEWAY, command, env)
        wait_until(lambda: one.health().get("ok"), "a healthy gateway", 60)
        one.start(WORLD)
        wait_until(lambda: (one.folder / "world.json").exists(), "the world")
        with one.world() as world:
            world.wait_running(NAME)
            wait_until(lambda: any("mqtt: connected" in line for line in world.console(NAME)), "the button's login")
            since = last_seq(world)
            before = trace.stat().st_size
            world.press(NAME)
            says(world, NAME, "received", since)
        topic = f"sigap/v1/d/{device_name(one.device(NAME).id)}"
    lines = trace.read_text(errors="replace")[before:].splitlines()
    came = next(i for i, line in enumerate(lines) if f"{topic}/up" in line)
    left = next(i for i, line in enumerate(lines) if f"{topic}/down" in line and i > came)
    assert re.search(r"\b(sendto|write)\(", lines[left])
    synced = [i for i, line in enumerate(lines) if _is_synced(line)]
    assert any(came < i < left for i in synced), "no fdatasync of the log between the frame and its receipt"
    written = max(i for i, line in enumerate(lines[:left]) if "pwrite64(" in line and "sigap.db-wal" in line)
    assert any(written < i < left for i in synced), "the log was written after its last fdatasync"


def _is_synced(line: str) -> bool:
    """fdatasync of the write-ahead log that returned 0 (in one piece, or resumed)."""
    whole = re.search(r"(fdatasync|fsync)\(\d+<[^>]*sigap\.db-wal[^>]*>\)\s+= 0", line)
    return bool(whole or re.search(r"<\.\.\. (fdatasync|fsync) resumed>\)\s+= 0", line))
