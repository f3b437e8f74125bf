"""Each fault of the proxy against real sockets: what comes, when it comes, and how it ends."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from sigap.problem import Problem
from sigap.processes import Processes, free_port, sigap_command
from simulator.faults.client import FaultClient
from simulator.faults.connection import HELD_LIMIT_BYTES
from tests.system.local_lab import wait_until

LINK, NOWHERE = "gateway:broker", "police:gateway"
SOON_S, SILENT_S, LIMIT_S = 0.1, 0.2, 10.0
BYTES = bytes(range(256)) * 400  # 100 kB, of which no two neighbours are alike


@dataclass
class Bench:
    """A proxy in a process of its own, and the listener behind it."""

    folder: Path
    faults: FaultClient
    port: int
    listener: socket.socket

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=LIMIT_S)

    @contextlib.contextmanager
    def pair(self) -> Iterator[tuple[socket.socket, socket.socket]]:
        """(client, server) of a new connection through the link."""
        with self.connect() as client:
            server, _ = self.listener.accept()
            with server:
                server.settimeout(LIMIT_S)
                yield client, server

    def link(self) -> dict[str, Any]:
        return self.faults.links(LINK)[0]


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    folder = tmp_path_factory.mktemp("proxy")
    processes = Processes(folder / "logs")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(LIMIT_S)
        port = free_port()
        links = [
            {"name": LINK, "port": port, "to": listener.getsockname()[1]},
            {"name": NOWHERE, "port": 0, "to": free_port()},
        ]
        (folder / "links.json").write_text(json.dumps({"links": links}))
        command = sigap_command("fault", "proxy", "--links", str(folder / "links.json"), "--run-dir", str(folder))
        processes.start("proxy", command)
        try:
            processes.wait_until((folder / "faults.json").exists, "the start of the proxy")
            with FaultClient.find(folder) as faults:
                yield Bench(folder, faults, port, listener)
        finally:
            processes.stop_all()
    assert "Traceback" not in processes.log_path("proxy").read_text()


@pytest.fixture
def bench(process: Bench) -> Iterator[Bench]:
    yield process
    process.faults.clear()
    process.faults.reset()
    wait_until(lambda: process.link()["connections"] == 0, "the end of every connection")
    process.listener.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            process.listener.accept()[0].close()  # what healed too late for its test
    process.listener.settimeout(LIMIT_S)


def receive(source: socket.socket, size: int) -> bytes:
    """So many bytes, or all until the end."""
    came = b""
    while len(came) < size and (piece := source.recv(65536)):
        came += piece
    return came


def is_silent(*sides: socket.socket) -> bool:
    """Nothing comes, and no end, for SILENT_S."""
    for side in sides:
        side.settimeout(SILENT_S)
        try:
            side.recv(1)
        except TimeoutError:
            continue
        finally:
            side.settimeout(LIMIT_S)
        return False
    return True


def is_reset(side: socket.socket) -> bool:
    try:
        side.recv(1)
    except ConnectionResetError:
        return True
    return False


def took_s(client: socket.socket, server: socket.socket, data: bytes = b"x") -> float:
    """Seconds from sending until all of it has come, unchanged and in order."""
    began = time.monotonic()
    client.sendall(data)
    assert receive(server, len(data)) == data
    return time.monotonic() - began


def test_a_clear_link_changes_nothing(bench: Bench) -> None:
    with bench.pair() as (client, server):
        assert took_s(client, server) < SOON_S
        took_s(client, server, BYTES)
        took_s(server, client, BYTES)
        assert (bench.link()["up"], bench.link()["down"]) >= (len(BYTES), len(BYTES))
        client.shutdown(socket.SHUT_WR)
        assert server.recv(1) == b""
        took_s(server, client)  # the other way still goes
        server.close()
        assert client.recv(1) == b""
    wait_until(lambda: bench.link()["connections"] == 0, "the end of the connection")


def test_delay_is_of_one_way_or_both_and_changes_at_once(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, **{"up.delay_ms": 300})
        assert 0.3 <= took_s(client, server) < 0.6
        assert took_s(server, client) < SOON_S
        bench.faults.set(LINK, delay_ms=200)
        assert 0.2 <= took_s(client, server) < 0.5
        assert 0.2 <= took_s(server, client) < 0.5
        bench.faults.clear()
        assert took_s(client, server) < SOON_S


def test_jitter_keeps_the_order(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, delay_ms=100, jitter_ms=100)
        assert took_s(client, server, BYTES) < 1.0


def test_bandwidth(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, **{"up.bandwidth_bps": 80_000})
        assert 0.9 <= took_s(client, server, BYTES[:10_000]) < 2.0
        assert took_s(server, client, BYTES) < 0.5
        client.sendall(BYTES)  # 10 s worth of it
        bench.faults.clear()
        began = time.monotonic()
        assert receive(server, len(BYTES)) == BYTES
        assert time.monotonic() - began < 1.0


def test_loss_is_a_stall(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, loss=0.2)
        assert 0.2 <= took_s(client, server, BYTES[:40_000]) < 3.5


def test_reset_now(bench: Bench) -> None:
    with bench.pair() as (client, server), bench.pair() as (client2, server2):
        assert bench.faults.reset(LINK) == 2
        assert all(is_reset(side) for side in (client, server, client2, server2))


def test_reset_after_so_many_bytes_of_each_connection(bench: Bench) -> None:
    bench.faults.set(LINK, **{"up.reset_after": 5000})
    for _ in range(2):
        with bench.pair() as (client, server):
            took_s(client, server, BYTES[:4999])
            took_s(server, client, BYTES)
            client.sendall(b"!?")
            assert server.recv(10) == b"!"
            assert is_reset(server)
            assert is_reset(client)


def test_truncated(bench: Bench) -> None:
    bench.faults.set(LINK, **{"down.truncate_after": 1234})
    with bench.pair() as (client, server):
        server.sendall(BYTES[:2000])
        assert receive(client, 2000) == BYTES[:1234]
        assert client.recv(1) == b""


def test_garbage(bench: Bench) -> None:
    bench.faults.set(LINK, **{"up.garbage": 1})
    with bench.pair() as (client, server):
        client.sendall(BYTES)
        came = receive(server, len(BYTES))
        wrong = sum(a != b for a, b in zip(came, BYTES, strict=True))
        assert len(BYTES) // 1460 <= wrong <= len(BYTES) // 100
        took_s(server, client, BYTES)


def test_half_open(bench: Bench) -> None:
    with bench.pair() as (client, server), bench.pair() as (client2, server2):
        bench.faults.set(LINK, cut="half-open")
        client.sendall(b"lost")
        server.sendall(b"lost")
        client2.close()
        with bench.connect() as late:
            assert is_silent(client, server, server2, late)
            bench.faults.clear()
            # For good: who was in it when it happened has to find out by itself.
            assert is_silent(client, server, server2, late)
            assert bench.link()["dead"] == 3
            with bench.pair() as (fresh, there):
                took_s(fresh, there)
        server2.close()  # with both its sides gone it is over
        wait_until(lambda: bench.link()["connections"] <= 2, "the end of what nobody holds any more")


def test_a_black_hole_holds_everything_until_it_is_over(bench: Bench) -> None:
    with bench.pair() as (client, server), bench.pair() as (client2, server2):
        bench.faults.set(LINK, cut="black-hole")
        client.sendall(b"held")
        server.sendall(BYTES)
        client2.sendall(b"last")
        client2.shutdown(socket.SHUT_WR)
        with bench.connect() as late:
            late.sendall(b"late")
            assert is_silent(client, server, server2, late)
            bench.faults.clear()
            assert receive(server, 4) == b"held"
            assert receive(client, len(BYTES)) == BYTES
            assert receive(server2, 10) == b"last"
            there, _ = bench.listener.accept()
            with there:
                there.settimeout(LIMIT_S)
                assert receive(there, 4) == b"late"
                took_s(there, late)


def test_who_gave_up_in_a_black_hole_gets_nothing(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, cut="black-hole")
        server.sendall(b"too late")
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        assert is_silent(server)
        bench.faults.clear()
        assert is_reset(server)


def test_refused(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, cut="refused", for_s=1.0)
        client.sendall(b"held")
        began = time.monotonic()
        while time.monotonic() - began < 0.5:
            with pytest.raises(ConnectionRefusedError):
                bench.connect()
            time.sleep(0.05)
        assert is_silent(server)
        assert receive(server, 4) == b"held"
        assert 0.9 <= time.monotonic() - began < 2.0
    with bench.pair() as (client, server):
        took_s(client, server)
    assert bench.link()["faults"] == {}


def test_what_is_held_is_bounded(bench: Bench) -> None:
    with bench.pair() as (client, server):
        bench.faults.set(LINK, cut="black-hole")
        client.settimeout(SILENT_S)
        sent = 0
        with contextlib.suppress(TimeoutError):  # the kernel takes some more, and then nobody takes anything
            while True:
                sent += client.send(BYTES)
        assert bench.link()["held"] == HELD_LIMIT_BYTES
        bench.faults.clear()
        assert len(receive(server, sent)) == sent


def test_nobody_behind_the_link(bench: Bench) -> None:
    (link,) = bench.faults.links(NOWHERE)
    with (
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", link["port"]), timeout=LIMIT_S) as client,
    ):
        client.recv(1)


def test_the_command_line(bench: Bench) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = sigap_command("fault", *arguments, "--run-dir", str(bench.folder))
        return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)

    assert run("set", "gateway:*", "delay_ms=250", "up.loss=0.5").returncode == 0
    assert bench.link()["faults"] == {"delay_ms": 250, "up.loss": 0.5}
    assert "delay_ms=250 up.loss=0.5" in run("list").stdout
    with bench.pair():
        assert run("reset", LINK).stdout == f"{LINK}: 1 connections reset\n"
    assert json.loads(run("list", "--json").stdout)[0]["resets"] >= 1
    assert run("clear").returncode == 0
    assert bench.link()["faults"] == {}
    for wrong, says in (
        (("set", LINK, "delay_ms=soon"), "delay_ms is 'soon'. It is a number from 0 to 600000."),
        (("set", LINK, "rain=1"), "there is no fault rain. There are cut, "),
        (("set", LINK, "rain"), "'rain' is not KEY=VALUE."),
        (("clear", "nowhere"), "no link is named 'nowhere'; there are gateway:broker, police:gateway."),
    ):
        done = run(*wrong)
        assert done.returncode in (1, 2)
        assert says in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_nobody_without_the_token(bench: Bench) -> None:
    port = json.loads((bench.folder / "faults.json").read_text())["port"]
    assert (bench.folder / "faults.json").stat().st_mode & 0o777 == 0o600
    with pytest.raises(Problem, match="token"):
        FaultClient(port, "0" * 32)
    with socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S) as rude:
        rude.sendall(b"[" * 70_000 + b"\n")
        assert b"too-long" in rude.recv(1000)
    assert bench.link()["name"] == LINK
