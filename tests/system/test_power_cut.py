"""A whole board loses its power between the third press and the receipt: the alarm arrives when power is back.

The light is the promise: it goes on when the alarm is on flash. So 48 cuts fall anywhere after it, the receipt being
held back by a stopped gateway; 16 more fall around the journal's write, where an alarm may or may not have come to be.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import time
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
import sqlalchemy as sa

from gateway.incidents.stages import ALARM_JOINED, OPENED
from gateway.ingest.quarantine import COUNT_PREFIX
from gateway.store.schema import counts, quarantine, replay_windows
from sigap.local import GATEWAY, Local
from simulator.observe import LED_PIN
from simulator.world.client import WorldClient
from tests.system.local_lab import CITIZEN, committed, event_kinds, local, running, wait_until

NAME = CITIZEN.name
MADE = re.compile(r"sigap: alarm (\d+)")
BUTTON_PIN = 27
AFTER_LIGHT_MS, AROUND_PRESS_MS = 400, 45
# The contact stays closed after the third press; so `press` returns at that very edge.
THIRD_DOWN = [[200, 0], [290, 1], [500, 0], [590, 1], [800, 0]]


class Bench:
    """A running Sigap whose one button loses its power again and again."""

    def __init__(self, one: Local, world: WorldClient, eye: WorldClient) -> None:
        self.one, self.world, self.eye = one, world, eye
        eye.watch(NAME)
        self.epochs: set[int] = set()
        self.highest = -1

    @contextlib.contextmanager
    def gateway_stopped(self) -> Iterator[None]:
        gateway = self.one.processes.pid(GATEWAY)
        os.kill(gateway, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(gateway, signal.SIGCONT)

    def press(self) -> float:
        """Presses until the third is down; its Unix ms."""
        return self.world.press(NAME, script=THIRD_DOWN)["presses"][2]["down_at"]

    def wait_lit(self, since: int) -> None:
        """The light was dark before, as every incident is closed: its first edge says that the alarm is being sent."""
        wait_until(lambda: self.was_lit(since), "the light")

    def cut(self) -> None:
        """Power and thumb off."""
        self.world.power(NAME, False)
        self.world.request("pin", board=NAME, pin=BUTTON_PIN, value=1)

    def was_lit(self, since: int) -> bool:
        pins = self.world.pins(NAME, since)
        return any(one.get("pin") == LED_PIN and one["value"] == 1 and one["by"] == "board" for one in pins)

    def back(self) -> None:
        """Power on, until it has logged in."""
        self.world.power(NAME, True)
        self.eye.event(lambda e: e["event"] == "console" and "mqtt: connected" in e["text"])

    def close(self) -> None:
        """The police close what is open, and the button hears it: its light is dark again."""
        newest = committed(self.one)[-1]
        url = f"{self.one.police_url}incidents/{newest['incident_id']}/closed"
        wait_until(lambda: _post(url, b"disposition=exercise"), "the police desk closes it")
        self.eye.event(lambda e: e["event"] == "console" and f"alarm {newest['activation']}: closed" in e["text"])
        self.world.settle(NAME)

    def made(self) -> int:
        """The activation that the board made next, as it said when the alarm was on flash."""
        said = self.eye.event(lambda e: e["event"] == "console" and bool(MADE.fullmatch(e["text"])))
        return int(MADE.fullmatch(said["text"])[1])  # type: ignore[index]

    def activations(self) -> list[int]:
        return [alarm["activation"] for alarm in committed(self.one)]

    def check_counters(self) -> None:
        """The counters went on, in the one epoch; no frame was refused; each alarm, of the one device, came in once."""
        with self.one.store.read() as conn:
            windows = conn.execute(sa.select(replay_windows.c.epoch, replay_windows.c.highest)).all()
            refused = conn.execute(sa.select(quarantine.c.reason)).scalars().all()
            counted = dict(conn.execute(sa.select(counts.c.name, counts.c.value)).all())
        assert refused == [], counted
        assert not [name for name in counted if name.startswith(COUNT_PREFIX)], counted
        assert {alarm["device_id"] for alarm in committed(self.one)} == {self.one.device(NAME).id}
        kinds = event_kinds(self.one)
        assert kinds.count(OPENED) + kinds.count(ALARM_JOINED) == len(self.activations())
        self.epochs |= {epoch for epoch, _ in windows}
        assert len(self.epochs) == 1
        assert windows[0].highest > self.highest
        self.highest = windows[0].highest


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(local(tmp_path_factory.mktemp("bench"))) as one, one.world() as world, one.world() as eye:
        yield Bench(one, world, eye)


@pytest.mark.parametrize("seeds", [range(24), range(24, 48)])
def test_cut_between_the_light_and_the_receipt(bench: Bench, seeds: range) -> None:
    earlier = len(bench.activations())
    for seed in seeds:
        delay_s = random.Random(seed).uniform(0, AFTER_LIGHT_MS) / 1000
        before, since = bench.activations(), last_seq(bench)
        with bench.gateway_stopped():
            bench.press()
            bench.wait_lit(since)
            time.sleep(delay_s)  # the moment of the cut is what is drawn
            bench.cut()
        made = bench.made()
        bench.back()
        said = f"seed {seed}: power cut {delay_s * 1000:.0f} ms after the light"
        wait_until(lambda before=before: len(bench.activations()) > len(before), f"{said}; the alarm")
        assert bench.activations() == [*before, made], said
        assert made > max(before, default=0), said
        assert is_resumed(bench, made), said
        bench.check_counters()
        bench.close()
    assert len(set(bench.activations())) == earlier + len(seeds)


def test_cut_around_the_write(bench: Bench) -> None:
    made = 0
    for seed in range(16):
        delay_s = random.Random(1000 + seed).uniform(0, AROUND_PRESS_MS) / 1000
        before, since = bench.activations(), last_seq(bench)
        with bench.gateway_stopped():
            bench.press()
            time.sleep(delay_s)
            bench.cut()
        lit = bench.was_lit(since)
        bench.back()
        said = f"seed {seed}: power cut {delay_s * 1000:.0f} ms after the third press, light {'on' if lit else 'off'}"
        if lit:
            wait_until(lambda before=before: len(bench.activations()) > len(before), f"{said}; the alarm")
            made += 1
        # Whatever was lost, the next press is an alarm of its own.
        bench.world.press(NAME, script=[*THIRD_DOWN, [890, 1]])
        following = bench.made()
        wait_until(lambda following=following: following in bench.activations(), f"{said}; the next alarm")
        assert following > max(before, default=0), said
        assert len(bench.activations()) - len(before) <= 2, said
        bench.check_counters()
        bench.close()
    assert made < 16, "no cut came before the light: the draw no longer covers the write"


def _post(url: str, body: bytes) -> bool:
    try:
        urllib.request.urlopen(urllib.request.Request(url, body, method="POST"), timeout=10).close()
    except urllib.error.HTTPError as error:
        if error.code != 404:
            raise
        return False  # the incident has not come to the desk yet
    return True


def last_seq(bench: Bench) -> int:
    return max((entry["seq"] for entry in bench.world.pins(NAME)), default=0)


def is_resumed(bench: Bench, activation: int) -> bool:
    return any(f"alarm {activation} resumed" in line for line in bench.world.console(NAME))
