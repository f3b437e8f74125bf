"""The energy ledger: states times currents, the battery's curve, and what a board says."""

from __future__ import annotations

import pytest

from simulator.virtual.energy import (
    COLD_START_US,
    CURVE,
    EMPTY_MV,
    HOT_START_US,
    HOUR_US,
    REST_COMMAND,
    STATES,
    Ledger,
    curve_mv,
)
from simulator.world.wiring import BOARDS

TBEAM = BOARDS["tbeam"]["energy_ma"]


def test_states_times_currents() -> None:
    ledger = Ledger(capacity_mah=1000)
    ledger.wire(BOARDS["tbeam"])
    ledger.power(0, True)
    ledger.hear(HOUR_US, {"cpu": "light"})
    ledger.hear(3 * HOUR_US, {"cpu": "awake"})
    assert ledger.mah(4 * HOUR_US) == pytest.approx(2 * TBEAM["cpu"] + 2 * TBEAM["light_sleep"])
    ledger.sleep_deep(4 * HOUR_US)
    ledger.power(14 * HOUR_US, False)
    used = 2 * TBEAM["cpu"] + 2 * TBEAM["light_sleep"] + 10 * TBEAM["deep_sleep"]
    assert ledger.mah(20 * HOUR_US) == pytest.approx(used), "and nothing without power"
    assert ledger.left(20 * HOUR_US) == pytest.approx(1 - used / 1000)


def test_what_hangs_on_the_board() -> None:
    ledger = Ledger()
    ledger.has_gps = True
    ledger.power(0, True)
    ledger.hear(0, {"pin": 26, "value": 1, "t_ms": 0, "t_us": 0})
    ledger.hear(0, {"pwm": 25, "freq": 2000, "duty": 512})
    ledger.hear(HOUR_US, {"pin": 26, "value": 0, "t_ms": 0, "t_us": 0})
    ledger.hear(HOUR_US, {"pwm": 25, "freq": 2000, "duty": 0})
    ledger.hear(HOUR_US, {"uart": 1, "data": REST_COMMAND + "..."})
    ledger.hear(2 * HOUR_US, {"uart": 1, "data": "\xff"})
    ledger.settle(3 * HOUR_US)
    hours = {state: us / HOUR_US for state, us in ledger.lasted_us.items()}
    cold_h, hot_h = COLD_START_US / HOUR_US, HOT_START_US / HOUR_US
    assert hours == pytest.approx(
        {
            "cpu": 3,
            "led": 1,
            "buzzer": 1,
            "gps_acquire": cold_h + hot_h,
            "gps_track": 2 - cold_h - hot_h,
            "gps_rest": 1,
        }
    )
    assert ledger.mv(3 * HOUR_US) == 0, "mains"


@pytest.mark.parametrize(("join_us", "joining_us"), [(2_000_000, 2_000_000), (None, 10_000_000)])
def test_the_radio_searches_until_it_has_joined(join_us: int | None, joining_us: int) -> None:
    ledger = Ledger()
    ledger.power(0, True)
    ledger.join_us = join_us
    ledger.hear(0, {"radio": "idle"})
    ledger.hear(0, {"radio": "joining"})
    ledger.hear(1_000, {"net": 1, "data": "00" * 100})
    ledger.hear(10_000_000, {"radio": "off"})
    assert ledger.lasted_us["wifi_connect"] == joining_us
    assert ledger.lasted_us["wifi_idle"] == 10_000_000 - joining_us
    assert 1_000 < ledger.lasted_us["wifi_tx"] < 4_000


def test_a_mean_current_takes_the_place_of_the_figures() -> None:
    ledger = Ledger(capacity_mah=90, drain_ma=90)
    ledger.power(0, True)
    assert ledger.left(HOUR_US // 2) == pytest.approx(0.5)
    assert ledger.most_ma() == 90
    assert ledger.mv(2 * HOUR_US) == EMPTY_MV


def test_a_board_that_ran_ahead_of_its_cut_is_not_counted_backwards() -> None:
    ledger = Ledger()
    ledger.power(0, True)
    ledger.hear(10_000, {"cpu": "light"})
    ledger.power(8_000, False)
    ledger.settle(20_000)
    assert all(us >= 0 for us in ledger.lasted_us.values()), ledger.lasted_us


def test_the_curve_falls_and_meets_its_points() -> None:
    values = [curve_mv(left / 1000) for left in range(-10, 1011)]
    assert values == sorted(values)
    assert all(curve_mv(left) == mv for left, mv in CURVE)


def test_a_state_goes_on_through_a_settling() -> None:
    split, whole = Ledger(), Ledger()
    for ledger in (split, whole):
        ledger.has_gps = True
        ledger.power(0, True)
        ledger.hear(0, {"radio": "joining"})
    for at_us in range(0, 60_000_000, 700_000):
        split.settle(at_us)
    assert split.mah(60_000_000) == pytest.approx(whole.mah(60_000_000))


def test_a_lamp_that_shines_when_low() -> None:
    ledger = Ledger()
    ledger.wire(BOARDS["tbeam"])
    ledger.power(0, True)
    ledger.hear(0, {"pin": 4, "value": 1})
    ledger.hear(HOUR_US, {"pin": 4, "value": 0})
    ledger.hear(3 * HOUR_US, {"pin": 4, "value": 1})
    ledger.settle(9 * HOUR_US)
    assert ledger.lasted_us["led"] == 2 * HOUR_US


def test_every_board_has_every_figure() -> None:
    for name, wired in BOARDS.items():
        figures, sleep = wired["energy_ma"], wired["sleep"]
        wanted = {*STATES.values(), "wifi_tx"} - ({"deep_sleep"} if sleep["deep"] == "no" else set())
        assert set(figures) >= wanted, name
        assert figures.get("deep_sleep", 0) < figures["light_sleep"] < figures["cpu"]
