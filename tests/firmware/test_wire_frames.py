# Values that no vector covers: what an encoder refuses, what a record is, topics.
from panic_wire import topics
from panic_wire.frames import (
    ALARM,
    BODY_BYTES,
    CANCEL,
    CLOSED,
    COMMAND,
    HEADER_BYTES,
    HEARTBEAT,
    MAX_FRAME_BYTES,
    RECEIPT,
    REPORT,
    STAGE_NAMES,
    STATUS,
    TAG_BYTES,
    TEST,
    TROUBLE,
    TYPE_NAMES,
    Alarm,
    FrameError,
    Header,
    Heartbeat,
    Status,
    alarm_id,
    is_downlink,
    unpack_alarm,
    unpack_header,
    unpack_heartbeat,
    unpack_status,
)
from panic_wire.keys import downlink_key, hkdf_sha256, uplink_key
from panic_wire.seal import open_frame, seal
from panic_wire.words import header_dict

ROOT = bytes(range(16))


def reason(function, *arguments):
    try:
        function(*arguments)
    except FrameError as error:
        return error.reason
    return None


def raises_value_error(function, *arguments):
    try:
        function(*arguments)
    except ValueError:
        return True
    return False


def test_largest_frame():
    assert max(BODY_BYTES.values()) + HEADER_BYTES + TAG_BYTES == MAX_FRAME_BYTES
    assert len(seal(uplink_key(ROOT, 1), Header(REPORT, 0, 1, 2, 3), bytes(96))) == MAX_FRAME_BYTES


def test_every_type_with_a_body_has_a_name():
    for number in BODY_BYTES:
        assert number in TYPE_NAMES
    assert sorted(STAGE_NAMES) == list(range(RECEIPT, CLOSED + 1))


def test_directions():
    for number in TYPE_NAMES:
        assert is_downlink(number) == (number in (STATUS, COMMAND))


def test_encoder_refuses_reserved_types():
    for number in (0, 10, 15, 16, -1):
        assert reason(Header(number, 0, 1, 2, 3).pack) == "reserved-type"


def test_encoder_refuses_stages_that_do_not_belong():
    for stage in (0, 7, 15, 16, -1):
        assert reason(Header(STATUS, stage, 1, 2, 3).pack) == "bad-header"
    for number in (ALARM, TEST, HEARTBEAT, CANCEL, TROUBLE, REPORT, COMMAND):
        assert reason(Header(number, 1, 1, 2, 3).pack) == "bad-header"


def test_encoder_refuses_numbers_that_do_not_fit():
    # MicroPython's struct would cut them silently: a counter of 2**32 would be counter 0 again.
    for bad in (-1, 1 << 32, 1 << 40):
        assert reason(Header(ALARM, 0, bad, 2, 3).pack) == "bad-header"
        assert reason(Header(ALARM, 0, 1, bad, 3).pack) == "bad-header"
        assert reason(Header(ALARM, 0, 1, 2, bad).pack) == "bad-header"
        assert reason(Alarm(bad).pack) == "bad-body"
        assert reason(Status(bad).pack) == "bad-body"


def test_seal_refuses_a_body_of_another_length():
    key, header = uplink_key(ROOT, 1), Header(ALARM, 0, 1, 2, 3)
    for size in (0, 14, 23, 25):
        assert reason(seal, key, header, bytes(size)) == "bad-body"


def test_bodies_of_another_length():
    for unpack, size in ((unpack_alarm, 24), (unpack_heartbeat, 14), (unpack_status, 4)):
        for wrong in (0, size - 1, size + 1):
            assert reason(unpack, bytes(wrong)) == "bad-body"
        assert reason(unpack, bytes(size)) is None


def test_frames_may_come_as_bytearray_or_memoryview():
    key = uplink_key(ROOT, 1)
    frame = seal(key, Header(ALARM, 0, 1, 2, 3), Alarm(7).pack())
    for other in (bytearray(frame), memoryview(frame)):
        header, body = open_frame(key, other)
        assert header.counter == 3
        assert unpack_alarm(body).activation == 7
        assert unpack_header(other) == header


def test_odd_values_never_stop_an_alarm():
    odd = Alarm(1, gesture=300, age_ms=-5, lat_e7=1, lon_e7=None, accuracy_m=-1, fix_age_s=3, battery_mv=None)
    read = unpack_alarm(odd.pack())
    assert read.gesture == 255
    assert read.age_ms == 0
    assert read.lat_e7 is None and read.lon_e7 is None
    assert read.accuracy_m is None and read.fix_age_s is None
    assert read.battery_mv == 0
    outside = unpack_alarm(Alarm(1, lat_e7=900000001, lon_e7=0, accuracy_m=1).pack())
    assert outside.lat_e7 is None and outside.accuracy_m is None
    assert unpack_heartbeat(Heartbeat(rssi_dbm=None, battery_mv=None).pack()).rssi_dbm == 0


def test_each_flag_is_its_own_bit():
    for bit, name in (
        (1, "silent"),
        (2, "fixed_site"),
        (4, "age_is_minimum"),
        (8, "repeated"),
        (16, "moved"),
        (32, "doubtful"),
    ):
        body = Alarm(1, **{name: True}).pack()
        assert body[5] == bit
        assert getattr(unpack_alarm(body), name) is True
    for bit, name in ((1, "silent"), (2, "fixed_site"), (4, "has_fix"), (8, "clock_known"), (16, "test_mode")):
        body = Heartbeat(**{name: True}).pack()
        assert body[7] == bit
        assert getattr(unpack_heartbeat(body), name) is True


def test_records_compare_by_value():
    assert Alarm(1) == Alarm(1)
    assert Alarm(1) != Alarm(2)
    assert Status(1) != Alarm(1)
    assert Header(ALARM, 0, 1, 2, 3) == Header(ALARM, 0, 1, 2, 3)
    assert Header(ALARM, 0, 1, 2, 3) != Header(ALARM, 0, 1, 2, 4)
    assert repr(Status(5)) == "Status(activation=5)"
    assert list(header_dict(Header(ALARM, 0, 1, 2, 3)).values()).count(1) == 2


def test_keys_differ_by_direction_and_device():
    seen = set()
    for device in (0, 1, 0xFFFFFFFF):
        seen.add(uplink_key(ROOT, device))
        seen.add(downlink_key(ROOT, device))
    assert len(seen) == 6
    for root, device in ((bytes(15), 1), (bytes(17), 1), (ROOT, -1), (ROOT, 1 << 32)):
        assert raises_value_error(uplink_key, root, device)
    for length in (0, 255 * 32 + 1):
        assert raises_value_error(hkdf_sha256, b"k", b"", b"", length)


def test_alarm_identity():
    assert alarm_id(0xA1B2, 7) == "0000a1b2-7"
    assert alarm_id(0xFFFFFFFF, 0xFFFFFFFF) == "ffffffff-4294967295"


def test_topics_of_a_device():
    name = topics.device_name(0xA1B2)
    assert name == "0000a1b2"
    assert topics.device_id(name) == 0xA1B2
    assert topics.up(name) == "sigap/v1/d/0000a1b2/up"
    assert topics.down(name) == "sigap/v1/d/0000a1b2/down"
    assert topics.state(name) == "sigap/v1/d/0000a1b2/state"
    for topic, kind in ((topics.up(name), "up"), (topics.down(name), "down"), (topics.state(name), "state")):
        assert topics.parse(topic) == ("d", name, kind)


def test_topics_that_are_none_of_ours():
    for topic in (
        "",
        "/",
        "sigap/v1/d/0000a1b2",
        "sigap/v1/d/0000a1b2/up/",
        "sigap/v1/d/0000a1b2/UP",
        "sigap/v1/d/0000A1B2/up",
        "sigap/v1/d/0000a1b/up",
        "sigap/v1/d/00000a1b2/up",
        "sigap/v1/d/+/up",
        "sigap/v1/d/0000a1b2/receipt",
        "sigap/v1/p/0000a1b2/state",
        "sigap/v2/d/0000a1b2/up",
        "/sigap/v1/d/0000a1b2/up",
    ):
        assert topics.parse(topic) is None, topic
    for name in ("", "0000A1B2", "a1b2", "0000a1b2 ", " 000a1b2", "0x00a1b2", "-000a1b2"):
        assert raises_value_error(topics.device_id, name)
    for device in (-1, 1 << 32):
        assert raises_value_error(topics.device_name, device)
