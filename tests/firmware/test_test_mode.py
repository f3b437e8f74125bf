"""Test mode: safe, clearly different, in RAM only, and over by itself."""

from flash_double import FlashDouble
from test_alarm import DEVICE, ROOT, boot, status

from panic.device import TEST_MODE_MS
from panic.lights import BLINK, FAST, HALVES, THRICE
from panic.ticks import ticks_add
from panic_wire.frames import ACCEPTED, ALARM, CLOSED, RECEIPT, TEST, unpack_alarm
from panic_wire.keys import uplink_key
from panic_wire.seal import open_frame

LATE = (1 << 30) - 1000  # ticks wrap while it is on


def sent(device, now):
    """The one frame that is due: (Header, panic_wire Alarm)."""
    header, body = open_frame(uplink_key(ROOT, DEVICE), device.alarm_frame(device.sender.due(now), now))
    assert device.sender.due(now) is None
    return header, unpack_alarm(body)


def light(device, now):
    """The pattern, read off for a while."""
    on, wait = device.lights.led(now)
    out = []
    while wait is not None and len(out) < 6:
        out.append(wait if on or out else 0)
        now = ticks_add(now, wait)
        on, wait = device.lights.led(now)
    return out


def test_three_presses_are_a_test_and_say_so():
    for start in (1000, LATE):
        flash = FlashDouble()
        device = boot(flash, silent=True)  # shown all the same: who tests wants to see it
        device.begin_test(start)
        assert light(device, start)[: len(BLINK)] == list(BLINK)
        at = ticks_add(start, 5500)  # while the blink is dark
        alarm = device.activate(at, at)
        assert alarm.test
        assert flash.names("/journal") == []
        assert light(device, at)[:2] == list(HALVES)
        header, body = sent(device, at)
        assert (header.type, body.activation) == (TEST, alarm.activation)
        assert device.take_frame(status(header, alarm.activation, RECEIPT), at)
        assert light(device, at) == list(THRICE)
        at = ticks_add(at, 10 * sum(THRICE))
        assert device.take_frame(status(header, alarm.activation, ACCEPTED), at)
        assert light(device, at) == list(THRICE)
        assert flash.names("/journal") == []


def test_it_ends_by_itself_and_takes_its_tests_along():
    device = boot(FlashDouble(), now=LATE)
    device.begin_test(LATE)
    alarm = device.activate(LATE, LATE)
    end = ticks_add(LATE, TEST_MODE_MS)
    assert device.test_wait_ms(ticks_add(end, -1)) == 1
    assert len(device.alarms) == 1
    assert device.test_wait_ms(end) is None
    assert len(device.alarms) == 0
    assert device.lights.led(end) == (False, None)
    assert not device.take_frame(status(sent_header(device, end), alarm.activation, CLOSED), end)


def sent_header(device, now):
    """Of some later frame, to answer."""
    alarm = device.activate(now, now)
    header, _ = sent(device, now)
    assert header.type == ALARM and not alarm.test
    return header


def test_the_last_moment_is_a_test_and_the_next_an_alarm():
    for moved, is_test in ((-1, True), (0, False)):
        device = boot(FlashDouble())
        device.begin_test(0)
        at = TEST_MODE_MS + moved
        # Handled late: the third press decides, not the moment at which it was looked at.
        alarm = device.activate(at, TEST_MODE_MS + 500)
        assert alarm.test == is_test
        assert list(device.alarms) == [alarm]
        if not is_test:
            assert light(device, TEST_MODE_MS + 500)[:2] == list(FAST)


def test_no_test_mode_while_an_alarm_is_open():
    device = boot(FlashDouble())
    device.activate(0, 0)
    device.begin_test(10000)
    assert device.test_wait_ms(10000) is None
    assert not device.activate(11000, 11000).test


def test_a_second_test_takes_the_place_of_the_first_and_no_test_fills_the_journal():
    device = boot(FlashDouble())
    device.begin_test(0)
    for number in range(20):
        device.activate(number * 100, number * 100)
    assert len(device.alarms) == 1
    assert device.test_wait_ms(TEST_MODE_MS) is None
    assert not device.activate(TEST_MODE_MS + 1, TEST_MODE_MS + 1).test


def test_silent_is_silent_again_afterwards():
    device = boot(FlashDouble(), silent=True)
    device.begin_test(0)
    device.test_wait_ms(TEST_MODE_MS)
    device.activate(TEST_MODE_MS + 1, TEST_MODE_MS + 1)
    assert device.lights.led(TEST_MODE_MS + 2) == (False, None)
    assert device.lights.buzzer(TEST_MODE_MS + 2) == (False, None)
