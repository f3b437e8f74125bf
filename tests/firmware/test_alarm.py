"""An alarm's life, from the third press to closed: sealed frames out, stages in, the light, the journal."""

from flash_double import Chance, FlashDouble, quiet

from panic.device import RAM_ALARMS, Device
from panic.journal import CAPACITY
from panic.retry import retry_ms
from panic.settings import check
from panic.ticks import ticks_add
from panic_wire.frames import (
    ACCEPTED,
    ACKNOWLEDGED,
    ALARM,
    CLOSED,
    DISPATCHED,
    HEARTBEAT,
    ON_SCENE,
    RECEIPT,
    STATUS,
    Header,
    Status,
    unpack_alarm,
    unpack_heartbeat,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal

DEVICE = 0xA1B2
ROOT = bytes(range(16))


def settings(**more):
    values = {
        "device": "0000a1b2",
        "root_key": "000102030405060708090a0b0c0d0e0f",
        "wifi": {"ssid": "shop", "password": "secret"},
        "broker": {"host": "127.0.0.1", "port": 1883},
        "board": "devkit",
    }
    values.update(more)
    return check(values)


def boot(flash, now=0, seed=1, **more):
    device = Device(settings(**more), flash, now, quiet, Chance(seed))
    device.came_up()
    return device


def send(device, now):
    """What leaves now: [(Header, panic_wire Alarm)]."""
    out = []
    alarm = device.sender.due(now)
    while alarm:
        header, body = open_frame(uplink_key(ROOT, DEVICE), device.alarm_frame(alarm, now))
        assert header.type == ALARM
        out.append((header, unpack_alarm(body)))
        alarm = device.sender.due(now)
    return out


def status(header, activation, stage, device=DEVICE, key=None):
    answer = Header(STATUS, stage, device, header.epoch, header.counter)
    return seal(key or downlink_key(ROOT, DEVICE), answer, Status(activation).pack())


def test_the_whole_life():
    flash = FlashDouble()
    device = boot(flash)
    alarm = device.activate(1000, 1030)
    assert [name[0] for name in flash.names("/journal")] == ["u"]
    header, sent = send(device, 1050)[0]
    assert (sent.activation, sent.age_ms, sent.repeated, sent.age_is_minimum) == (
        alarm.activation,
        50,
        False,
        False,
    )
    assert device.lights.led(1050)[0]
    for stage in (RECEIPT, ACCEPTED, ACKNOWLEDGED, DISPATCHED, ON_SCENE):
        assert device.take_frame(status(header, alarm.activation, stage), 2000)
        assert alarm.stage == stage
        assert [name[0] for name in flash.names("/journal")] == ["r"]
    assert device.take_frame(status(header, alarm.activation, CLOSED), 3000)
    assert len(device.alarms) == 0
    assert flash.names("/journal") == []
    assert device.lights.led(3000) == (False, None)


def test_each_attempt_has_its_own_counter_and_the_age_of_now():
    device = boot(FlashDouble())
    device.activate(0, 0)
    seen = []
    now = 0
    for _ in range(12):
        header, sent = send(device, now)[0]
        seen.append(header.counter)
        assert sent.age_ms == now
        assert sent.repeated == (len(seen) > 1)
        assert send(device, now) == []
        now = now + device.sender.wait_ms(now)
    assert len(set(seen)) == 12
    assert now > 100000


def test_retries_grow_to_thirty_seconds_and_never_end():
    chance = Chance(3)
    waits = [retry_ms(tries, chance) for tries in range(1, 200)]
    assert 750 <= waits[0] <= 1000
    assert max(waits) <= 30000
    assert min(waits[10:]) >= 22500
    assert len(set(waits[10:])) > 50, "no jitter"
    assert retry_ms(1000000, chance) <= 30000


def test_a_receipt_ends_the_retries():
    device = boot(FlashDouble())
    alarm = device.activate(0, 0)
    header, _ = send(device, 0)[0]
    device.take_frame(status(header, alarm.activation, RECEIPT), 100)
    assert device.sender.wait_ms(100) is None
    assert send(device, 100000) == []


def test_stages_never_go_back():
    device = boot(FlashDouble())
    alarm = device.activate(0, 0)
    header, _ = send(device, 0)[0]
    assert device.take_frame(status(header, alarm.activation, DISPATCHED), 100)
    for stage in (RECEIPT, ACCEPTED, ACKNOWLEDGED, DISPATCHED):
        assert not device.take_frame(status(header, alarm.activation, stage), 200)
    assert alarm.stage == DISPATCHED


def test_only_sealed_frames_that_answer_ours_change_it():
    device = boot(FlashDouble())
    alarm = device.activate(0, 0)
    header, _ = send(device, 0)[0]
    good = status(header, alarm.activation, RECEIPT)
    changed = bytearray(good)
    changed[-1] ^= 1
    stage_changed = bytearray(good)
    stage_changed[1] = DISPATCHED
    other_epoch = Header(0, 0, 0, header.epoch ^ 1, header.counter)
    not_sent_yet = Header(0, 0, 0, header.epoch, header.counter + 1)
    for frame in (
        b"",
        b"x" * 26,
        bytes(changed),
        bytes(stage_changed),
        status(header, alarm.activation, RECEIPT, key=uplink_key(ROOT, DEVICE)),
        status(header, alarm.activation, RECEIPT, device=DEVICE + 1),
        status(other_epoch, alarm.activation, RECEIPT),
        status(not_sent_yet, alarm.activation, RECEIPT),
    ):
        assert not device.take_frame(frame, 10)
    assert device.refused_frames == 8
    assert alarm.stage == 0
    assert not device.take_frame(status(header, alarm.activation + 1, CLOSED), 10)
    assert device.take_frame(good, 10)


def test_every_open_alarm_is_announced_after_a_reconnect():
    device = boot(FlashDouble())
    first = device.activate(0, 0)
    header, _ = send(device, 0)[0]
    device.take_frame(status(header, first.activation, ACKNOWLEDGED), 100)
    second = device.activate(5000, 5000)
    send(device, 5000)
    device.came_up()
    sent = send(device, 9000)
    assert sorted(body.activation for _, body in sent) == [first.activation, second.activation]
    assert all(body.repeated for _, body in sent)
    # The receipted one is announced once, the other is sent until its receipt.
    assert [body.activation for _, body in send(device, 12000)] == [second.activation]


def test_a_power_cut_resumes_it():
    flash = FlashDouble()
    device = boot(flash)
    alarm = device.activate(0, 0)
    epoch = send(device, 0)[0][0].epoch
    device = boot(flash, now=500, seed=2)
    assert device.lights.led(500)[0], "the person sees that it is being sent"
    header, sent = send(device, 700)[0]
    assert (sent.activation, sent.age_ms) == (alarm.activation, 200)
    assert sent.age_is_minimum
    assert sent.repeated
    assert header.epoch == epoch
    assert device.take_frame(status(header, alarm.activation, RECEIPT), 800)
    # Receipted and cut again: the light goes on saying so, and the gateway is asked how it stands.
    device = boot(flash, now=0, seed=3)
    assert device.lights.led(0)[1] == 1000
    assert device.lights.buzzer(0) == (False, None), "it has been said before"
    header, sent = send(device, 10)[0]
    assert device.take_frame(status(header, alarm.activation, CLOSED), 20)
    assert len(boot(flash, seed=4).alarms) == 0


def test_a_new_activation_after_a_power_cut_has_a_new_number():
    flash = FlashDouble()
    first = boot(flash).activate(0, 0)
    second = boot(flash, seed=2).activate(0, 0)
    assert second.activation == first.activation + 1


def test_the_position_at_the_press_survives_and_a_newer_one_wins():
    flash = FlashDouble()
    device = boot(flash)
    device.position.take(fix(-70000000, 1104000000), 0)
    device.activate(2000, 2000)
    sent = send(device, 5000)[0][1]
    assert (sent.lat_e7, sent.lon_e7, sent.fix_age_s) == (-70000000, 1104000000, 5)
    device = boot(flash, seed=2)
    sent = send(device, 10)[0][1]
    assert (sent.lat_e7, sent.fix_age_s) == (-70000000, None)
    device.position.take(fix(-70000001, 1104000001), 100)
    sent = send(device, 3000)[0][1]
    assert (sent.lat_e7, sent.fix_age_s) == (-70000001, 2)


def fix(lat, lon):
    return "GGA", True, lat, lon, 10, False


def test_a_full_journal_merges_into_the_newest():
    flash = FlashDouble()
    device = boot(flash)
    made = [device.activate(0, 0).activation for _ in range(CAPACITY)]
    assert len(set(made)) == CAPACITY
    assert len(device.alarms) == RAM_ALARMS
    send(device, 0)
    assert device.activate(10, 10).activation == made[-1]
    assert len(flash.names("/journal")) == CAPACITY
    assert [body.activation for _, body in send(device, 10)] == [made[-1]]


def test_what_ram_does_not_hold_is_sent_from_flash_newest_first():
    for cut in (False, True):
        flash = FlashDouble()
        device = boot(flash)
        made = [device.activate(1000 * number, 1000 * number).activation for number in range(CAPACITY)]
        now = 1000 * CAPACITY
        if cut:
            device = boot(flash, now=now, seed=2)
        told = []
        while len(told) < CAPACITY:
            due = send(device, now)
            assert due
            for header, sent in due:
                told.append(sent.activation)
                assert sent.age_is_minimum == cut
                if not cut:
                    pressed = 1000 * made.index(sent.activation)
                    assert 0 <= now - pressed - sent.age_ms < 1000, "never too old, and by less than a second too young"
                device.take_frame(status(header, sent.activation, RECEIPT), now)
            assert len(device.alarms) <= RAM_ALARMS
            now += 100
        assert told == sorted(made, reverse=True)
        assert {name[0] for name in flash.names("/journal")} == {"r"}
        assert max(alarm.activation for alarm in device.alarms) == made[-1], "the light speaks of the newest"
        # Closed, whether RAM has it or not.
        header = device.sender.last
        for activation in reversed(made):
            answer = Header(STATUS, CLOSED, DEVICE, header[0], header[1])
            device.take_frame(seal(downlink_key(ROOT, DEVICE), answer, Status(activation).pack()), now)
        assert flash.names("/journal") == []
        assert len(device.alarms) == 0


def test_a_flash_that_fails_keeps_no_alarm_back():
    flash = FlashDouble()
    device = boot(flash)
    flash.full = True
    for _ in range(RAM_ALARMS + 5):
        device.activate(0, 0)
    assert len(device.alarms) == RAM_ALARMS
    assert len(send(device, 0)) == RAM_ALARMS


def test_the_age_outlives_the_wrap_of_ticks():
    device = boot(FlashDouble())
    device.activate(0, 0)
    now = 0
    for _ in range(2000):  # some 14 days
        now = ticks_add(now, 600000)
        device.touch(now)
    assert send(device, now)[0][1].age_ms == 2000 * 600000


def test_flags_of_the_settings_go_with_it():
    device = boot(FlashDouble(), silent=True, fixed_site=True)
    device.activate(0, 0)
    sent = send(device, 0)[0][1]
    assert sent.silent
    assert sent.fixed_site
    assert device.lights.led(0) == (False, None)


class BoardDouble:
    lost = 0
    gps = None
    mv = 0

    def __init__(self):
        self.button = self

    def battery_mv(self):
        return self.mv

    def is_open(self):
        return False

    def rssi_dbm(self):
        return -61

    def reset_cause(self):
        return 1


def test_heartbeats():
    device = boot(FlashDouble())
    supervision = device.supervision
    assert supervision.wait_ms(0) == 0
    device.activate(0, 0)
    header, body = open_frame(uplink_key(ROOT, DEVICE), device.heartbeat_frame(BoardDouble(), 7000))
    assert header.type == HEARTBEAT
    heartbeat = unpack_heartbeat(body)
    assert (heartbeat.uptime_s, heartbeat.rssi_dbm, heartbeat.open_alarms) == (7, -61, 1)
    assert 270000 <= supervision.wait_ms(7000) <= 300000
    assert supervision.unanswered == 1
    device.take_frame(status(header, 0, RECEIPT), 7100)
    assert supervision.unanswered == 0
    device.came_up()
    assert supervision.wait_ms(7200) == 0
