"""The button's side of LoRa without a radio: what it sends when, what it takes, and how it fails."""

import asyncio

from flash_double import FlashDouble
from test_alarm import DEVICE, ROOT, boot

import panic.lora_bearer as module
from lora.radio import RadioError
from panic.lora_bearer import CAP_MS, FIRST_MS, FULL_EVERY, LoraBearer
from panic.radio_settings import PLAN, load
from panic_wire import compact, compact_open
from panic_wire.frames import ALARM, CANCEL, HEARTBEAT, RECEIPT, STATUS, TROUBLE, Header, Status, unpack_alarm
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal

KEY, DOWN_KEY = uplink_key(ROOT, DEVICE), downlink_key(ROOT, DEVICE)


class Clock:
    def __init__(self):
        self.now = 1000

    def ticks_ms(self):
        return self.now


class RadioDouble:
    """Each rest takes the time that it may; packets come from `heard`. fails: reasons, one for each begin()."""

    def __init__(self, clock):
        self.clock = clock
        self.sent, self.tuned, self.heard, self.fails = [], None, [], []
        self.busy = 0
        self.asleep = self.listens = False
        self.rested = []

    async def begin(self):
        if self.fails:
            raise RadioError(self.fails.pop(0))

    async def tune(self, hertz, factor, power_dbm, inverted=False):
        assert not self.asleep
        self.tuned = (hertz, factor, power_dbm, inverted)

    async def is_free(self):
        self.busy -= 1
        return self.busy < 0

    async def send(self, frame):
        self.sent.append((self.clock.now, self.tuned, bytes(frame)))
        self.clock.now += 300
        return 300

    async def listen(self):
        self.listens = True

    async def rest(self, limit_ms):
        await asyncio.sleep(0)
        self.rested.append(limit_ms)
        if self.heard:
            return True
        self.clock.now += limit_ms or 60000
        return False

    async def take(self, limit_ms):
        return (self.heard.pop(0), -90, 5) if self.heard else None

    async def sleep(self):
        self.asleep = True

    async def wake(self):
        self.asleep = False

    def poke(self):
        pass


class BoardDouble:
    gps = None

    class button:
        lost = 0

    class wifi:
        trouble = None

    def is_open(self):
        return False

    def battery_mv(self):
        return 3900

    def rssi_dbm(self):
        return 0

    def reset_cause(self):
        return 1


class AppDouble:
    """What the bearer uses of an App; `bearer.up` says whether WiFi has a way."""

    class bearer:
        up = False

    class wake_sender:
        news = 0

        @classmethod
        def set(cls):
            cls.news += 1

    def __init__(self, device):
        self.device, self.board = device, BoardDouble()
        self.bearer.up = False
        self.wake_sender.news = 0

    def down(self, changed):
        pass

    def frame_down(self, frame):
        self.device.take_frame(frame, module.ticks_ms())


class SettingsDouble:
    device = DEVICE
    lora = ([(921400000, 9, 921800000), (921600000, 10, 922000000)], 14, 3600)


def make():
    clock = Clock()
    module.ticks_ms = clock.ticks_ms
    device = boot(FlashDouble(), now=clock.now)
    app = AppDouble(device)
    radio = RadioDouble(clock)
    bearer = LoraBearer(app, radio, SettingsDouble, lambda: 0, lambda text: None)
    bearer._beat_at = clock.now + 400000000
    return clock, app, radio, bearer


def steps(bearer, count):
    async def main():
        for _ in range(count):
            await bearer._step()

    asyncio.run(main())


def known(device, activation):
    """The gateway has answered in this epoch."""
    device.sender.known = (device.counter.epoch, activation)


def test_an_alarm_is_said_again_with_waits_that_grow_and_rows_that_change():
    clock, app, radio, bearer = make()
    app.device.activate(clock.now, clock.now)
    until(bearer, radio, 12)
    times = [at for at, _, _ in radio.sent]
    waits = [times[at + 1] - times[at] - 300 for at in range(len(times) - 1)]
    bounds = [min(FIRST_MS << number, CAP_MS) for number in range(11)]
    for at in range(11):
        assert bounds[at] // 2 <= waits[at] <= bounds[at] + 1, waits
    assert [tuned[1] for _, tuned, _ in radio.sent[:6]] == [9, 9, 10, 10, 9, 9]
    assert radio.tuned in ((921800000, 9, 14, True), (922000000, 10, 14, True)) and radio.listens
    # At SF10 only the compact form is short enough; else it is full as long as nobody has answered.
    assert [len(frame) for _, _, frame in radio.sent[:4]] == [46, 46, 24, 24]
    _, body = open_frame(KEY, radio.sent[1][2])
    assert unpack_alarm(body).repeated


def test_once_the_gateway_knows_the_epoch_frames_are_compact_but_each_fourth():
    clock, app, radio, bearer = make()
    alarm = app.device.activate(clock.now, clock.now)
    known(app.device, alarm.activation)
    bearer._plan = bearer._plan[:1]
    until(bearer, radio, 8)
    lengths = [len(frame) for _, _, frame in radio.sent]
    assert lengths == [24, 24, 24, 46] * 2 and FULL_EVERY == 4
    header, body = compact_open.open_compact(KEY, radio.sent[0][2], [(app.device.counter.epoch, 0)])
    assert header.type == ALARM
    assert compact_open.unpack_body(ALARM, body, alarm.activation).activation == alarm.activation
    app.device.sender.known = (app.device.counter.epoch ^ 1, alarm.activation)
    assert not bearer._is_known(alarm.activation)
    known(app.device, alarm.activation - 5000)
    assert not bearer._is_known(alarm.activation)
    known(app.device, 0)  # a heartbeat was answered: a new device's activations follow from its epoch
    assert bearer._is_known(alarm.activation) == (alarm.activation >> 16 == app.device.counter.epoch & 0xFFFF)


def test_a_status_for_us_ends_it_and_what_is_forged_or_anothers_does_not():
    clock, app, radio, bearer = make()
    alarm = app.device.activate(clock.now, clock.now)
    steps(bearer, 1)
    epoch, counter = alarm.frames[-1]
    good = compact.seal_status(DOWN_KEY, RECEIPT, DEVICE, epoch, counter)
    forged = good[:-1] + bytes((good[-1] ^ 1,))
    anothers = compact.seal_status(DOWN_KEY, RECEIPT, DEVICE ^ 0xFF, epoch, counter)
    old = compact.seal_status(DOWN_KEY, RECEIPT, DEVICE, epoch, counter + 32)
    seventh = good[:2] + bytes((0xE0 | counter & 31,)) + good[3:]
    before = app.device.refused_frames
    for packet in (anothers, forged, old, seventh):
        radio.heard.append(b"\x1b" + packet)
        steps(bearer, 1)
    assert alarm.is_unreceipted() and app.device.refused_frames == before + 3
    for noise in (b"\x1b", b"\xff\x00garbage", b"", b"\x1b" + bytes(10), b"\x15\0\0"):
        radio.heard.append(noise)
        steps(bearer, 1)
    assert alarm.is_unreceipted() and bearer.garbage == 1
    radio.heard.append(b"\x1b" + anothers + good)
    steps(bearer, 1)
    assert not alarm.is_unreceipted() and bearer._is_known(alarm.activation)
    sent = len(radio.sent)
    steps(bearer, 3)
    assert len(radio.sent) == sent or all(frame[0] == 0x1A for _, _, frame in radio.sent[sent:])


def test_a_whole_frame_for_us_is_taken_too():
    clock, app, radio, bearer = make()
    alarm = app.device.activate(clock.now, clock.now)
    steps(bearer, 1)
    epoch, counter = alarm.frames[-1]
    frame = seal(DOWN_KEY, Header(STATUS, RECEIPT, DEVICE, epoch, counter), Status(alarm.activation).pack())
    radio.heard += [frame[:5] + b"\0" + frame[6:], frame]
    steps(bearer, 2)
    assert not alarm.is_unreceipted()


def test_the_other_bearer_may_be_faster_and_a_busy_channel_is_waited_for():
    clock, app, radio, bearer = make()
    alarm = app.device.activate(clock.now, clock.now)
    radio.busy = 3

    async def answered():
        alarm.stage = RECEIPT
        return True

    steps(bearer, 1)
    assert len(radio.sent) == 1 and radio.busy == -1
    clock.now += 10000
    radio.is_free = answered
    radio.listens = False
    steps(bearer, 1)
    assert len(radio.sent) == 1 and radio.listens, "it listens again for what comes"


def test_without_airtime_it_waits_and_says_so():
    clock, app, radio, bearer = make()
    said = []
    bearer._log = said.append
    bearer._ledger.sent(0, 36000)
    alarm = app.device.activate(clock.now, clock.now)
    steps(bearer, 1)
    assert radio.sent == [] and "must wait" in said[0]
    until(bearer, radio, 1)
    assert 3600000 <= radio.sent[0][0] < 3700000 and alarm.is_unreceipted()


def test_what_is_no_alarm_goes_only_while_there_is_no_other_way():
    clock, app, radio, bearer = make()
    bearer._beat_at = clock.now
    app.bearer.up = True
    steps(bearer, 1)
    assert radio.sent == [] and radio.asleep
    app.bearer.up = False
    app.device.trouble(3, True, 40, clock.now)
    steps(bearer, 2)
    kinds = [open_frame(KEY, frame)[0].type for _, _, frame in radio.sent]
    assert kinds == [HEARTBEAT, TROUBLE]
    steps(bearer, 1)
    assert radio.rested[-1] == 6000 and not radio.asleep, "it listens for the answer"
    steps(bearer, 1)
    assert radio.asleep
    # Nobody answered: again soon, by the next row; but not for ever.
    until(bearer, radio, 8)
    beats = [at for at, _, frame in radio.sent if (frame[5] >> 4 if frame[0] == 0x1A else frame[0] & 15) == HEARTBEAT]
    assert len(beats) == 4 and beats[3] - beats[0] < 130000
    until(bearer, radio, 9)
    assert radio.sent[-1][0] - beats[3] > 3000000


def until(bearer, radio, count):
    for _ in range(1000):
        if len(radio.sent) >= count:
            return
        steps(bearer, 1)
    raise AssertionError("%d were sent" % len(radio.sent))


def test_a_position_goes_once_a_minute_and_only_when_it_moved():
    clock, app, _, bearer = make()
    device = app.device
    alarm = device.activate(clock.now, clock.now)
    alarm.stage = RECEIPT
    assert bearer._update_ms(clock.now) is None
    device.position.restore(-69932000, 1104203000, 5, 0, clock.now)
    assert bearer._update_ms(clock.now) == 0 and bearer._said(clock.now) is not None
    assert bearer._update_ms(clock.now + 1000) == 60000 and bearer._said(clock.now) is None
    device.position.restore(-69932000 + 9000, 1104203000, 5, 0, clock.now)
    assert bearer._update_ms(clock.now + 1000) == 59000
    assert bearer._update_ms(clock.now + 60000) == 0
    assert bearer._said(clock.now + 60000) is not None
    assert bearer._update_ms(clock.now + 130000) == 60000


def test_a_cancel_goes_too_and_waits_for_airtime_with_the_others():
    clock, app, radio, bearer = make()
    alarm = app.device.activate(clock.now, clock.now)
    alarm.stage = RECEIPT
    assert app.device.cancel(clock.now + 2000, clock.now + 7010)
    clock.now += 8000
    known(app.device, alarm.activation)
    bearer._ledger.sent(0, 36000)
    steps(bearer, 1)
    assert radio.sent == [] and app.device.notices.wait_ms(clock.now) > 60000
    bearer._ledger = type(bearer._ledger)()
    clock.now += 4000000
    bearer._beat_at = clock.now + 100000
    steps(bearer, 1)
    header, _ = compact_open.open_compact(KEY, radio.sent[0][2], [(app.device.counter.epoch, 0)])
    assert header.type == CANCEL


def test_a_radio_that_fails_is_trouble_and_is_begun_again():
    _, app, radio, bearer = make()
    radio.fails = ["absent", "busy"]
    module_sleep = asyncio.sleep
    slept = []

    class Fake:
        @staticmethod
        async def sleep(seconds):
            slept.append(seconds)
            await module_sleep(0)

        CancelledError = asyncio.CancelledError

    module.asyncio = Fake
    try:

        async def main():
            task = asyncio.create_task(bearer.run())
            while not bearer.up:
                await module_sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                pass

        asyncio.run(main())
    finally:
        module.asyncio = asyncio
    assert slept[:2] == [1.0, 2.0] and app.wake_sender.news == 2
    entry = app.device.notices.find(TROUBLE, 12)
    assert entry and entry[4], "it is over"


def test_the_plan_is_checked_and_has_a_default():
    class Found:
        lora = None

    found = Found()
    assert load(found, {}) == [] and found.lora == (list(PLAN), 14, 3600)
    assert load(found, {"plan": [[921400000, 7, 921800000], [921600000, 10, 922000000]], "power_dbm": 20}) == []
    assert found.lora[0][1] == (921600000, 10, 922000000)
    for wrong in (
        [],
        {"plan": []},
        {"plan": [[1, 9, 921800000]]},
        {"plan": [[921400000, 11, 921800000]]},
        {"plan": [[921400000, 9]]},
        {"power_dbm": 30},
        {"heartbeat_s": 5},
        {"power_dbm": True},
    ):
        assert len(load(found, wrong)) == 1, wrong
    assert load(found, {}, "base") == []
    assert "one row" in load(found, {"plan": [[921400000, 9, 921800000]] * 2}, "base")[0]
