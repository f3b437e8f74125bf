"""LoRa through everything: buttons and base stations with the shipped firmware, the gateway's own code."""

from __future__ import annotations

import re
from typing import Any

import pytest

from gateway.store.schema import alarms
from panic_wire.compact import seal_status
from panic_wire.header import RECEIPT
from panic_wire.keys import downlink_key
from panic_wire.topics import device_id
from sigap.local import BASES, MARKET
from sigap.lora_chain import Chain, measure
from simulator.radio.air import Deaf
from simulator.radio.modulation import Modulation, Packet
from simulator.virtual.world import Button, VirtualWorld, root_key
from tests.system import local_lab
from tests.system.virtual_lab import virtual

ROW = [921_400_000, 9, 921_800_000]
PRESS = [(0, 0), (90, 1), (300, 0), (390, 1), (600, 0), (690, 1)]
HELD_LIMIT_US = 20_000


def market(name: str = "pasar", chip: str = "sx1276", **fields: Any) -> Button:
    """Without WiFi, unless told otherwise."""
    fields = {"wifi": {"up": False}, "place": (30.0, 0.0), **fields}
    plan = {"board": "tbeam", "heap_kb": 200}
    return Button(name, lora=chip, device={"board": "tbeam", "lora": {"plan": [ROW]}}, plan=plan, **fields)


def said(world: VirtualWorld, name: str) -> list[str]:
    return [line for line in world.boards[name].console if "alarm" in line]


def arrives(world: VirtualWorld, until_s: float) -> dict[str, Any]:
    world.run(until_s)
    (alarm,) = world.store.alarms()
    return alarm


class Stranger(Deaf):
    """A radio on the air that sends what it wants."""

    def __init__(self, world: VirtualWorld, place: tuple[float, float, float] = (5.0, 5.0, 1.0)) -> None:
        self._world = world
        world.air.join("stranger", place, self)

    def sends(self, payload: bytes, *, down: bool = False) -> None:
        tuning = Modulation(ROW[2] if down else ROW[0], 9, iq_inverted=down)
        self._world.air.send("stranger", Packet(payload, tuning, 14.0))
        self._world.run(self._world.kernel.now_us / 1e6 + 0.6)


@pytest.mark.parametrize("chip", ["sx1276", "sx1262"])
def test_press_to_receipt_and_every_stage_without_wifi(chip: str) -> None:
    with virtual(market(chip=chip)) as world:
        world.add_base("base", ROW)
        world.kernel.at(0, world.stations["base"].power_on)
        world.run(30)
        world.boards["pasar"].press(PRESS, world.kernel.now_us)
        alarm = arrives(world, 33)
        assert alarm["bearer"] == "lora"
        # Held at the base and on the air: the press is known to a tenth of a second.
        assert abs(alarm["pressed_us"] - 30_600_000) < 130_000
        world.gateway.act(1, "acknowledged", "operator:a")
        world.gateway.act(1, "dispatched", "operator:a")
        world.run(45)
        world.gateway.act(1, "closed", "operator:a", disposition="exercise")
        world.run(60)
        stages = [line.rsplit(" ", 1)[1] for line in said(world, "pasar")[1:]]
        assert [each for each in stages if each in ("receipt", "dispatched", "closed")][-2:] == ["dispatched", "closed"]
        assert world.boards["pasar"].resets == 0
        assert world.stations["base"].resets == 0


def test_one_button_keeps_its_time_with_a_tenth_of_all_packets_lost_and_noise_on_the_line() -> None:
    taken = measure(Chain(rounds=12, loss=0.1, seed=3, noise=0.01))
    assert taken.lost == 0
    assert (taken.at(0.5) or 99.0) <= 1.0


def test_nothing_forged_replayed_or_senseless_is_believed_and_all_of_it_is_counted() -> None:
    with virtual(market()) as world:
        world.add_base("base", ROW)
        world.kernel.at(0, world.stations["base"].power_on)
        stranger = Stranger(world)
        heard: list[bytes] = []
        world.air.watchers.append(lambda who, packet, at: heard.append(packet.payload) if who == "pasar" else None)
        world.run(30)
        world.stations["base"].power_off()
        world.boards["pasar"].press(PRESS, world.kernel.now_us)
        world.run(32)
        alarm = heard[-1]
        # A receipt for this very frame, under another key: the light must not say "received".
        device = device_id(world.device_names["pasar"])
        counter = int.from_bytes(alarm[10:14], "big") if alarm[0] != 0x1A else int.from_bytes(alarm[6:8], "big")
        forged = seal_status(bytes(16), RECEIPT, device, int.from_bytes(heard[0][6:10], "big"), counter)
        for _ in range(5):
            stranger.sends(b"\x1b" + forged, down=True)
        assert not any("receipt" in line for line in said(world, "pasar"))
        assert any("refused" in line for line in world.boards["pasar"].console)
        world.stations["base"].power_on()
        world.run(240)
        assert any("receipt" in line or "accepted" in line for line in said(world, "pasar"))
        before = world.store.counts()
        for payload in (
            alarm,
            heard[0],
            bytes(24),
            b"\x1a" + bytes(23),
            b"\xff" * 40,
            alarm[:-1] + b"\0",
            b"\x1b" + forged,
        ):
            stranger.sends(payload)
        world.run(300)
        counts = world.store.counts()
        refused = {name: counts[name] - before.get(name, 0) for name in counts if name.startswith("quarantine.")}
        assert refused.get("quarantine.replayed", 0) >= 1
        assert refused.get("quarantine.bad-tag", 0) >= 1
        assert refused.get("quarantine.unknown-device", 0) + refused.get("quarantine.reserved-type", 0) >= 1
        assert len(world.store.alarms()) == 1
        key = downlink_key(root_key(1, "pasar"), device)
        assert key != bytes(16)


def test_two_bases_hear_one_frame_once_and_a_gateway_that_is_killed_between_loses_nothing() -> None:
    with virtual(market()) as world:
        for number, place in enumerate(((0.0, 0.0), (80.0, 0.0))):
            world.add_base(f"base-{number}", ROW, place=place)
            world.kernel.at(0, world.stations[f"base-{number}"].power_on)
        world.run(30)
        world.gateway.kill()
        world.boards["pasar"].press(PRESS, world.kernel.now_us)
        world.run(36)
        world.gateway.start()
        alarm = arrives(world, 120)
        assert abs(alarm["pressed_us"] - 30_600_000) < 130_000, "what the bases held is not late"
        counts = world.store.counts()
        assert counts["ingest.heard_again"] >= 1
        assert not any(name.startswith("quarantine.") for name in counts)
        assert any("receipt" in line or "accepted" in line for line in said(world, "pasar"))


def test_wifi_and_lora_race_and_the_incident_says_how_late_the_other_was() -> None:
    with virtual(market(wifi={"up": True, "join_ms": 1500})) as world:
        world.add_base("base", ROW)
        world.kernel.at(0, world.stations["base"].power_on)
        world.run(30)
        world.boards["pasar"].link.change(delay_us=900_000)
        world.boards["pasar"].press(PRESS, world.kernel.now_us)
        alarm = arrives(world, 40)
        assert alarm["bearer"] == "lora"
        came = [entry for entry in world.store.events(0) if entry["kind"] == "came_too"]
        assert [each["bearer"] for each in came] == ["wifi"]
        assert 300 <= came[0]["late_ms"] <= 3000


def test_a_press_during_a_transmission_is_counted_and_the_loop_is_never_held_for_long() -> None:
    held: list[int] = []
    with virtual(market()) as world:
        world.add_base("base", ROW)
        world.kernel.at(0, world.stations["base"].power_on)
        board = world.boards["pasar"]
        sees = board._see
        board._see = lambda what, at_us=None, **more: (  # type: ignore[method-assign]
            held.append(more["value"]) if what == "stalled" else None,
            sees(what, at_us, **more),
        )[1]
        world.run(30)
        board.press(PRESS, world.kernel.now_us)
        # The first alarm's frame is on the air from 30.65 s on: three more presses meanwhile.
        board.press([(750, 0), (800, 1), (850, 0), (900, 1), (950, 0), (1000, 1)], world.kernel.now_us)
        world.run(60)
        assert len(world.store.alarms()) == 2
        assert max(held, default=0) <= HELD_LIMIT_US
        assert board.overflows == 0


@pytest.mark.timeout(120)
def test_in_real_time_through_a_pty(tmp_path: Any) -> None:
    """What `sigap run` has: a button without WiFi, and a base station at a serial port of the gateway."""
    with local_lab.running(local_lab.local(tmp_path, buttons=(MARKET,), bases=BASES)) as one:
        with one.world() as world:
            local_lab.wait_until(lambda: one.heard([MARKET.name]), "a heartbeat over LoRa", 60)
            world.press(MARKET.name)
            wanted = re.compile(r"sigap: alarm \d+: (receipt|accepted)")
            local_lab.wait_until(
                lambda: any(wanted.match(line) for line in world.console(MARKET.name)), "a receipt over LoRa", 30
            )
            assert [each["resets"] for each in world.boards()] == [0, 0]
        with one.store.read() as conn:
            (row,) = conn.execute(alarms.select()).all()
        assert row.bearer == "lora"
