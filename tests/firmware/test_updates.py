"""Where the person is after an alarm; and that it is said at no other time, in no frame and in no file."""

from flash_double import FlashDouble
from test_alarm import DEVICE, ROOT, BoardDouble, boot, send, status

from panic.device import TEST_MODE_MS
from panic_wire.frames import ALARM, ALARM_UPDATE, CLOSED, HEARTBEAT, RECEIPT, TEST, TROUBLE, unpack_alarm
from panic_wire.keys import uplink_key
from panic_wire.seal import open_frame

LAT, LON = -69904000, 1104229000
STEP = 130  # 1.4 m north each second


class Walk:
    """A device whose owner walks; run() lets seconds pass and keeps every frame that leaves."""

    def __init__(self, flash=None, **settings):
        self.flash = flash or FlashDouble()
        self.device = boot(self.flash, **settings)
        self.now = 0
        self.frames = []  # (second, type, body)
        self.receipts = True
        self.fixes = True
        self.battery_mv = 0

    def run(self, seconds):
        device = self.device
        for _ in range(seconds):
            self.now += 1000
            if self.fixes:
                device.position.take(("GGA", True, LAT + STEP * self.now // 1000, LON, 10, False), self.now)
            device.test_wait_ms(self.now)
            alarm = device.sender.due(self.now)
            while alarm:
                self._sent(device.alarm_frame(alarm, self.now, self.battery_mv))
                alarm = device.sender.due(self.now)
            frame = device.other_frame(self.now, self.battery_mv)
            if frame:
                self._sent(frame)
            if device.supervision.wait_ms(self.now) == 0:
                self._sent(device.heartbeat_frame(BoardDouble(), self.now))

    def _sent(self, frame):
        header, body = open_frame(uplink_key(ROOT, DEVICE), frame)
        self.frames.append((self.now // 1000, header.type, body))
        activation = unpack_alarm(body).activation if header.type in (ALARM, ALARM_UPDATE, TEST) else 0
        if self.receipts:
            self.device.take_frame(status(header, activation, RECEIPT), self.now)
        self.header = header

    def updates(self):
        return [(second, unpack_alarm(body)) for second, type, body in self.frames if type == ALARM_UPDATE]


def test_every_ten_seconds_for_five_minutes_then_every_minute_until_closed():
    walk = Walk()
    walk.run(100)
    alarm = walk.device.activate(100000, 100000)
    walk.run(900)
    times = [second for second, _ in walk.updates()]
    assert times[:3] == [111, 121, 131]
    fast = [second for second in times if second < 400]
    assert len(fast) == 29, fast
    slow = [second for second in times if second > 410]
    assert {slow[at + 1] - slow[at] for at in range(len(slow) - 1)} == {60}
    second, update = walk.updates()[-1]
    assert (update.activation, update.lat_e7, update.repeated) == (alarm.activation, LAT + STEP * second, True)
    assert update.age_ms == (second - 100) * 1000
    walk.device.take_frame(status(walk.header, alarm.activation, CLOSED), walk.now)
    before = len(walk.frames)
    walk.run(600)
    assert not [one for one in walk.frames[before:] if one[1] != HEARTBEAT]


def test_none_before_the_receipt_without_news_or_below_the_reserve():
    walk = Walk()
    walk.run(10)
    walk.receipts = False
    walk.device.activate(10000, 10000)
    walk.run(60)
    assert walk.updates() == []
    assert len([1 for _, type, _ in walk.frames if type == ALARM]) > 4, "the retries say it"
    walk.receipts = True
    walk.run(60)
    told = len(walk.updates())
    assert told >= 2
    walk.fixes = False
    walk.run(120)
    assert len(walk.updates()) <= told + 1, "nothing new"
    walk.fixes = True
    walk.run(15)
    more = len(walk.updates())
    assert more > told + 1 or more == told + 1
    walk.battery_mv = 3300
    walk.run(100)
    assert len(walk.updates()) == more
    walk.battery_mv = 3500
    walk.run(15)
    assert len(walk.updates()) > more


def test_a_jump_is_said_and_not_told_as_a_place():
    walk = Walk()
    walk.run(10)
    walk.device.position.take(("GGA", True, LAT + 500000, LON, 10, False), 10000)
    walk.device.activate(10000, 10000)
    _, sent = send(walk.device, 10000)[0]
    assert sent.doubtful
    assert abs(sent.lat_e7 - LAT) < 2000


def places(data):
    """Every i32 in these bytes, at any place, that could be where the walker was in those seven hours."""
    found = []
    for at in range(len(data) - 3):
        value = int.from_bytes(data[at : at + 4], "big")
        value -= (value & 0x80000000) << 1
        if -1000 <= value - LAT <= 4000000 or abs(value - LON) < 1000:
            found.append(value)
    return found


def test_a_day_with_a_walking_fix_leaves_no_position_anywhere():
    class Watched(FlashDouble):
        written = ()

        def write(self, path, data):
            self.written += ((path, bytes(data)),)
            FlashDouble.write(self, path, data)

    flash = Watched()
    walk = Walk(flash, heartbeat_s=300)
    walk.run(6 * 3600)
    before = walk.now
    walk.device.begin_test(walk.now)
    walk.device.activate(walk.now, walk.now)
    walk.run(TEST_MODE_MS // 1000 + 60)
    tests = [one for one in walk.frames if one[1] == TEST]
    assert tests
    assert all(before // 1000 <= second <= (before + TEST_MODE_MS) // 1000 for second, _, _ in tests)
    walk.run(3600)
    kinds = {type for _, type, _ in walk.frames}
    assert kinds == {HEARTBEAT, TEST, TROUBLE}  # nobody tells it the time
    for second, type, body in walk.frames:
        if type != TEST:
            assert not places(body), (second, type)
    for path, data in flash.written:
        assert not places(data), path
    # And the search finds what is there.
    walk.device.activate(walk.now, walk.now)
    walk.run(1)
    assert places(walk.frames[-1][2])
    assert places(flash.written[-1][1])
