"""Packets of the modelled broker: taken from a stream however it is cut, and topics matched as paho matches them."""

from __future__ import annotations

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from paho.mqtt.client import topic_matches_sub

from simulator.virtual import mqtt

calm = settings(deadline=None)  # a loaded machine is no fault
KINDS = st.integers(1, 14)
# Lengths around where another byte of the remaining length is needed, up to the limit.
BODIES = st.one_of(st.binary(max_size=300), st.sampled_from([bytes(size) for size in (127, 128, mqtt.MOST_BYTES)]))
PACKETS = st.lists(st.tuples(KINDS, st.integers(0, 15), BODIES), max_size=6)
LEVELS = st.sampled_from(["a", "b", "", "sigap", "$SYS", "a b"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=5).map("/".join).filter(bool)
FRONTS = st.lists(st.one_of(LEVELS, st.just("+")), max_size=5)
PATTERNS = st.builds(lambda front, end: "/".join([*front, *end]), FRONTS, st.sampled_from([[], ["#"]])).filter(bool)


def read(buffer: bytearray) -> list[mqtt.Packet]:
    packets = []
    while (packet := mqtt.split(buffer)) is not None:
        packets.append(packet)
    return packets


@calm
@given(PACKETS, st.lists(st.integers(0, 600), max_size=12))
def test_packets_come_out_as_they_went_in_however_the_stream_is_cut(
    written: list[tuple[int, int, bytes]], cuts: list[int]
) -> None:
    stream = b"".join(mqtt.pack(kind, body, flags) for kind, flags, body in written)
    buffer, packets = bytearray(), []
    place = 0
    for cut in [*cuts, len(stream)]:
        buffer += stream[place : place + cut]
        place += cut
        packets += read(buffer)
    assert packets == [mqtt.Packet(*one) for one in written]
    assert not buffer


@calm
@given(st.tuples(KINDS, st.integers(0, 15), BODIES))
def test_a_packet_is_none_before_its_last_byte(one: tuple[int, int, bytes]) -> None:
    kind, flags, body = one
    stream = mqtt.pack(kind, body, flags)
    buffer = bytearray(stream[:-1])
    assert read(buffer) == []
    assert buffer == stream[:-1]


@calm
@given(st.binary(max_size=40))
def test_any_bytes_are_packets_or_malformed(data: bytes) -> None:
    try:
        packets = read(bytearray(data))
    except mqtt.Malformed:
        return
    assert sum(len(packet.body) + 2 for packet in packets) <= len(data)


READERS = [mqtt.read_connect, mqtt.read_publish, mqtt.read_subscribe, mqtt.read_unsubscribe, mqtt.read_mid]


@calm
@given(st.sampled_from(READERS), st.integers(0, 15), st.binary(max_size=40))
def test_a_body_of_any_bytes_is_read_or_malformed(reader: object, flags: int, body: bytes) -> None:
    assert callable(reader)
    try:
        reader(mqtt.Packet(mqtt.PUBREL, flags, body))
    except (mqtt.Malformed, mqtt.Refused):
        return


@calm
@given(TOPICS, st.binary(max_size=100), st.integers(0, 2), st.integers(1, 65535), st.booleans(), st.booleans())
def test_a_publish_is_read_as_it_was_packed(
    topic: str, payload: bytes, qos: int, mid: int, retain: bool, dup: bool
) -> None:
    packet = mqtt.split(bytearray(mqtt.pack_publish(topic, payload, qos, mid, retain=retain, dup=dup)))
    assert packet is not None
    assert mqtt.read_publish(packet) == mqtt.Publish(topic, payload, qos, retain, mid if qos else 0)


@pytest.mark.parametrize("size", [mqtt.MOST_BYTES + 1, 1 << 21, (1 << 28) - 1])
def test_a_packet_beyond_the_limit_shows_in_its_length(size: int) -> None:
    head = bytearray(mqtt.pack(mqtt.PUBLISH, bytes(size))[:5]) if size < 1 << 22 else bytearray(b"\x30\xff\xff\xff\x7f")
    with pytest.raises(mqtt.Malformed, match=f"{size} bytes"):
        mqtt.split(head)


@calm
@given(PATTERNS, TOPICS)
@example("#", "$SYS/x")
@example("+/x", "$SYS/x")
@example("$SYS/#", "$SYS")
@example("sport/#", "sport")
@example("sport/+", "sport/")
@example("+/+", "/finance")
def test_topics_match_as_paho_matches_them(pattern: str, topic: str) -> None:
    assert mqtt.matches(pattern, topic) == topic_matches_sub(pattern, topic)
