"""A hold says that it was a mistake, or that somebody makes the person say so: the same on the button."""

from flash_double import FlashDouble
from test_alarm import DEVICE, ROOT, boot, send, status
from test_test_mode import light

from panic.device import CANCEL_MS
from panic.presses import LONG_MS
from panic.ticks import ticks_add
from panic_wire.frames import (
    ACKNOWLEDGED,
    ALARM,
    CANCEL,
    CLOSED,
    DISPATCHED,
    ON_SCENE,
    RECEIPT,
    unpack_alarm,
    unpack_cancel,
)
from panic_wire.keys import uplink_key
from panic_wire.seal import open_frame

LATE = (1 << 30) - 3000  # ticks wrap during the hold
CANCELLED = {0, 100, 700}  # 0: it begins in the dark


def told(device, now):
    """The cancel that leaves now: (Header, panic_wire Cancel), or None."""
    frame = device.other_frame(now)
    if frame is None:
        return None
    header, body = open_frame(uplink_key(ROOT, DEVICE), frame)
    assert header.type == CANCEL
    return header, unpack_cancel(body)


def hold(device, since):
    return device.cancel(since, ticks_add(since, LONG_MS + 7))


def pressed(start=1000, **settings):
    """(device, its alarm, the header of the alarm's frame)."""
    device = boot(FlashDouble(), now=start, **settings)
    alarm = device.activate(start, start)
    return device, alarm, send(device, start)[0][0]


def test_told_until_a_receipt_answers_one_of_its_own_frames():
    for start in (1000, LATE):
        device, alarm, header = pressed(start)
        since = ticks_add(start, 2000)
        assert hold(device, since)
        now = ticks_add(since, LONG_MS + 7)
        assert set(light(device, now)) <= CANCELLED
        first, cancel = told(device, now)
        assert (cancel.activation, cancel.age_ms, cancel.duress, cancel.repeated) == (alarm.activation, 7, False, False)
        assert told(device, now) is None
        # Receipts of the alarm's own frame, and later stages, are none of it.
        assert device.take_frame(status(header, alarm.activation, RECEIPT), now)
        device.take_frame(status(first, alarm.activation, ACKNOWLEDGED), now)
        now = ticks_add(now, 5000)  # light() has looked ahead
        assert set(light(device, now)) <= CANCELLED, "nobody is on the way: it still says what the person did"
        for _ in range(6):
            now = ticks_add(now, device.other_wait_ms(now))
            second, cancel = told(device, now)
            assert cancel.repeated
            assert cancel.age_ms >= 7 + 750
        assert not device.take_frame(status(first, alarm.activation, RECEIPT), now), "the last four are kept"
        assert device.other_wait_ms(now) is not None
        device.take_frame(status(second, alarm.activation, RECEIPT), now)
        assert device.other_wait_ms(now) is None


def test_it_closes_and_erases_nothing():
    flash = FlashDouble()
    device = boot(flash)
    alarm = device.activate(0, 0)
    before = dict(flash.contents)
    assert hold(device, 3000)
    assert (list(device.alarms), flash.contents) == ([alarm], before)
    assert [body.activation for _, body in send(device, 9000)] == [alarm.activation], "the alarm is told all the same"
    header, _ = told(device, 9000)
    device.take_frame(status(header, alarm.activation, RECEIPT), 9100)
    assert list(device.alarms) == [alarm]


def test_duress_looks_the_same_and_says_the_opposite():
    seen = []
    for duress in (False, True):
        device, alarm, _ = pressed(cancel_is_duress=duress)
        hold(device, 2000)
        header, cancel = told(device, 8000)
        assert cancel.duress == duress
        device.take_frame(status(header, alarm.activation, RECEIPT), 8100)
        looks = [device.lights.led(8000 + ms) + device.lights.buzzer(8000 + ms) for ms in range(0, 3000, 10)]
        seen.append((looks, device.other_wait_ms(8100), device.late_wait_ms(8100)))
    assert seen[0] == seen[1]


def test_only_a_hold_that_begins_within_half_a_minute_after_the_press():
    for since, cancels in ((0, False), (1, True), (CANCEL_MS, True), (CANCEL_MS + 1, False)):
        device, _, _ = pressed(1000)
        # 0: the third press itself, held on.
        assert hold(device, 1000 + since) == cancels, since
        assert (told(device, 90000) is not None) == cancels
    idle = boot(FlashDouble())
    assert not hold(idle, 1000)
    flash = FlashDouble()
    boot(flash).activate(0, 0)
    resumed = boot(flash, seed=2)
    assert not hold(resumed, 1000), "nobody can say how old it is"


def test_in_test_mode_there_is_nothing_to_cancel():
    device = boot(FlashDouble())
    device.begin_test(0)
    device.activate(100, 100)
    assert not hold(device, 1000)
    assert device.other_frame(7000) is None


def test_help_that_comes_all_the_same_is_shown_and_a_new_alarm_too():
    device, alarm, header = pressed()
    hold(device, 2000)
    device.take_frame(status(header, alarm.activation, DISPATCHED), 8000)
    assert device.lights.led(8000) == (True, None)
    # On the way already: the hold is shown until they are there.
    hold(device, 9000)
    assert light(device, 15000)[-1:] != [None]
    assert device.lights.led(15000)[1] is not None
    device.take_frame(status(header, alarm.activation, ON_SCENE), 16000)
    assert device.lights.led(16000) == (True, None)
    device.activate(20000, 20000)
    assert device.lights.led(20300)[1] <= 170
    header, body = open_frame(uplink_key(ROOT, DEVICE), device.alarm_frame(device.sender.due(20000), 20000))
    assert header.type == ALARM
    assert unpack_alarm(body).activation == alarm.activation + 1


def test_a_closed_alarm_needs_no_cancel_any_more():
    device, alarm, header = pressed()
    hold(device, 2000)
    device.take_frame(status(header, alarm.activation, CLOSED), 8000)
    assert device.other_frame(60000) is None
    assert device.lights.led(8000) == (False, None)


def test_after_a_minute_without_receipt_the_light_says_so():
    device, alarm, header = pressed(1000)
    assert device.late_wait_ms(1000) == 60000
    assert light(device, 60999)[:2] in ([80, 170], [0, 80])
    assert device.late_wait_ms(61000) is None
    assert light(device, 61000)[:2] in ([600, 200], [0, 600])
    device.take_frame(status(header, alarm.activation, RECEIPT), 62000)
    assert light(device, 62000)[:2] == [1000, 1000]
    assert device.late_wait_ms(62000) is None
