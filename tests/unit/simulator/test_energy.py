"""The energy ledger: states times currents, the battery's curve, and what a board says."""

from __future__ import annotations

from dataclasses import asdict

import pytest

from simulator.virtual.energy import CURVE, DEVKIT, EMPTY_MV, HOUR_US, REST_COMMAND, Figures, Ledger, curve_mv


def test_states_times_currents() -> None:
    ledger = Ledger(DEVKIT, capacity_mah=1000)
    ledger.power(0, True)
    ledger.hear(HOUR_US, {"cpu": "light"})
    ledger.hear(3 * HOUR_US, {"cpu": "awake"})
    assert ledger.mah(4 * HOUR_US) == pytest.approx(2 * DEVKIT.cpu_awake_ma + 2 * DEVKIT.cpu_light_ma)
    ledger.sleep_deep(4 * HOUR_US)
    ledger.power(14 * HOUR_US, False)
    used = 2 * DEVKIT.cpu_awake_ma + 2 * DEVKIT.cpu_light_ma + 10 * DEVKIT.cpu_deep_ma
    assert ledger.mah(20 * HOUR_US) == pytest.approx(used), "and nothing without power"
    assert ledger.left(20 * HOUR_US) == pytest.approx(1 - used / 1000)


def test_what_hangs_on_the_board() -> None:
    ledger = Ledger(DEVKIT)
    ledger.has_gps = True
    ledger.power(0, True)
    ledger.hear(0, {"pin": 26, "value": 1, "t_ms": 0, "t_us": 0})
    ledger.hear(0, {"pwm": 25, "freq": 2000, "duty": 512})
    ledger.hear(HOUR_US, {"pin": 26, "value": 0, "t_ms": 0, "t_us": 0})
    ledger.hear(HOUR_US, {"pwm": 25, "freq": 2000, "duty": 0})
    ledger.hear(HOUR_US, {"uart": 1, "data": REST_COMMAND + "..."})
    ledger.hear(2 * HOUR_US, {"uart": 1, "data": "\xff"})
    ledger.settle(3 * HOUR_US)
    assert ledger.used_mah["led on"] == pytest.approx(DEVKIT.led_ma)
    assert ledger.used_mah["buzzer on"] == pytest.approx(DEVKIT.buzzer_ma)
    assert ledger.used_mah["gps on"] == pytest.approx(2 * DEVKIT.gps_on_ma)
    assert ledger.used_mah["gps rest"] == pytest.approx(DEVKIT.gps_rest_ma)
    assert ledger.mv(3 * HOUR_US) == 0, "mains"


@pytest.mark.parametrize(("join_us", "joining_us"), [(2_000_000, 2_000_000), (None, 10_000_000)])
def test_the_radio_searches_until_it_has_joined(join_us: int | None, joining_us: int) -> None:
    ledger = Ledger(DEVKIT)
    ledger.power(0, True)
    ledger.join_us = join_us
    ledger.hear(0, {"radio": "idle"})
    ledger.hear(0, {"radio": "joining"})
    ledger.hear(1_000, {"net": 1, "data": "00" * 100})
    ledger.hear(10_000_000, {"radio": "off"})
    assert ledger.lasted_us["wifi joining"] == joining_us
    assert ledger.lasted_us["wifi idle"] == 10_000_000 - joining_us
    assert 1_000 < ledger.lasted_us["wifi tx"] < 4_000


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


def test_figures_come_from_a_table_with_the_same_names() -> None:
    assert Figures.of({**asdict(DEVKIT), "source": "a data sheet"}) == DEVKIT
    with pytest.raises(KeyError, match="cpu_light_ma"):
        Figures.of({"cpu_awake_ma": 30})
