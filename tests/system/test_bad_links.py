"""Links that go bad under the whole chain: boards, Mosquitto, the gateway and the police desk, each a process."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from gateway.incidents.cloudevents import OPENED_TYPE
from gateway.incidents.stages import ALARM_JOINED, OPENED
from gateway.store.schema import events
from sigap.links import CALLBACKS, TO_BROKER, TO_MAIL, TO_POLICE, of_board
from sigap.local import BUTTONS as DEFAULT_BUTTONS
from sigap.local import MARKET, Button, Local
from sigap.processes import free_port, sigap_command
from simulator.faults.client import FaultClient
from simulator.world.client import WorldClient
from tests.system.local_lab import committed, local, received_by_police, running, says, wait_until

# One for each test, so that no alarm joins the incident of another.
BUTTONS = tuple(Button(f"citizen-{n}", f"Warga contoh {n}", gps={"site": [-6.9904, 110.4229]}) for n in (1, 2, 3))
PARTED_S = 3.0
# A board up to its first alarm says some 320 bytes: CONNECT, SUBSCRIBE, "online", a heartbeat, the alarm.
CUT_AFTER_BYTES = (60, 300)


@dataclass
class Bench:
    """A running Sigap with a proxy on each link."""

    one: Local
    world: WorldClient
    faults: FaultClient

    def alarms(self, name: str) -> list[dict[str, Any]]:
        device = self.one.device(name).id
        return [alarm for alarm in committed(self.one) if alarm["device_id"] == device]

    def kinds(self, name: str) -> list[str]:
        """Of the events of this button's incidents, oldest first."""
        incidents = [alarm["incident_id"] for alarm in self.alarms(name)]
        found = sa.select(events.c.kind).where(events.c.incident_id.in_(incidents)).order_by(events.c.id)
        with self.one.store.read() as conn:
            return list(conn.execute(found).scalars())

    def connections(self, name: str) -> int:
        """How many this board has made until now."""
        (link,) = self.faults.links(of_board(name))
        return link["accepted"]

    def press(self, name: str) -> int:
        """Press three times; the entry of the pin log before it."""
        since = max((entry["seq"] for entry in self.world.pins(name)), default=0)
        self.world.press(name)
        return since

    def check_one_alarm(self, name: str, since: int) -> None:
        """Receipted on the light, once in the store, once at the police; and no board or process fell over."""
        says(self.world, name, "received", since)
        wait_until(lambda: "accepted" in self.kinds(name), "accepted")
        (alarm,) = self.alarms(name)
        kinds = self.kinds(name)
        assert kinds.count(OPENED) + kinds.count(ALARM_JOINED) == 1
        told = [each["body"] for each in received_by_police(self.one, at_least=1)]
        of_it = [body for body in told if body["data"]["incident"] == alarm["incident_id"]]
        assert [body["type"] for body in of_it].count(OPENED_TYPE) == 1
        assert {board["resets"] for board in self.world.boards()} == {0}
        self.one.processes.check()


@pytest.fixture(scope="module")
def running_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    one = local(tmp_path_factory.mktemp("links"), buttons=BUTTONS, faults=True)
    with running(one), one.world() as world, one.fault_client() as faults:
        yield Bench(one, world, faults)


@pytest.fixture
def bench(running_bench: Bench) -> Iterator[Bench]:
    yield running_bench
    running_bench.faults.clear()


def test_half_open_while_an_alarm_is_pressed(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    name = BUTTONS[0].name
    before = bench.connections(name)
    bench.faults.set(of_board(name), cut="half-open")
    since = bench.press(name)
    says(bench.world, name, "sending", since)
    assert bench.alarms(name) == []
    bench.faults.clear()
    healed = time.monotonic()
    # The old connection stays silent; the button has to find that out, and make another.
    wait_until(lambda: bench.alarms(name), "the alarm at the gateway")
    took = time.monotonic() - healed
    assert bench.connections(name) == before + 1
    bench.check_one_alarm(name, since)
    with capsys.disabled():
        print(f"\nhalf-open broker link: the alarm was committed {took:.2f} s after new connections could be made")


def test_reset_after_every_so_many_bytes(bench: Bench) -> None:
    name = BUTTONS[1].name
    bench.faults.set(TO_BROKER, **{"up.reset_after": 250, "down.reset_after": 350})
    bench.faults.set(of_board(name), **{"up.reset_after": CUT_AFTER_BYTES[0]})
    bench.faults.reset(of_board(name))
    since = bench.press(name)
    for size in CUT_AFTER_BYTES:
        before = bench.connections(name)
        bench.faults.set(of_board(name), **{"up.reset_after": size})
        wait_until(lambda before=before: bench.connections(name) > before or bench.alarms(name), "a new attempt")
    bench.faults.clear()
    wait_until(lambda: bench.alarms(name), "the alarm at the gateway")
    bench.check_one_alarm(name, since)


def test_gateway_and_police_parted(bench: Bench) -> None:
    name = BUTTONS[2].name
    bench.faults.set(TO_POLICE, for_s=PARTED_S, cut="black-hole")
    parted = time.monotonic()
    since = bench.press(name)
    says(bench.world, name, "received", since)  # the receipt waits for no police
    while time.monotonic() - parted < PARTED_S - 0.5:
        assert "accepted" not in bench.kinds(name)
        time.sleep(0.05)
    bench.check_one_alarm(name, since)
    assert time.monotonic() - parted >= PARTED_S - 0.1


def test_sigap_run_with_faults(tmp_path: Path) -> None:
    ports = [part for name in ("broker", "gateway", "police", "mail") for part in (f"--{name}-port", str(free_port()))]
    command = sigap_command("run", "--faults", "--dir", str(tmp_path), *ports)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running_sigap:
        try:
            assert running_sigap.stdout
            line = next(line for line in running_sigap.stdout if "fault list" in line)
            assert f"--dir {tmp_path}" in line
            with FaultClient.find(tmp_path) as faults:
                links = {link["name"]: link for link in faults.links()}
            boards = {of_board(button.name) for button in DEFAULT_BUTTONS}
            assert set(links) == {TO_BROKER, TO_POLICE, TO_MAIL, CALLBACKS, of_board(MARKET.name)} | boards
            # Every board has said that it is there, and the gateway has heard it: both through the proxy.
            assert all(links[name]["up"] > 0 for name in boards | {TO_BROKER})
        finally:
            running_sigap.send_signal(signal.SIGTERM)
            running_sigap.communicate(timeout=20)
    assert running_sigap.returncode == 0
    assert not (tmp_path / "faults.json").exists()
