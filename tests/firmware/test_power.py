"""When a button sleeps: the pure part, with the time of a day and of the wrap of ticks."""

from panic.modes import DEEP, LIGHT, MAINS, mode_of
from panic.power import (
    AGAIN_MS,
    ALERT_LOW_MS,
    ALERT_MS,
    CHECK_MS,
    LINGER_MS,
    OPEN_MS,
    Power,
)
from panic.ticks import PERIOD, ticks_add

HOUR_MS = 3600000


class BoardDouble:
    def __init__(self, deep="hold"):
        self.deep = deep


class SettingsDouble:
    def __init__(self, power=None, hold_is_sos=False):
        self.power = power
        self.hold_is_sos = hold_is_sos


def test_deep_sleep_is_for_boards_that_lose_no_press():
    lines = []
    assert mode_of(SettingsDouble(), BoardDouble(), lines.append) == MAINS
    assert mode_of(SettingsDouble("light"), BoardDouble(), lines.append) == LIGHT
    assert mode_of(SettingsDouble("deep"), BoardDouble("counted"), lines.append) == DEEP
    assert mode_of(SettingsDouble("deep", True), BoardDouble(), lines.append) == DEEP
    assert lines == []
    assert mode_of(SettingsDouble("deep"), BoardDouble(), lines.append) == LIGHT
    assert mode_of(SettingsDouble("deep", True), BoardDouble("no"), lines.append) == LIGHT
    assert len(lines) == 2 and "presses would be lost" in lines[0], lines


def test_it_starts_with_a_check_in_and_sleeps_after_its_answer():
    for start in (0, PERIOD - 20000):
        power = Power(HOUR_MS, start)
        assert power.checks_in(start)
        assert not power.checks_in(start), "once"
        assert power.link_wanted(start, False, 0)
        at = ticks_add(start, 3000)
        power.heard(at, HOUR_MS - 5000)
        assert power.link_wanted(at, False, 0), "for what else comes down"
        assert power.wait_ms(at) == LINGER_MS
        at = ticks_add(at, LINGER_MS)
        power.heard(at, HOUR_MS - 5000)  # it is told of the same answer again and again
        assert not power.link_wanted(at, False, 0)
        assert power.sleep_ms(at) == HOUR_MS - 5000
        at = ticks_add(at, HOUR_MS - 5000)
        assert power.sleep_ms(at) == 0
        assert power.checks_in(at)


def test_a_check_in_without_an_answer_ends_and_comes_again_sooner():
    power = Power(HOUR_MS, 0)
    assert power.checks_in(0)
    assert power.link_wanted(CHECK_MS - 1, False, 0)
    assert not power.link_wanted(CHECK_MS, False, 0)
    assert power.sleep_ms(CHECK_MS) == HOUR_MS // 4
    quick = Power(60000, 0)
    assert quick.checks_in(0)
    assert not quick.link_wanted(CHECK_MS, False, 0)
    assert quick.sleep_ms(CHECK_MS) == AGAIN_MS, "a frequent heartbeat is no reason to search for WiFi for ever"


def test_an_alarm_keeps_it_awake_until_its_receipt_and_some_time_after():
    power = Power(HOUR_MS, 0)
    power.checks_in(0)
    power.alert(100000)
    assert power.link_wanted(100000, True, 1)
    assert power.link_wanted(100000 + 5 * ALERT_MS, True, 1), "without its receipt, for ever"
    power.alert(200000)
    assert power.link_wanted(200000 + ALERT_MS - 1, False, 1)
    assert not power.link_wanted(200000 + ALERT_MS, False, 1)
    assert power.sleep_ms(200000 + ALERT_MS) <= OPEN_MS, "it looks for the next stage"
    assert not power.link_wanted(300000 + ALERT_MS, False, 1), "an alert that is over does not come back"


def test_a_closed_alarm_lets_it_sleep_at_once():
    power = Power(HOUR_MS, 0)
    power.checks_in(0)
    power.alert(CHECK_MS)
    assert not power.link_wanted(CHECK_MS + 1000, False, 0)


def test_a_low_battery_is_saved_for_the_next_alarm():
    power = Power(HOUR_MS, 0)
    power.checks_in(0)
    power.alert(CHECK_MS, 3350)
    assert power.link_wanted(CHECK_MS + ALERT_LOW_MS - 1, False, 1)
    assert not power.link_wanted(CHECK_MS + ALERT_LOW_MS, False, 1)
    power.alert(CHECK_MS, 0)  # not measured is not low
    assert power.link_wanted(CHECK_MS + ALERT_LOW_MS, False, 1)


def test_it_never_sleeps_past_its_next_heartbeat():
    # Awake for a fortnight with an alarm that nobody receipts, over a wrap of ticks: check-ins go on.
    power = Power(HOUR_MS, 0)
    now, checks = 0, 0
    for _ in range(14 * 24 * 6):
        if power.checks_in(now):
            checks += 1
            power.heard(ticks_add(now, 2000), HOUR_MS)
        assert power.link_wanted(now, True, 1)
        assert power.sleep_ms(now) <= HOUR_MS
        now = ticks_add(now, 600000)
    assert checks >= 14 * 24 * 0.8, checks


def test_what_is_no_alarm_is_told_at_once_but_not_again_and_again():
    power = Power(HOUR_MS, 0)
    assert power.checks_in(0)
    power.heard(1000, HOUR_MS)
    assert not power.link_wanted(2000, False, 0)
    power.hurry(10000)
    assert not power.checks_in(10000), "it has just been there"
    assert power.sleep_ms(10000, hurried=True) == AGAIN_MS - 10000
    assert power.sleep_ms(10000) == HOUR_MS - 9000
    assert not power.link_wanted(AGAIN_MS, False, 0)
    power.hurry(AGAIN_MS)
    assert power.checks_in(AGAIN_MS)
    assert power.link_wanted(AGAIN_MS, False, 0)
    assert not power.link_wanted(AGAIN_MS + CHECK_MS, False, 0), "nobody answers"
    power.hurry(AGAIN_MS + CHECK_MS)
    assert not power.checks_in(AGAIN_MS + CHECK_MS)
