"""Broker, gateway and outbox worker as processes that may be killed at any moment, a crowd of buttons, and a police."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from standardwebhooks import Webhook

from gateway.broker.files import write_broker_files
from gateway.broker.running import find_mosquitto
from gateway.clock import now_us
from gateway.registry.devices import Device, add_device, list_devices
from gateway.settings import load_settings
from gateway.settings_example import write_example
from gateway.store.engine import open_store
from gateway.store.schema import alarms, deliveries, events, incidents
from panic_wire.frames import alarm_id
from sigap.processes import free_port
from tests.system.crowd import Crowd
from tests.system.test_broker_acl import clean_environment, reachable

BROKER, GATEWAY, WORKER = "broker", "gateway", "worker"
PARTS = (BROKER, GATEWAY, WORKER)
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
START_LIMIT_S = 60.0
END_LIMIT_S = 120.0


class Police:
    """A police system on this loop: checks the signature, keeps what it was told, accepts."""

    def __init__(self) -> None:
        self.bodies: dict[str, dict[str, Any]] = {}
        self.alarms: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.changed_bodies: list[str] = []
        self._webhook = Webhook(SECRET)

    async def take(self, request: web.Request) -> web.Response:
        body = await request.text()
        said = self._webhook.verify(body, dict(request.headers))
        self.counts["attempts"] += 1
        delivery = request.headers["webhook-id"]
        if delivery in self.bodies and self.bodies[delivery] != said:
            self.changed_bodies.append(delivery)
        self.bodies[delivery] = said
        self.alarms |= {each["alarm"] for each in said["data"]["alarms"]}
        return web.json_response({"accepted": True, "reference": delivery})

    @contextlib.asynccontextmanager
    async def served(self, port: int) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_post("/alarms", self.take)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        try:
            yield
        finally:
            await runner.cleanup()


class Parts:
    """The processes, and the settings they share."""

    def __init__(self, folder: Path, devices: int, *, apart: bool = True) -> None:
        self.folder, self.apart = folder, apart
        self.port, self.gateway_port, self.http_port, self.police_port = (free_port() for _ in range(4))
        self.config = folder / "sigap.toml"
        write_example(
            self.config,
            {
                "broker.port": self.port,
                "broker.gateway_port": self.gateway_port,
                "http.port": self.http_port,
                "backends.url": f"http://127.0.0.1:{self.police_port}/alarms",
                "backends.secret": SECRET,
            },
        )
        self.settings = load_settings(self.config, {})
        self.store = open_store(self.settings.store_url)
        with self.store.write() as conn:
            for number in range(devices):
                add_device(conn, name=f"shop-{number}", now_us=now_us())
        self.devices: list[Device] = self.registered()
        write_broker_files(self.settings.broker_dir, self.settings.broker, self.devices)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.killed: Counter[str] = Counter()

    def registered(self) -> list[Device]:
        with self.store.read() as conn:
            return list_devices(conn)

    def start(self, part: str, prefix: tuple[str, ...] = ()) -> None:
        sigap = [sys.executable, "-m", "sigap.cli"]
        more = ["--config", str(self.config)]
        command = {
            BROKER: [find_mosquitto(), "-c", str(self.settings.broker_dir / "mosquitto.conf")],
            GATEWAY: [*sigap, "gateway", *(["--without-outbox"] if self.apart else []), *more],
            WORKER: [*sigap, "outbox", "work", *more],
        }[part]
        with (self.folder / f"{part}.log").open("ab") as log:
            self.processes[part] = subprocess.Popen(
                [*prefix, *command], stdout=log, stderr=log, env=clean_environment(), start_new_session=True
            )

    def log(self, part: str) -> str:
        return (self.folder / f"{part}.log").read_text(errors="replace")

    async def start_all(self) -> None:
        self.start(BROKER)
        self.start(GATEWAY)
        if self.apart:
            self.start(WORKER)
        async with asyncio.timeout(START_LIMIT_S):
            while not (self._listen() and self._said(WORKER, "worker runs")):
                for part, process in self.processes.items():
                    assert process.poll() is None, self.log(part)[-2000:]
                await asyncio.sleep(0.05)

    def kill(self, part: str) -> None:
        self.processes[part].kill()
        self.processes[part].wait()
        self.killed[part] += 1

    def stop(self) -> None:
        for process in self.processes.values():
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # what strace watches would outlive it
                process.wait()
        self.store.close()

    def _listen(self) -> bool:
        return reachable(self.gateway_port) and reachable(self.http_port)

    def _said(self, part: str, words: str) -> bool:
        return not self.apart or words in self.log(part)


@contextlib.contextmanager
def parts(folder: Path, devices: int, *, apart: bool = True) -> Iterator[Parts]:
    made = Parts(folder, devices, apart=apart)
    try:
        yield made
    finally:
        made.stop()


async def _kill_some(one: Parts, chance: random.Random, during_s: float, times: int) -> None:
    """Each part `times` times, at moments that the seed draws; it is started again after a moment of its own."""
    moments = sorted((chance.uniform(0, during_s), part) for part in PARTS for _ in range(times))
    began = time.monotonic()
    for at_s, part in moments:
        await asyncio.sleep(max(0.0, began + at_s - time.monotonic()))
        one.kill(part)
        await asyncio.sleep(chance.uniform(0, 0.3))
        one.start(part)


async def live_through(
    one: Parts, police: Police, crowd: Crowd, seed: int, number: int, per_s: float, kills: int
) -> str:
    """One seed of the kill matrix; a line with its counts. AssertionError for whatever was lost or doubled."""
    chance = random.Random(seed)
    before = {"killed": Counter(one.killed), "crowd": Counter(crowd.counts), "attempts": police.counts["attempts"]}
    known_before = len(police.bodies)
    began = time.monotonic()
    await asyncio.gather(
        crowd.press_at_rate(number, per_s),
        _kill_some(one, chance, number / per_s, kills),
    )
    unreceipted = crowd.unreceipted
    await crowd.all_receipted(END_LIMIT_S)
    pressed = {alarm_id(button.device.id, press.activation) for button, press in crowd.presses()}
    async with asyncio.timeout(END_LIMIT_S):
        while not (pressed <= police.alarms and not await asyncio.to_thread(_pending, one)):
            await asyncio.sleep(0.2)
    took_s = time.monotonic() - began
    await asyncio.to_thread(_check_store, one, crowd)
    assert police.changed_bodies == [], "one delivery's id, two bodies"
    killed, counts = one.killed - before["killed"], crowd.counts - before["crowd"]
    slowest = max(press.took_s for _, press in crowd.presses() if press.at >= began)
    told, attempts = len(police.bodies) - known_before, police.counts["attempts"] - before["attempts"]
    died = ", ".join(f"{part} {killed[part]}" for part in PARTS)
    return (
        f"seed {seed}: {counts['alarms']} alarms in {counts['frames']} frames, {unreceipted} without a receipt when "
        f"the presses ended, all at the police after {took_s:.1f} s; killed: {died}; "
        f"{told} deliveries in {attempts} attempts; slowest receipt {slowest:.1f} s"
    )


def _pending(one: Parts) -> int:
    with one.store.read() as conn:
        return conn.execute(sa.select(sa.func.count()).where(deliveries.c.state == "pending")).scalar_one()


def _check_store(one: Parts, crowd: Crowd) -> None:
    with one.store.read() as conn:
        stored = {(row.device_id, row.activation) for row in conn.execute(sa.select(alarms))}
        told = conn.execute(sa.select(deliveries.c.state, sa.func.count()).group_by(deliveries.c.state)).all()
        opened = conn.execute(sa.select(sa.func.count()).where(events.c.kind == "opened")).scalar_one()
        joined = conn.execute(sa.select(sa.func.count()).where(events.c.kind == "alarm_joined")).scalar_one()
        accepted = conn.execute(sa.select(sa.func.count()).where(incidents.c.accepted.is_(True))).scalar_one()
    assert stored == {(button.device.id, press.activation) for button, press in crowd.presses()}
    assert [row[0] for row in told] == ["done"]
    assert (opened, joined) == (len(crowd.buttons), len(stored) - len(crowd.buttons))  # none twice, none lost
    assert accepted == len(crowd.buttons)
