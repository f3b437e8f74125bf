"""Any bytes in any pieces: packets or a named error, and never more held than allowed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from mqtt import codec
from mqtt.codec import Decoder, MQTTError

REASONS = {"bad-length", "too-big", "bad-type", "bad-flags", "bad-body", "bad-text", "not-read"}
MAX_PACKET = 256
topics = st.text(st.characters(exclude_characters="\x00+#", exclude_categories=["Cs"]), min_size=1, max_size=30)
ids = st.integers(1, 65535)
packets = st.one_of(
    st.builds(lambda t, p: codec.encode_publish(t, p), topics, st.binary(max_size=100)),
    st.builds(lambda t, p, i: codec.encode_publish(t, p, 1, packet_id=i), topics, st.binary(max_size=100), ids),
    st.builds(codec.encode_puback, ids),
    st.just(b"\xd0\x00"),
    st.just(b"\x20\x02\x00\x00"),
)


def drain(data: bytes, cuts: list[int]) -> tuple[list[codec.Packet], str | None]:
    """The packets of the bytes fed in these pieces, and the reason of the error that ended it."""
    decoder, out, at = Decoder(MAX_PACKET), [], 0
    try:
        for cut in [*cuts, len(data)]:
            decoder.feed(data[at : at + cut])
            at += cut
            out += list(decoder)
            assert len(decoder._buffer) <= MAX_PACKET + max([*cuts, len(data)])
    except MQTTError as error:
        return out, error.reason
    return out, None


@given(st.binary(max_size=600), st.lists(st.integers(1, 100), max_size=10))
def test_any_bytes(data: bytes, cuts: list[int]) -> None:
    _, reason = drain(data, cuts)
    assert reason is None or reason in REASONS


@given(st.lists(packets, max_size=8), st.lists(st.integers(1, 50), max_size=10))
def test_pieces_change_nothing(stream: list[bytes], cuts: list[int]) -> None:
    data = b"".join(stream)
    whole, reason = drain(data, [])
    pieces, same = drain(data, cuts)
    assert reason is None
    assert same is None
    assert len(whole) == len(stream)
    assert [vars(packet) for packet in whole] == [vars(packet) for packet in pieces]


@given(topics, st.binary(max_size=150), ids, st.booleans(), st.booleans())
def test_a_publish_comes_back(topic: str, payload: bytes, packet_id: int, retain: bool, dup: bool) -> None:
    packets, reason = drain(bytes(codec.encode_publish(topic, payload, 1, retain, dup, packet_id)), [])
    if reason == "too-big":
        return
    (packet,) = packets
    assert (packet.topic, packet.payload, packet.packet_id) == (topic, payload, packet_id)
    assert (packet.qos, packet.retain, packet.dup) == (1, retain, dup)


@given(st.lists(packets, min_size=1, max_size=4), st.data())
def test_one_wrong_byte(stream: list[bytes], data: st.DataObject) -> None:
    spoiled = bytearray(b"".join(stream))
    at = data.draw(st.integers(0, len(spoiled) - 1))
    spoiled[at] ^= data.draw(st.integers(1, 255))
    _, reason = drain(bytes(spoiled), [])
    assert reason is None or reason in REASONS
