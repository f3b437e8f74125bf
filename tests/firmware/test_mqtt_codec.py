"""MQTT packets against bytes worked out from the standard (MQTT 3.1.1, OASIS, 29 October 2014)."""

from mqtt import codec, opening
from mqtt.codec import Decoder, MQTTError


def refused(call, *arguments, **named):
    """The reason of the MQTTError that the call raises."""
    try:
        call(*arguments, **named)
    except MQTTError as error:
        assert str(error)
        return error.reason
    raise AssertionError("not refused: %r" % (arguments,))


def decode(data, piece=None, max_packet=2048):
    """Every packet in the bytes, fed in pieces."""
    decoder = Decoder(max_packet)
    out = []
    step = piece or len(data) or 1
    for start in range(0, len(data), step):
        decoder.feed(data[start : start + step])
        out.extend(decoder)
    return out


def test_connect():
    # Section 3.1, figure 3.6: protocol name, level 4, flags, keep alive; here a clean session only.
    assert opening.encode_connect("a", 60) == b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x3c\x00\x01a"
    # User name, password, will retained with QoS 1: 0x80 | 0x40 | 0x20 | 0x08 | 0x04 | 0x02.
    packet = opening.encode_connect("id", 10, True, "u", b"\xff\x00", ("t", b"off", True))
    body = b"\x00\x04MQTT\x04\xee\x00\x0a\x00\x02id\x00\x01t\x00\x03off\x00\x01u\x00\x02\xff\x00"
    assert packet == bytes([0x10, len(body)]) + body


def test_connect_refuses():
    assert refused(opening.encode_connect, "", 10, False) == "bad-argument"  # [MQTT-3.1.3-7]
    assert refused(opening.encode_connect, "a", 10, True, None, "p") == "bad-argument"  # [MQTT-3.1.2-22]
    assert refused(opening.encode_connect, "a", 65536) == "bad-argument"
    assert refused(opening.encode_connect, "a", 10, True, None, None, ("a/#", b"", False)) == "bad-text"
    assert refused(opening.encode_connect, "a\x00") == "bad-text"  # [MQTT-1.5.3-2]
    assert refused(opening.encode_connect, "x" * 65536) == "too-big"


def test_publish():
    # Section 3.3, figure 3.11: topic a/b, packet id 10.
    assert codec.encode_publish("a/b", b"hi", 1, packet_id=10) == b"\x32\x09\x00\x03a/b\x00\x0ahi"
    assert codec.encode_publish("a/b", b"hi") == b"\x30\x07\x00\x03a/bhi"
    assert codec.encode_publish("a/b", "", 1, True, True, 65535) == b"\x3b\x07\x00\x03a/b\xff\xff"
    again = codec.encode_publish("a", b"x", 1, packet_id=1)
    again[0] |= 8
    assert again == codec.encode_publish("a", b"x", 1, dup=True, packet_id=1)


def test_publish_refuses():
    for topic in ("", "a/+", "#", "a\x00b"):
        assert refused(codec.encode_publish, topic, b"") == "bad-text"
    assert refused(codec.encode_publish, "a", b"", 1) == "bad-argument"  # no packet id [MQTT-2.3.1-1]
    assert refused(codec.encode_publish, "a", b"", 0, packet_id=1) == "bad-argument"  # [MQTT-2.3.1-5]
    assert refused(codec.encode_publish, "a", b"", 0, dup=True) == "bad-argument"  # [MQTT-3.3.1-2]
    assert refused(codec.encode_publish, "a", b"", 3, packet_id=1) == "bad-argument"
    assert refused(codec.encode_publish, "a", b"", 1, packet_id=65536) == "bad-argument"


def test_subscribe_and_the_small_ones():
    # Section 3.8, figure 3.22: two filters.
    packet = opening.encode_subscribe(10, (("a/b", 1), ("c/d", 2)))
    assert packet == b"\x82\x0e\x00\x0a\x00\x03a/b\x01\x00\x03c/d\x02"
    assert opening.encode_unsubscribe(10, ("a/b",)) == b"\xa2\x07\x00\x0a\x00\x03a/b"
    assert codec.encode_puback(258) == b"\x40\x02\x01\x02"
    assert codec.PINGREQ_BYTES == b"\xc0\x00"
    assert codec.DISCONNECT_BYTES == b"\xe0\x00"
    assert refused(opening.encode_subscribe, 1, ()) == "bad-argument"  # [MQTT-3.8.3-3]
    assert refused(opening.encode_unsubscribe, 1, ()) == "bad-argument"
    assert refused(codec.encode_puback, 0) == "bad-argument"


def test_filters():
    # Section 4.7.1.2 and 4.7.1.3: the standard's own examples.
    for good in ("sport/tennis/#", "#", "sport/+/player1", "+", "+/tennis/#", "/+", "a//b"):
        opening.check_filter(good)
    for bad in ("sport/tennis#", "sport/tennis/#/ranking", "sport+", "", "a/b+/c"):
        assert refused(opening.check_filter, bad) == "bad-text"


def test_remaining_length():
    # Section 2.2.3, table 2.4: the borders of one to four bytes.
    for value, data in (
        (0, b"\x00"),
        (127, b"\x7f"),
        (128, b"\x80\x01"),
        (16383, b"\xff\x7f"),
        (16384, b"\x80\x80\x01"),
        (2097151, b"\xff\xff\x7f"),
        (2097152, b"\x80\x80\x80\x01"),
        (268435455, b"\xff\xff\xff\x7f"),
    ):
        assert codec.encode_length(value) == data
    assert refused(codec.encode_length, 268435456) == "too-big"


def test_decode_in_any_pieces():
    data = (
        b"\x20\x02\x01\x00"  # CONNACK, session present
        b"\x90\x03\x00\x0a\x80"  # SUBACK, refused
        b"\x3b\x09\x00\x03a/b\x00\x0ahi"  # PUBLISH, DUP, QoS 1, retained
        b"\x30\x05\x00\x03a/b"  # PUBLISH, QoS 0, empty
        b"\x40\x02\x00\x0a\xd0\x00"  # PUBACK, PINGRESP
    )
    for piece in range(1, len(data) + 1):
        connack, suback, loud, empty, puback, pong = decode(data, piece)
        assert (connack.type, connack.session_present, connack.codes) == (codec.CONNACK, True, (0,))
        assert (suback.packet_id, suback.codes) == (10, (codec.SUBSCRIPTION_REFUSED,))
        assert (loud.topic, loud.payload, loud.packet_id) == ("a/b", b"hi", 10)
        assert (loud.qos, loud.dup, loud.retain) == (1, True, True)
        assert (empty.topic, empty.payload, empty.qos, empty.packet_id) == ("a/b", b"", 0, 0)
        assert (puback.type, puback.packet_id, pong.type) == (codec.PUBACK, 10, codec.PINGRESP)


def test_decode_refuses():
    for data, reason in (
        (b"\x00\x00", "bad-type"),  # reserved [table 2.1]
        (b"\xf0\x00", "bad-type"),
        (b"\x10\x00", "bad-type"),  # CONNECT never comes from a server
        (b"\x21\x02\x00\x00", "bad-flags"),  # [MQTT-2.2.2-2]
        (b"\x36\x03\x00\x01a", "bad-flags"),  # QoS 3 [MQTT-3.3.1-4]
        (b"\x38\x03\x00\x01a", "bad-flags"),  # DUP with QoS 0 [MQTT-3.3.1-2]
        (b"\x30\xff\xff\xff\xff\x01", "bad-length"),  # five bytes of length
        (b"\x30\xff\xff\x03", "too-big"),
        (b"\x20\x01\x00", "bad-body"),
        (b"\x20\x02\x00\x06", "bad-body"),  # a reserved return code
        (b"\x20\x02\x01\x05", "bad-body"),  # refused, and yet a session [MQTT-3.2.2-4]
        (b"\x40\x02\x00\x00", "bad-body"),  # packet id 0 [MQTT-2.3.1-1]
        (b"\x40\x00", "bad-body"),
        (b"\x90\x02\x00\x01", "bad-body"),  # no code
        (b"\x90\x03\x00\x01\x03", "bad-body"),  # a reserved code [MQTT-3.9.3-2]
        (b"\xd0\x01\x00", "bad-body"),
        (b"\x30\x03\x00\x05a", "bad-body"),  # the topic is longer than the packet
        (b"\x30\x00", "bad-body"),
        (b"\x32\x03\x00\x01a", "bad-body"),  # QoS 1 without a packet id
        (b"\x32\x05\x00\x01a\x00\x00", "bad-body"),
        (b"\x30\x02\x00\x00", "bad-text"),  # no topic [MQTT-4.7.3-1]
        (b"\x30\x03\x00\x01#", "bad-text"),  # [MQTT-3.3.2-2]
        (b"\x30\x03\x00\x01\x00", "bad-text"),  # [MQTT-1.5.3-2]
        (b"\x30\x04\x00\x02\xc0\x80", "bad-text"),  # U+0000, overlong
        (b"\x30\x05\x00\x03\xed\xa0\x80", "bad-text"),  # a surrogate [MQTT-1.5.3-1]
        (b"\x30\x06\x00\x04\xf4\x90\x80\x80", "bad-text"),  # above U+10FFFF
    ):
        for piece in (1, len(data)):
            assert refused(decode, data, piece) == reason, data


def test_after_an_error_there_is_no_way_on():
    decoder = Decoder()
    decoder.feed(b"\x00\x00")
    assert refused(decoder.next_packet) == "bad-type"
    assert refused(decoder.feed, b"\xd0\x00") == "bad-type"
    assert refused(decoder.next_packet) == "bad-type"


def test_it_holds_no_more_than_it_may():
    decoder = Decoder(16)
    decoder.feed(b"\x30\x0e\x00\x01a")  # 16 bytes whole: just right
    assert decoder.next_packet() is None
    decoder.feed(b"x" * 11)
    assert decoder.next_packet().payload == b"x" * 11
    decoder.feed(b"\x30\x0f")
    assert refused(decoder.next_packet) == "too-big"
    lazy = Decoder(16)
    lazy.feed(b"\xd0\x00" * 9)
    assert refused(lazy.feed, b"\xd0\x00") == "not-read"
