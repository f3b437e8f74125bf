# The airtime of the last hour, under CPython and MicroPython; tests/unit/simulator compares it with the region's rules.
from lora.ledger import Ledger
from lora.radio import airtime_ms


def test_a_burst_is_allowed_until_the_hours_share_is_used():
    ledger = Ledger()
    for _ in range(174):
        assert ledger.wait_s(5, 206, True) == 0
        ledger.sent(5, 206)
    assert ledger.used_ms(5) == 174 * 206
    assert ledger.wait_s(5, 206, True) == 61 * 60 - 5
    assert ledger.wait_s(61 * 60 - 1, 206, True) == 1
    assert ledger.wait_s(61 * 60, 206, True) == 0
    assert ledger.used_ms(61 * 60) == 0


def test_a_heartbeat_may_not_use_what_is_kept_for_an_sos():
    ledger = Ledger(spare_permille=500)
    ledger.sent(0, 17900)
    assert ledger.wait_s(0, 100) == 0
    assert ledger.wait_s(0, 101) == 61 * 60
    assert ledger.wait_s(0, 18100, True) is None, "longer than the dwell time"
    assert Ledger(dwell_ms=0).wait_s(0, 18100, True) == 0
    assert ledger.wait_s(0, 400, True) == 0


def test_the_oldest_minutes_go_first():
    ledger = Ledger(spare_permille=0)
    ledger.sent(0, 12000)
    ledger.sent(600, 12000)
    ledger.sent(1200, 12000)
    assert ledger.wait_s(1300, 100) == 61 * 60 - 1300
    assert ledger.wait_s(61 * 60, 300) == 0
    ledger.sent(61 * 60, 12000)
    assert ledger.wait_s(61 * 60, 300) == 600


def test_never_when_one_is_more_than_the_hour_allows():
    assert Ledger(duty_permille=1, dwell_ms=0).wait_s(0, 3601, True) is None


def test_after_days_of_silence_nothing_is_counted():
    ledger = Ledger()
    ledger.sent(30, 400)
    assert ledger.used_ms(10 * 86400) == 0
    ledger.sent(10 * 86400, 300)
    assert ledger.used_ms(10 * 86400 + 3600) == 300
    assert ledger.used_ms(10 * 86400 + 3660) == 0


def test_airtime_is_rounded_up():
    assert [airtime_ms(24, factor) for factor in (7, 8, 9, 10, 11, 12)] == [62, 114, 206, 371, 824, 1483]
    assert airtime_ms(255, 12) == 9020
