"""Whatever bytes come, a decoder answers with a frame or with a FrameError, and only true frames pass."""

from __future__ import annotations

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import example, given, settings
from hypothesis import strategies as st

from panic_wire.bodies import unpack_time
from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.ccm_ecb import open_with, seal_with
from panic_wire.frames import (
    ALARM,
    ALARM_UPDATE,
    BODY_BYTES,
    CANCEL,
    COMMAND,
    HEARTBEAT,
    MAX_FRAME_BYTES,
    REPORT,
    SET_TIME,
    STAGE_NAMES,
    STATUS,
    TEST,
    TROUBLE,
    Alarm,
    Cancel,
    Command,
    FrameError,
    Header,
    Heartbeat,
    Report,
    Status,
    Trouble,
    time_content,
    unpack_alarm,
    unpack_body,
    unpack_header,
    unpack_heartbeat,
    unpack_status,
)
from panic_wire.seal import open_frame, seal
from panic_wire.topics import device_id, device_name, down, parse, state, up

U8, U16, U32 = (st.integers(0, 2**bits - 1) for bits in (8, 16, 32))
KEYS = st.binary(min_size=16, max_size=16)
REASONS = {
    "empty",
    "not-sigap-v1",
    "reserved-type",
    "too-short",
    "too-long",
    "bad-length",
    "bad-header",
    "bad-tag",
}


@st.composite
def headers(draw: st.DrawFn) -> Header:
    number = draw(st.sampled_from(sorted(BODY_BYTES)))
    stage = draw(st.sampled_from(sorted(STAGE_NAMES))) if number == STATUS else 0
    return Header(number, stage, draw(U32), draw(U32), draw(U32))


@st.composite
def sealed_frames(draw: st.DrawFn) -> tuple[bytes, Header, bytes, bytes]:
    key, header = draw(KEYS), draw(headers())
    size = BODY_BYTES[header.type]
    body = draw(st.binary(min_size=size, max_size=size))
    return key, header, body, seal(key, header, body)


@st.composite
def alarms(draw: st.DrawFn) -> Alarm:
    """Every alarm that a body can say exactly."""
    fix = draw(st.booleans())
    within = st.none() | st.integers(0, 0xFFFE)
    return Alarm(
        draw(U32),
        draw(U8),
        *(draw(st.booleans()) for _ in range(6)),
        age_ms=draw(U32),
        lat_e7=draw(st.integers(-900000000, 900000000)) if fix else None,
        lon_e7=draw(st.integers(-1800000000, 1800000000)) if fix else None,
        accuracy_m=draw(within) if fix else None,
        fix_age_s=draw(within) if fix else None,
        battery_mv=draw(U16),
    )


@st.composite
def heartbeats(draw: st.DrawFn) -> Heartbeat:
    flags = [draw(st.booleans()) for _ in range(5)]
    version = draw(st.tuples(U8, U8, U8))
    return Heartbeat(draw(U32), draw(U16), draw(st.integers(-128, 127)), *flags, version, draw(U8), draw(U8), draw(U8))


def answer(key: bytes, frame: bytes) -> FrameError | tuple[Header, bytes]:
    try:
        return open_frame(key, frame)
    except FrameError as error:
        return error


@settings(max_examples=1000)
@given(frame=st.binary(max_size=3 * MAX_FRAME_BYTES), key=KEYS)
@example(frame=b"", key=bytes(16))
def test_noise_is_a_frame_error_with_a_known_reason(frame: bytes, key: bytes) -> None:
    result = answer(key, frame)
    assert isinstance(result, FrameError)
    assert result.reason in REASONS
    assert str(result)


@settings(max_examples=500)
@given(
    kind=st.integers(0, 15),
    second=U8,
    rest=st.binary(min_size=12, max_size=12),
    size=st.integers(0, 60),
    key=KEYS,
)
def test_noise_that_begins_like_a_frame(kind: int, second: int, rest: bytes, size: int, key: bytes) -> None:
    result = answer(key, (bytes([0x10 | kind, second]) + rest + bytes(60))[:size])
    assert isinstance(result, FrameError)
    assert result.reason in REASONS - {"not-sigap-v1"}


@settings(max_examples=300)
@given(case=sealed_frames())
def test_what_was_sealed_opens(case: tuple[bytes, Header, bytes, bytes]) -> None:
    key, header, body, frame = case
    assert open_frame(key, frame) == (header, body)
    assert unpack_header(frame) == header
    unpack_body(header.type, body)  # an authentic body is always readable


@settings(max_examples=100)
@given(case=sealed_frames())
def test_every_single_bit_counts(case: tuple[bytes, Header, bytes, bytes]) -> None:
    key, _, _, frame = case
    for bit in range(len(frame) * 8):
        changed = bytearray(frame)
        changed[bit // 8] ^= 1 << bit % 8
        assert isinstance(answer(key, bytes(changed)), FrameError), f"bit {bit}"


@given(case=sealed_frames(), more=st.binary(min_size=1, max_size=40))
def test_frames_cut_or_grown_do_not_open(case: tuple[bytes, Header, bytes, bytes], more: bytes) -> None:
    key, _, _, frame = case
    assert isinstance(answer(key, frame + more), FrameError)
    for size in range(len(frame)):
        assert isinstance(answer(key, frame[:size]), FrameError)


@given(case=sealed_frames(), other=KEYS)
def test_another_key_does_not_open(case: tuple[bytes, Header, bytes, bytes], other: bytes) -> None:
    key, _, _, frame = case
    if key == other:
        return
    result = answer(other, frame)
    assert isinstance(result, FrameError)
    assert result.reason == "bad-tag"


@settings(max_examples=300)
@given(alarm=alarms(), header=st.sampled_from([ALARM, ALARM_UPDATE, TEST]), key=KEYS, number=U32)
def test_alarms_survive_the_way(alarm: Alarm, header: int, key: bytes, number: int) -> None:
    _, body = open_frame(key, seal(key, Header(header, 0, number, number, number), alarm.pack()))
    assert unpack_alarm(body) == alarm


@settings(max_examples=300)
@given(beat=heartbeats())
def test_heartbeats_survive_the_way(beat: Heartbeat) -> None:
    assert unpack_heartbeat(beat.pack()) == beat


TEXT = st.binary(max_size=90).map(lambda content: content.rstrip(b"\0"))


@given(
    record=st.builds(Cancel, U32, U32, st.booleans(), st.booleans())
    | st.builds(Trouble, U8, st.booleans(), U32, st.integers(-(2**31), 2**31 - 1))
    | st.builds(Report, U8, U8, U32, TEXT)
    | st.builds(Command, U8.filter(lambda code: code != SET_TIME), TEXT)
)
def test_the_other_records_survive_the_way(record: Cancel | Trouble | Report | Command) -> None:
    number = {Cancel: CANCEL, Trouble: TROUBLE, Report: REPORT, Command: COMMAND}[type(record)]
    body = record.pack()
    assert len(body) == BODY_BYTES[number]
    assert unpack_body(number, body) == record


@given(unix_ms=st.integers(0, 2**64 - 1), epoch=U32, counter=U32)
def test_the_time_survives_the_way(unix_ms: int, epoch: int, counter: int) -> None:
    command = Command(SET_TIME, time_content(unix_ms, epoch, counter))
    assert unpack_body(COMMAND, command.pack()) == command
    assert unpack_time(command.content) == (unix_ms, epoch, counter)


@given(activation=U32)
def test_statuses_survive_the_way(activation: int) -> None:
    assert unpack_status(Status(activation).pack()) == Status(activation)


@settings(max_examples=500)
@given(body=st.binary(min_size=24, max_size=24))
def test_every_alarm_body_is_read_and_reads_the_same_again(body: bytes) -> None:
    alarm = unpack_alarm(body)
    assert (alarm.lat_e7 is None) == (alarm.lon_e7 is None)
    assert alarm.activation == int.from_bytes(body[:4], "big")
    assert alarm.age_ms == int.from_bytes(body[6:10], "big")
    assert unpack_alarm(alarm.pack()) == alarm


ANY_INT = st.integers(-(2**70), 2**70)


@settings(max_examples=500)
@given(
    numbers=st.tuples(ANY_INT, ANY_INT, ANY_INT),
    where=st.tuples(*[st.none() | ANY_INT] * 4),
    flags=st.tuples(*[st.booleans()] * 6),
)
def test_an_alarm_always_packs(
    numbers: tuple[int, int, int], where: tuple[int | None, ...], flags: tuple[bool, ...]
) -> None:
    gesture, age_ms, battery_mv = numbers
    body = Alarm(1, gesture, *flags, age_ms, *where, battery_mv).pack()
    assert len(body) == BODY_BYTES[ALARM]
    assert unpack_alarm(body).activation == 1


@given(numbers=st.tuples(*[ANY_INT] * 9), flags=st.tuples(*[st.booleans()] * 5))
def test_a_heartbeat_always_packs(numbers: tuple[int, ...], flags: tuple[bool, ...]) -> None:
    body = Heartbeat(*numbers[:3], *flags, numbers[3:6], *numbers[6:9]).pack()
    assert len(body) == BODY_BYTES[HEARTBEAT]
    unpack_heartbeat(body)


@settings(max_examples=300)
@given(
    key=KEYS,
    nonce=st.binary(min_size=13, max_size=13),
    aad=st.binary(max_size=50),
    text=st.binary(max_size=70),
    tag=st.sampled_from([4, 6, 8, 10, 12, 14, 16]),
    flip=st.integers(0),
)
def test_the_ccm_of_micropython_is_that_of_cryptography(
    key: bytes, nonce: bytes, aad: bytes, text: bytes, tag: int, flip: int
) -> None:
    encrypt = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update
    out = ccm_seal(key, nonce, aad, text, tag)
    assert seal_with(encrypt, nonce, aad, text, tag) == out
    assert open_with(encrypt, nonce, aad, out, tag) == text
    changed = bytearray(out)
    changed[flip % len(out)] ^= 1 << flip // len(out) % 8
    assert open_with(encrypt, nonce, aad, bytes(changed), tag) is None
    try:
        ccm_open(key, nonce, aad, bytes(changed), tag)
    except TagError:
        return
    raise AssertionError("a changed byte was accepted")


@settings(max_examples=300)
@given(topic=st.text(max_size=40) | st.from_regex(r"sigap/v1/d/[0-9a-fA-F]{7,9}/(up|down|state)", fullmatch=True))
def test_parse_takes_only_what_the_topics_make(topic: str) -> None:
    found = parse(topic)
    if found is not None:
        kind, name, leaf = found
        assert kind == "d"
        assert topic == {"up": up, "down": down, "state": state}[leaf](name)
        assert device_name(device_id(name)) == name
