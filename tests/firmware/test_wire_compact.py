# The compact form, read and made by both interpreters: vectors.json, and what its fields can hold.
import json
from binascii import unhexlify

import panic_wire
from panic_wire import compact, compact_open
from panic_wire.bodies import pack_alarm, pack_heartbeat
from panic_wire.frames import ALARM, CANCEL, HEARTBEAT, FrameError
from panic_wire.keys import downlink_key, uplink_key

with open(panic_wire.__file__.rsplit("/", 1)[0] + "/vectors.json") as file:
    VECTORS = json.load(file)
KEY = bytes(range(16))
OTHERS_EPOCH = 0x77777777


def test_vectors_are_opened_and_made():
    assert len(VECTORS["compact"]) == 8
    for case in VECTORS["compact"]:
        key = uplink_key(unhexlify(case["root_key"]), case["device"])
        frame, body = unhexlify(case["frame"]), unhexlify(case["body"])
        assert len(frame) <= 24 and compact_open.is_compact(frame), case["name"]
        header, opened = compact_open.open_compact(key, frame, [(OTHERS_EPOCH, 5), (case["epoch"], case["seen"])])
        assert (header.type, header.epoch, header.counter) == (case["type"], case["epoch"], case["counter"]), case[
            "name"
        ]
        assert opened == body, case["name"]
        compact_open.unpack_body(header.type, opened, case["near"])
        made = compact.seal_compact(key, case["type"], case["device"], case["epoch"], case["counter"], body)
        assert made == frame, case["name"]


def test_statuses_of_the_vectors():
    for case in VECTORS["statuses"]:
        key = downlink_key(unhexlify(case["root_key"]), case["device"])
        made = compact.seal_status(key, case["stage"], case["device"], case["epoch"], case["counter"])
        assert made == unhexlify(case["status"])
        packet = bytes((0x1B,)) + compact.seal_status(key, 1, case["device"] ^ 1, 1, 1) + made
        assert compact.is_statuses(packet)
        ((stage, low, status),) = compact.statuses(packet, case["device"])
        assert (stage, low) == (case["stage"], case["counter"] & 31)
        assert compact.is_status(key, status, stage, case["device"], case["epoch"], case["counter"])
        for wrong in (
            (stage % 6 + 1, case["epoch"], case["counter"]),
            (stage, case["epoch"] ^ 1, case["counter"]),
            (stage, case["epoch"], case["counter"] + 32),
        ):
            assert not compact.is_status(key, status, wrong[0], case["device"], wrong[1], wrong[2])


def opened(body, near=0):
    return compact_open.unpack_body(ALARM, body, near)


def test_a_full_body_says_the_same_compact():
    place = (-69932000, 1104203000, 5, 2)
    alarm = opened(compact.small_body(ALARM, pack_alarm(4100, 1, 0b101011, 1234, place, 3987)), 4000)
    assert (alarm.activation, alarm.gesture, alarm.age_ms) == (4100, 1, 1200)
    assert abs(alarm.lat_e7 - place[0]) < 240 and abs(alarm.lon_e7 - place[1]) < 240
    assert (alarm.accuracy_m, alarm.fix_age_s) == (5, 10)
    assert (alarm.silent, alarm.fixed_site, alarm.age_is_minimum) == (True, True, False)
    assert (alarm.repeated, alarm.moved, alarm.doubtful) == (True, False, True)
    beat = compact.small_body(HEARTBEAT, pack_heartbeat(7300, 3700, -60, 8, (1, 2, 3), 4, 5, 6))
    found = compact_open.unpack_body(HEARTBEAT, beat)
    assert (found.uptime_s, found.battery_mv, found.firmware) == (7200, 3700, (1, 2, 3))
    assert (found.reset_cause, found.open_alarms, found.lost_edges, found.clock_known) == (4, 5, 6, True)
    assert compact.small_body(CANCEL, b"123456789") == b"123456789"


def test_an_age_is_never_said_longer_than_it_is():
    before = 0
    ages = list(range(0, 40000, 37))
    ages.extend((60000, 3600000, 50000000, 60000000, 1 << 31))
    for age in ages:
        code = compact.age_code(age)
        said = compact_open.age_ms(code)
        assert before <= said <= age
        assert code == compact.MOST_AGE or age - said <= max(100, age // 16 + 100)
        before = said
    late = opened(compact.pack_alarm(1, 1, 0, 1 << 31, None))
    assert late.age_is_minimum and late.age_ms == compact_open.age_ms(255)


def test_activations_and_counters_are_the_nearest():
    for near in (0, 5, 2047, 4095, 4096, 70000, 0xFFFFF000):
        for step in (-2000, -1, 0, 1, 2000):
            wanted = near + step
            if 1 <= wanted <= 0xFFFFFFFF:
                assert opened(compact.pack_alarm(wanted, 1, 0, 0, None), near).activation == wanted
    assert compact_open.nearest(5, 20, (1 << 20) - 1) == (1 << 20) + 5
    assert compact_open.nearest((1 << 20) - 1, 20, 3) == (1 << 20) - 1


def test_what_is_not_one_is_refused_by_name():
    frame = compact.seal_compact(KEY, ALARM, 7, 9, 100, bytes(10))
    cut = len(frame) - 1

    def reason(changed, seen=((9, 90),)):
        try:
            compact_open.open_compact(KEY, changed, list(seen))
        except FrameError as error:
            return error.reason
        return None

    assert reason(frame) is None
    assert reason(frame[:cut]) == "bad-length"
    assert reason(frame[:10]) == "too-short"
    assert reason(frame[:5] + bytes((0x70,)) + frame[6:]) == "reserved-type"
    assert reason(frame, ()) == "bad-tag"
    assert reason(frame, ((9, 90 + (1 << 20)),)) == "bad-tag"
    for index in range(1, len(frame)):
        changed = bytearray(frame)
        changed[index] ^= 4
        assert reason(bytes(changed)) in ("bad-tag", "bad-length", "reserved-type"), index
    # Five epochs behind is too far.
    assert reason(frame, ((1, 0), (2, 0), (3, 0), (4, 0), (9, 90))) == "bad-tag"
