"""Twenty thousand identities at one broker, two thousand of them connected: what adding and revoking one costs."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import subprocess
import time
from pathlib import Path

import pytest

from gateway.broker.files import write_broker_files
from gateway.broker.running import find_mosquitto, refresh
from gateway.registry.devices import Device
from gateway.settings import BrokerSettings
from panic_wire.keys import broker_password
from panic_wire.topics import device_name, up
from sigap.processes import free_port
from simulator.virtual import mqtt
from tests.system.broker_lab import connect
from tests.system.crowd import Crowd
from tests.system.test_broker_acl import reachable

REGISTERED, CONNECTED = 20_000, 2_000
LIMIT_S = 60.0


@pytest.mark.timeout(300)
def test_twenty_thousand_identities(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    settings = BrokerSettings(password="a long enough password", port=free_port(), gateway_port=free_port())
    devices = [Device(number, f"shop-{number}", number.to_bytes(16, "big")) for number in range(1, REGISTERED + 1)]
    began = time.monotonic()
    config = write_broker_files(tmp_path, settings, devices)
    written_s = time.monotonic() - began
    began = time.monotonic()
    process = subprocess.Popen([find_mosquitto(), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        while not reachable(settings.port):
            assert time.monotonic() - began < LIMIT_S
            time.sleep(0.005)
        started_s = time.monotonic() - began
        lines = asyncio.run(measure(tmp_path, settings, devices))
    finally:
        process.kill()
        process.wait()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    with capsys.disabled():
        print(f"\n{REGISTERED} identities: files written in {written_s * 1000:.0f} ms, the broker listens after")
        print(f"{started_s * 1000:.0f} ms; with {CONNECTED} connected:", *lines, sep="\n  ")


async def measure(folder: Path, settings: BrokerSettings, devices: list[Device]) -> list[str]:
    lines = []
    new = Device(REGISTERED + 1, "new", bytes(16))
    async with Crowd(devices[:CONNECTED], settings.port) as crowd:
        began = time.monotonic()
        await crowd.all_connected(LIMIT_S)
        lines.append(f"all connected in {time.monotonic() - began:.2f} s")
        waits_s: list[float] = []
        others = asyncio.create_task(ask_on(settings.port, devices[CONNECTED], waits_s))
        await asyncio.sleep(1.0)

        began = time.monotonic()
        await asyncio.to_thread(refresh, folder, settings, lambda: [*devices, new])
        told_s = time.monotonic() - began
        async with asyncio.timeout(LIMIT_S):
            async with Crowd([new], settings.port) as late:
                await late.all_connected(LIMIT_S)
        added_s = time.monotonic() - began
        lines.append(f"one added: files and signal {told_s * 1000:.0f} ms, logged in after {added_s * 1000:.0f} ms")

        revoked = crowd.buttons[0]
        began = time.monotonic()
        await asyncio.to_thread(refresh, folder, settings, lambda: devices[1:])
        async with asyncio.timeout(LIMIT_S):
            while revoked.writer is not None and not crowd.counts["logins refused"]:
                await asyncio.sleep(0.001)
        lines.append(f"one revoked: thrown out after {(time.monotonic() - began) * 1000:.0f} ms")
        await asyncio.sleep(1.0)
        assert all(each.writer is not None and each.lines == 1 for each in crowd.buttons[1:]), "others were disturbed"
        others.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await others
        lines.append(f"another's longest wait for a PUBACK meanwhile: {max(waits_s) * 1000:.0f} ms")
    return lines


async def ask_on(port: int, device: Device, waits_s: list[float]) -> None:
    """Publish every 5 ms and keep the times to the PUBACK, until cancelled."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    name = device_name(device.id)
    password = broker_password(device.root_key, device.id).encode()
    writer.write(connect(client_id=name.encode(), username=name.encode(), password=password, keepalive_s=0))
    await reader.readexactly(4)
    while True:
        began = time.monotonic()
        writer.write(mqtt.pack_publish(up(name), b"x", 1, 1))
        await reader.readexactly(4)
        waits_s.append(time.monotonic() - began)
        await asyncio.sleep(0.005)
