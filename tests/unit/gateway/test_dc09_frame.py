"""DC-09's frames against published examples, an independent decoder, and whatever comes."""

from __future__ import annotations

import contextlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pysiaalarm import SIAAccount
from pysiaalarm.event import SIAEvent

from gateway.backends.dc09 import codes
from gateway.backends.dc09.frame import Address, NotAFrame, crc16, framed, message, parse
from simulator.police.receivers import dc09 as receiver
from tests.unit.gateway.backend_lab import DATA

AT = 1_795_468_455.0  # 2026-11-23 21:14:15 UTC
KEYS = {bits: bytes(range(bits // 8)) for bits in (128, 192, 256)}


def decoded(frame: bytes, key: bytes | None = None) -> SIAEvent:
    """By pysiaalarm, which is nobody of ours. It takes keys as text, so as hex digits of half the bits."""
    account = SIAAccount("AAA1", key.decode() if key else None)
    event = SIAEvent.from_line(frame.decode().strip(), {"AAA1": account})
    assert event.valid_message
    assert int(event.length or "", 16) == len(event.full_message or "")
    return event


def test_the_published_example() -> None:
    frame = message("SIA-DCS", 1, Address("AAA1"), "#AAA1|Nri1/PA12", (), AT, None)
    assert frame == b'\nAAEF003B"SIA-DCS"0001R0L0#AAA1[#AAA1|Nri1/PA12]_21:14:15,11-23-2026\r'


@pytest.mark.parametrize(("text", "crc"), [(b"", 0), (b"123456789", 0xBB3D)], ids=["nothing", "check value"])
def test_crc_is_arc(text: bytes, crc: int) -> None:
    assert crc16(text) == crc == receiver._crc(text)


TROUBLES = [codes.trouble_event(name, began) for name in (*codes.TROUBLES, "other") for began in (True, False)]


@pytest.mark.parametrize("event", [*codes.EVENTS, *dict.fromkeys(TROUBLES)], ids=lambda event: event.means)
@pytest.mark.parametrize(
    "key", [None, *(b"0123456789ABCDEF" + bits for bits in (b"", b"01234567", b"0123456789ABCDEF"))]
)
@pytest.mark.parametrize("kind", ["SIA-DCS", "ADM-CID"])
def test_an_independent_decoder_reads_every_event(kind: str, key: bytes | None, event: codes.Event) -> None:
    block = codes.data_block(kind, "AAA1", event)
    read = decoded(message(kind, 42, Address("AAA1", "1A", "2"), block, ("H21:14:00,11-23-2026",), AT, key), key)
    assert (read.sequence, read.receiver, read.line, read.account) == ("0042", "R1A", "L2", "AAA1")
    assert read.timestamp is not None
    assert read.timestamp.timestamp() == AT  # pyright: ignore[reportAttributeAccessIssue]
    if kind == "SIA-DCS":
        assert (read.code, read.ri) == (event.sia, "1")
    else:
        assert (f"{read.event_qualifier}{read.event_type}", read.partition, read.ri) == (event.cid, "01", "001")
    assert read.x_data == "H21:14:00,11-23-2026"
    assert read.sia_code is not None  # its own table of SIA and of Contact ID knows it


def test_supervision_is_null() -> None:
    read = decoded(message("NULL", 3, Address("AAA1"), "", (), AT, None))
    assert (read.message_type.value, read.sequence) == ("NULL", "0003")  # pyright: ignore
    sealed = message("NULL", 3, Address("AAA1"), "", (), AT, KEYS[256])
    assert b'"*NULL"0003R0L0#AAA1[' in sealed


@pytest.mark.parametrize("key", [None, *KEYS.values()], ids=["clear", *map(str, KEYS)])
def test_our_receiver_answers_and_we_read_it(key: bytes | None) -> None:
    heard: list[dict[str, Any]] = []
    far = receiver.Receiver(heard.append, key)
    far.clock_s = AT - receiver.time.time()
    extended = ("H21:14:00,11-23-2026", "X110E24.5593", "Y006S58.9492", "Ishop-1, Toko Contoh")
    answer = far.answer(message("SIA-DCS", 7, Address("AAA1"), "#AAA1|Nri1/PA1", extended, AT, key))
    assert answer is not None
    read = parse(answer, key)
    assert (read.kind, read.sequence, read.account) == ("ACK", "0007", "AAA1")
    assert heard == [
        {"event": "Nri1/PA1", "account": "#AAA1", "sequence": "0007", "extended": list(extended), "answer": "ACK"}
    ]


def test_a_nak_says_the_receivers_time() -> None:
    far = receiver.Receiver(lambda _what: None)
    far.clock_s = AT + 3600 - receiver.time.time()
    answer = far.answer(message("SIA-DCS", 7, Address("AAA1"), "#AAA1|Nri1/PA1", (), AT, None))
    assert answer is not None
    read = parse(answer, None)
    assert read.kind == "NAK"
    assert read.at == pytest.approx(AT + 3600, abs=2)


def test_place_and_time_and_words() -> None:
    blocks = codes.extended(DATA)
    assert blocks == (
        "H03:40:40,11-24-2026",
        "X110E24.5593",
        "Y006S58.9492",
        "Ishop-1, Toko Contoh, kasir, +62 24 000000",
    )
    assert codes.marked_late(blocks, 7200)[-1].startswith("ILATE 7200 s, shop-1")


@pytest.mark.parametrize(
    ("data", "event"),
    [
        ({}, codes.PANIC),
        ({"silent": True}, codes.SILENT),
        ({"change": "alarm_joined"}, codes.PANIC),
        ({"change": "position"}, codes.PANIC),
        ({"change": "cancelled", "cancel": {"says": "mistake"}}, codes.CANCEL),
        ({"change": "cancelled", "cancel": {"says": "duress"}}, codes.DURESS),
        ({"change": "closed"}, codes.OVER),
        ({"change": "closed", "silent": True}, codes.OVER_SILENT),
        ({"test": True}, codes.TEST),
        ({"test": True, "change": "closed"}, None),
        ({"change": "acknowledged"}, None),
        ({"change": "dispatched"}, None),
        ({"change": "merged_into"}, None),
    ],
)
def test_what_is_sent_of_a_change(data: dict[str, Any], event: codes.Event | None) -> None:
    assert codes.event_of(DATA | data) == event


@given(st.text(max_size=300))
def test_no_name_breaks_a_frame(name: str) -> None:
    text = codes.plain(name)
    assert len(text) <= codes.TEXT_CHARACTERS
    assert re.fullmatch(r"[ -~]*", text)
    assert not set(text) & set('[]|"')


@given(
    st.floats(-90, 90, allow_nan=False),
    st.floats(-180, 180, allow_nan=False),
)
def test_a_place_comes_back(lat: float, lon: float) -> None:
    blocks = codes.extended({**DATA, "position": {**DATA["position"], "lat": lat, "lon": lon}})
    x, y = (next(each for each in blocks if each.startswith(letter)) for letter in "XY")

    def degrees(block: str) -> float:
        found = re.fullmatch(r"[XY](\d{3})([EWNS])(\d\d\.\d{4})", block)
        assert found
        assert float(found[3]) < 60
        return (int(found[1]) + float(found[3]) / 60) * (-1 if found[2] in "WS" else 1)

    assert degrees(x) == pytest.approx(lon, abs=2e-6)
    assert degrees(y) == pytest.approx(lat, abs=2e-6)


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        (b"", "does not begin with CRC"),
        (b"hello", "does not begin with CRC"),
        (framed(b'"ACK"0001R0L0#AAA1[]')[:-4] + b"\r", "wrong CRC or length"),
        (b"\n0000" + framed(b'"ACK"0001R0L0#AAA1[]')[5:], "wrong CRC or length"),
        (framed(b"ACK 0001"), "no DC-09 frame"),
        (framed(b'"ACK"0001R0L0#AAA1[]' + b"x" * 2000), "more than 1024"),
        (framed(b'"*ACK"0001R0L0#AAA1[00]'), "we have no key"),
    ],
)
def test_what_is_no_answer(frame: bytes, words: str) -> None:
    with pytest.raises(NotAFrame, match=words):
        parse(frame, None)


@pytest.mark.parametrize(
    "frame",
    [framed(b'"*ACK"0001R0L0#AAA1[00'), framed(b'"*ACK"0001R0L0#AAA1[' + b"AB" * 16), framed(b'"ACK"0001R0L0#AAA1[]')],
    ids=["half a block", "another key", "clear"],
)
def test_what_is_no_answer_to_who_has_a_key(frame: bytes) -> None:
    with pytest.raises(NotAFrame):
        parse(frame, KEYS[128])


@given(st.binary(max_size=200), st.sampled_from([None, *KEYS.values()]))
def test_whatever_comes_is_an_answer_or_none(body: bytes, key: bytes | None) -> None:
    for frame in (body, framed(body), framed(b'"ACK"0001R0L0#AAA1[' + body), framed(b'"*ACK"0001R0L0#A1[' + body)):
        with contextlib.suppress(NotAFrame):
            assert parse(frame, key).kind


@given(st.binary(max_size=200))
def test_nothing_stops_our_receiver(body: bytes) -> None:
    far = receiver.Receiver(lambda _what: None)
    for frame in (body, framed(body), framed(b'"NULL"0001R0L0#AAA1[' + body)):
        far.answer(frame)
