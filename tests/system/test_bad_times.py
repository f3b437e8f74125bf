"""Floods, full disks, locked databases, clocks that jump, crowds of strangers: what waits, and what must not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway.clock import now_us
from gateway.registry.devices import add_device
from gateway.store.schema import alarms, deliveries, incidents
from panic_wire import topics
from panic_wire.frames import ALARM, Alarm, Header
from panic_wire.seal import seal
from tests.system.crowd import Crowd
from tests.system.gateway_lab import LIMIT_S, Broker, Button, GatewayProcess, Lab, wait_until
from tests.system.test_broker_acl import clean_environment

FLOODERS, FLOOD, FLOOD_S, SOS_LIMIT_S = 500, 10_000, 5.0, 1.0
STRANGERS = 10_000  # frames; tests/soak sends 100,000
MOST_GROWTH_BYTES = 64 << 20


@pytest.mark.alone
def test_a_flood_of_true_alarms_delays_no_other_sos(own: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    """10,000 alarms of 500 devices in 5 s; in the middle, one of another device."""
    broker, gateway, _ = own
    with gateway.store.write() as conn:
        devices = [add_device(conn, name=f"shop-{each}", now_us=now_us()) for each in range(FLOODERS + 1)]
    gateway.start()
    gateway.wait_healthy()

    async def flood() -> tuple[float, float, Crowd]:
        async with Crowd(devices, broker.port) as crowd:
            await crowd.all_connected(30)
            *flooders, other = crowd.buttons
            flooding = asyncio.create_task(crowd.press_at_rate(FLOOD, FLOOD / FLOOD_S, flooders))
            await asyncio.sleep(FLOOD_S / 2)
            sos = crowd.press(other)
            await flooding
            ended = time.monotonic()
            await crowd.all_receipted(60)
            return sos.took_s, time.monotonic() - ended, crowd

    took_s, after_s, crowd = asyncio.run(flood())
    with capsys.disabled():
        worst_s = max(press.took_s for _, press in crowd.presses())
        print(
            f"\n{FLOOD} alarms in {FLOOD_S:g} s ({crowd.counts['frames']} frames): the other device's receipt after "
            f"{took_s * 1000:.0f} ms, the slowest after {worst_s:.2f} s, the last {after_s:.2f} s after the end"
        )
    assert took_s < SOS_LIMIT_S
    assert len(gateway.rows(incidents)) == FLOODERS + 1
    assert len(gateway.rows(alarms)) == FLOOD + 1


def test_strangers_grow_no_memory_and_keep_nobody_waiting(running: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    said = strangers_send(running, STRANGERS)
    with capsys.disabled():
        print(f"\n{said}")


def strangers_send(parts: Lab, number: int) -> str:
    """Well-made frames of devices that nobody has registered, each another one, with QoS 1. Returns what it cost."""
    _, gateway, button_of = parts
    assert gateway.process is not None
    crowd, good = button_of("crowd"), button_of("good")
    good.expect("receipt", good.press())
    known = gateway.command("quarantine", "--limit", "1")["counts"].get("unknown-device", 0)
    before, slowest_s = resident_bytes(gateway.process.pid), 0.0
    for sent in range(number):
        stranger = secrets.randbits(31) | 1 << 31
        header = Header(ALARM, 0, stranger, secrets.randbits(32), 1 + sent)
        frame = seal(bytes(16), header, Alarm(1).pack())
        info = crowd.send(frame, topic=topics.up(topics.device_name(stranger)))
        if sent % 1000 == 999:  # no faster than the broker takes them
            info.wait_for_publish(LIMIT_S)
            began = time.monotonic()
            good.expect("receipt", good.press())
            slowest_s = max(slowest_s, time.monotonic() - began)
    wait_until(lambda: gateway.health()["waiting"] == 0, "the end of the crowd", 60)
    good.expect("receipt", good.press())
    grown = resident_bytes(gateway.process.pid) - before
    assert gateway.command("quarantine", "--limit", "1")["counts"]["unknown-device"] == known + number
    assert grown < MOST_GROWTH_BYTES
    assert slowest_s < 5
    return (
        f"{number} frames of unknown devices: {grown / 2**20:.1f} MiB more memory, "
        f"an alarm among them was receipted after {slowest_s * 1000:.0f} ms at most"
    )


def test_a_locked_database_gives_no_receipt_until_it_is_free(running: Lab) -> None:
    _, gateway, button_of = running
    button = button_of("locked")
    assert gateway.store.path
    with contextlib.closing(sqlite3.connect(gateway.store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        activation = button.press()
        wait_until(lambda: "store-fails" in gateway.health().get("problems", ()), "the word that the store fails", 20)
        assert button.heard.empty()
        other.execute("ROLLBACK")
    button.expect("receipt", activation)
    wait_until(lambda: gateway.health()["ok"], "its health")
    assert [row["activation"] for row in gateway.rows(alarms) if row["device_id"] == button.device.id] == [activation]


class OnSmallDisk(GatewayProcess):
    """Its data folder is a disk of 12 MB, in a mount namespace of its own."""

    def start(self) -> None:
        script = (
            "cp -a var kept && mount -t tmpfs -o size=12m tmpfs var && cp -a kept/. var/ && "
            'exec "$0" -m sigap.cli gateway --config sigap.toml'
        )
        self.store.close()
        with self.log.open("ab") as log:
            command = ["unshare", "-rm", "sh", "-c", script, sys.executable]
            self.process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log, env=clean_environment())

    @property
    def disk(self) -> Path:
        """The folder as that process sees it."""
        assert self.process is not None
        return Path(f"/proc/{self.process.pid}/root{self.folder}/var")


def namespaces_work() -> bool:
    if shutil.which("unshare") is None:
        return False
    probe = ["unshare", "-rm", "sh", "-c", "mount -t tmpfs tmpfs /mnt"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def test_a_full_disk_gives_no_receipt_and_when_it_is_freed_all_goes_on_by_itself(tmp_path: Path) -> None:
    if not namespaces_work():
        pytest.skip("this system lets nobody mount a disk of one's own (unshare -rm)")
    broker = Broker(tmp_path)
    gateway = OnSmallDisk(tmp_path, broker)
    device = gateway.add_device("shop-1")
    gateway.start()
    button = Button(device, broker.port)
    try:
        gateway.wait_healthy()
        button.expect("receipt", button.press())
        filler = gateway.disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(bytes(4096))

        def fails() -> bool:  # there may be room in the log's file for some more: those are committed, and receipted
            button.press()
            time.sleep(0.05)
            return "store-fails" in gateway.health().get("problems", ())

        wait_until(fails, "the word that nothing can be committed", 30)
        unreceipted = [button.press() for _ in range(20)]
        receipted = {button.heard.get_nowait()[1] for _ in range(button.heard.qsize())}
        assert receipted.isdisjoint(unreceipted)
        filler.unlink()
        missing = set(range(2, button.activation + 1)) - receipted
        assert missing >= set(unreceipted)
        while missing:  # not one of them was sent again: the gateway held them
            missing.discard(button.heard.get(timeout=LIMIT_S)[1])
        wait_until(lambda: gateway.health()["ok"], "its health")
        # A copy: SQLite follows the link in /proc to the folder of this process.
        for name in ("sigap.db", "sigap.db-wal"):
            shutil.copy(gateway.disk / name, tmp_path / name)
        with contextlib.closing(sqlite3.connect(tmp_path / "sigap.db")) as conn:
            assert conn.execute("SELECT count(*) FROM alarms").fetchone() == (button.activation,)
            assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        assert gateway.stop() == 0
    finally:
        button.close()
        for process in (gateway.process, broker.process):
            if process is not None and process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


class WithSetClock(GatewayProcess):
    """Its wall clock is what the file says; the clock that only counts is the machine's."""

    def start(self) -> None:
        self.clock = self.folder / "clock"
        self.clock.write_text("+0")
        shown = subprocess.run(["faketime", "-f", "+0", "env"], capture_output=True, text=True, check=True).stdout
        library = next(line.split("=", 1)[1] for line in shown.splitlines() if line.startswith("LD_PRELOAD="))
        faked = {
            "LD_PRELOAD": library,
            "FAKETIME_TIMESTAMP_FILE": str(self.clock),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "sigap.cli", "gateway", "--config", str(self.config)]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env={**clean_environment(), **faked})


def test_a_clock_one_hour_forward_and_back_stops_nothing(tmp_path: Path) -> None:
    """Alarms are receipted, and the police, who are not there, are tried as often as before."""
    if shutil.which("faketime") is None:
        pytest.fail("faketime is missing: apt install faketime")
    broker = Broker(tmp_path)
    gateway = WithSetClock(tmp_path, broker)
    device = gateway.add_device("shop-1")
    gateway.start()
    button = Button(device, broker.port)

    def attempts() -> int:
        return sum(row["attempts"] for row in gateway.rows(deliveries) if row["destination"] == "backend:police")

    try:
        gateway.wait_healthy()
        for said in ("+0", "+3600", "-3600"):
            gateway.clock.write_text(said)
            began = time.monotonic()
            button.expect("receipt", button.press())
            assert time.monotonic() - began < 5
            tried = attempts()
            wait_until(lambda tried=tried: attempts() > tried, f"one more attempt with the clock at {said}", 15)
        received = [row["received_at"] for row in gateway.rows(alarms)]
        assert max(received) - min(received) > 7_000_000_000  # it was the gateway's clock that was set
        (incident,) = gateway.rows(incidents)
        assert incident["state"] == "open"
        assert {row["state"] for row in gateway.rows(deliveries)} <= {"pending", "done"}
        assert gateway.health()["ok"]
        assert gateway.stop() == 0
    finally:
        button.close()
        for process in (gateway.process, broker.process):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        gateway.store.close()


def resident_bytes(pid: int) -> int:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
