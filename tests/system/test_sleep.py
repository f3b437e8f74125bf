"""Buttons that sleep, with the real firmware in virtual time: every press is seen, the link comes and goes."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from virtual_lab import SITE, shop, virtual

from panic_wire.bodies import HOLD
from panic_wire.frames import ALARM, HEARTBEAT, TROUBLE
from panic_wire.keys import uplink_key
from panic_wire.records import unpack_alarm
from panic_wire.seal import open_frame
from panic_wire.topics import device_id
from simulator.virtual.energy import Ledger
from simulator.virtual.world import Button, VirtualWorld, root_key
from simulator.world.presses import presses


def sleeper(name: str = "shop", mode: str = "light", heartbeat_s: int = 3600, **fields: Any) -> Button:
    device = {"power": mode, **fields.pop("device", {})}
    return shop(name, device=device, settings={"heartbeat_s": heartbeat_s}, **fields)


def entries(world: VirtualWorld, what: str, who: str = "shop") -> list[dict[str, Any]]:
    found = [json.loads(line) for line in world.trace.text().splitlines() if f'"{what}"' in line]
    return [each for each in found if each["what"] == what and each["who"] == who]


def frames(world: VirtualWorld, name: str = "shop") -> list[tuple[int, Any]]:
    """(type, body) of every frame that came up, from here on; filled while the world runs."""
    heard: list[tuple[int, Any]] = []
    key = uplink_key(root_key(world.seed, name), device_id(world.device_names[name]))

    def up(topic: str, payload: bytes) -> None:
        if topic.endswith("/up") and topic.split("/")[3] == world.device_names[name]:
            header, body = open_frame(key, payload)
            heard.append((header.type, unpack_alarm(body) if header.type == ALARM else None))

    world.broker.uplinks.append(up)
    return heard


def test_asleep_it_is_quiet_and_every_hour_it_says_that_it_lives() -> None:
    with virtual(sleeper()) as world:
        heard = frames(world)
        world.run(4 * 3600)
        board = world.boards["shop"]
        assert [type for type, _ in heard] == [HEARTBEAT] * len(heard)
        assert 4 <= len(heard) <= 6
        assert world.store.devices()["shop"]["online"], "it said goodbye each time, so its last will was not sent"
        board.ledger.settle(4 * 3600 * 1_000_000)
        lasted = board.ledger.lasted_us
        assert lasted["light_sleep"] > 0.99 * 4 * 3600 * 1e6
        assert lasted["wifi_idle"] + lasted["wifi_connect"] < 60e6
        assert not entries(world, "reset"), "the watchdog was fed"


@pytest.mark.parametrize("seed", [1, 2])
def test_presses_at_any_moment_of_its_sleep(seed: int) -> None:
    # Around each check-in the moments are dense: waking, starting the radio, connecting, sending, closing, asleep.
    chance = random.Random(seed)
    with virtual(sleeper(heartbeat_s=60), seed=seed) as world:
        board = world.boards["shop"]
        world.run(100)
        for pressed in range(1, 9):
            wakes = entries(world, "sleeps")[-1]["at_us"] + 50_000_000
            at_us = max(wakes + int(chance.uniform(-5, 16) * 1e6), world.kernel.now_us + 1000)
            board.press(presses(3, bounce_ms=4, seed=chance.randrange(1000)), at_us)
            world.run(at_us / 1e6 + 20)
            alarms = world.store.alarms()
            assert len(alarms) == pressed, f"pressed at {at_us} us"
            assert alarms[-1]["received_us"] - at_us < 12_000_000
            assert world.gateway.act(alarms[-1]["incident"], "closed", "operator:Ani", disposition="false")
            world.run(at_us / 1e6 + 100)
        assert board.resets == 0


def test_one_press_wakes_it_and_lets_it_sleep_again() -> None:
    with virtual(sleeper()) as world:
        board = world.boards["shop"]
        board.press(presses(1, bounce_ms=5), 600_000_000)
        world.run(630)
        assert any("woken by the button" in line for line in board.console)
        moments = [each["at_us"] for each in entries(world, "sleeps")]
        assert 600_000_000 < moments[-1] < 603_000_000
        board.ledger.settle(630_000_000)
        radio_us = board.ledger.lasted_us["wifi_connect"]
        world.run(660)
        board.ledger.settle(660_000_000)
        assert board.ledger.lasted_us["wifi_connect"] == radio_us, "one press turns no radio on"
        assert world.store.alarms() == []


def test_a_stuck_button_neither_keeps_it_awake_nor_from_the_next_press() -> None:
    with virtual(sleeper()) as world:
        board = world.boards["shop"]
        board.press([(0, 0), (300_000, 1)], 600_000_000)
        heard = frames(world)
        board.press(presses(3), 1000_000_000)
        world.run(1030)
        assert [type for type, _ in heard].count(TROUBLE) >= 2, "stuck, and free again"
        moments = [each["at_us"] for each in entries(world, "sleeps")]
        assert any(630_000_000 < at < 640_000_000 for at in moments), "asleep once it is known to be stuck, and told"
        assert len(world.store.alarms()) == 1


def test_without_wifi_an_alarm_keeps_it_awake_until_its_receipt() -> None:
    with virtual(sleeper()) as world:
        board = world.boards["shop"]
        world.kernel.at(300_000_000, lambda: board.set_wifi(up=False), board)
        board.press(presses(3), 600_000_000)
        world.kernel.at(4_000_000_000, lambda: board.set_wifi(up=True), board)
        world.run(4_060)
        (alarm,) = world.store.alarms()
        assert alarm["received_us"] < 4_040_000_000
        assert [at for at in entries(world, "sleeps") if at["at_us"] > 610_000_000] == []


def test_with_its_receipt_it_sleeps_at_last_and_looks_for_the_next_stage() -> None:
    with virtual(sleeper()) as world:
        board = world.boards["shop"]
        board.press(presses(3), 600_000_000)
        world.run(2_700)
        assert len([each for each in entries(world, "sleeps") if each["at_us"] > 620_000_000]) >= 1
        asleep_from = next(each["at_us"] for each in entries(world, "sleeps") if each["at_us"] > 620_000_000)
        assert asleep_from > 2_390_000_000, "half an hour after the receipt"
        assert world.gateway.act(1, "dispatched", "operator:Ani")
        world.run(3_100)
        activation = world.store.alarms()[0]["activation"]
        assert f"sigap: alarm {activation}: dispatched" in board.console


def test_after_a_power_cut_it_stays_awake_until_its_alarm_is_closed() -> None:
    with virtual(sleeper()) as world:
        board = world.boards["shop"]
        board.press(presses(3), 600_000_000)
        world.run(630)
        board.power_off()
        board.power_on()
        world.run(3_000)
        assert not [each for each in entries(world, "sleeps") if each["at_us"] > 620_000_000]
        assert world.gateway.act(1, "closed", "operator:Ani", disposition="genuine")
        world.run(3_060)
        assert entries(world, "sleeps")[-1]["at_us"] > 3_000_000_000
        assert world.journal("shop") == []


def test_deep_sleep_is_refused_where_presses_would_be_lost() -> None:
    with virtual(sleeper(mode="deep")) as world:
        world.run(60)
        board = world.boards["shop"]
        assert any(
            line.startswith("sigap: power: light instead of deep: presses would be lost") for line in board.console
        )
        assert entries(world, "sleeps")
        assert not entries(world, "sleeps-deep")


def test_a_hold_in_deep_sleep_is_an_sos_with_the_position_from_before() -> None:
    button = Button(
        "shop",
        settings={"heartbeat_s": 600},
        device={"board": "tbeam", "power": "deep", "hold_is_sos": True},
        plan={"board": "tbeam"},
        track=[(0.0, *SITE)],
    )
    with virtual(button) as world:
        board = world.boards["shop"]
        heard = frames(world)
        world.run(300)
        assert board.is_napping
        board.press([(0, 0), (2900, 1)], 400_000_000)
        world.run(402)
        world.boards["shop"].plan.sky.view = "none"
        world.run(420)
        bodies = [body for type, body in heard if type == ALARM]
        assert bodies[0].gesture == HOLD
        assert bodies[0].lat_e7 == pytest.approx(SITE[0] * 1e7, abs=2000)
        assert bodies[0].fix_age_s > 200, "of before the sleep, and said so"
        (alarm,) = world.store.alarms()
        assert abs(alarm["pressed_us"] - 402_000_000) < 600_000
        assert not board.is_napping, "with an alarm open it stays up"
        # A short press is none, and lets it sleep again.
        assert world.gateway.act(1, "closed", "operator:Ani", disposition="genuine")
        world.run(520)
        board.press(presses(1), 530_000_000)
        world.run(600)
        assert len(world.store.alarms()) == 1
        assert board.is_napping


def test_a_battery_drains_by_what_the_board_does() -> None:
    buttons = [
        make(name, plan={"ledger": Ledger(capacity_mah=100)}) for make, name in ((shop, "shop"), (sleeper, "kiosk"))
    ]
    with virtual(*buttons) as world:
        world.run(3600)
        now = world.kernel.now_us
        awake, asleep = world.boards["shop"].ledger, world.boards["kiosk"].ledger
        assert 40 < awake.mah(now) < 50
        assert 3 < asleep.mah(now) < 5
        assert awake.mv(now) < asleep.mv(now) < 4200
