"""Publishing, subscribing and the small packets: the modelled broker against the real Mosquitto, as in
test_model_broker."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from broker_lab import (
    ACCEPTED,
    BYE,
    CLOSED,
    DOWN,
    DOWN_2,
    GONE,
    PING,
    STATE_2,
    TWO,
    UP,
    UP_2,
    WILL,
    Lab,
    Script,
    acknowledge,
    field_of,
    hello,
    play,
    publish,
    subscribe,
    unsubscribe,
)
from broker_sides import model, mosquitto
from gateway_lab import MOSQUITTO

from simulator.virtual import mqtt

SCRIPTS: list[Script] = []
MOST = 4096  # max_packet_size of the generated configuration


def script(one: Script) -> Script:
    SCRIPTS.append(one)
    return one


# Publishing


@script
def publish_allowed(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(UP, b"zero", 0), publish(UP, b"one", 1, 513)).hears("PUBACK 02 01")
    lab.gateway.hears(f"{UP} 'zero' q0", f"{UP} 'one' q1")


@script
def publish_again(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(UP, b"one"), publish(UP, b"one", dup=True)).hears("PUBACK 00 07", "PUBACK 00 07")
    lab.gateway.hears(f"{UP} 'one' q1", f"{UP} 'one' q1")


@script
def publish_denied(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    for topic in (UP_2, STATE_2, DOWN, DOWN_2, "sigap/v1/x", "other", "$SYS/x", f"{UP}/more", UP.upper()):
        one.writes(publish(topic, qos=0), publish(topic), publish(topic, retain=True))
        one.hears("PUBACK 00 07", "PUBACK 00 07")


@script
def publish_to_a_wildcard(lab: Lab) -> None:
    lab.gateway.arrives()
    for topic in ("sigap/v1/d/+/up", "sigap/v1/#", "a+", "#"):
        for qos in (0, 1):
            lab.client(first=hello(will=WILL)).writes(publish(topic, qos=qos)).hears(CLOSED)
            lab.gateway.hears(GONE)


@script
def publish_to_nothing(lab: Lab) -> None:
    lab.client(first=hello()).writes(publish("")).hears(CLOSED)


@script
def publish_to_what_is_no_text(lab: Lab) -> None:
    for topic in (b"\xff\xfe", b"a\0b", b"a\x07b", b"a\x7fb", "a\x85b".encode(), b"\xed\xa0\x80", "\ufffe".encode()):
        lab.client(first=hello()).writes(mqtt.pack(mqtt.PUBLISH, field_of(topic) + b"x")).hears(CLOSED)


@script
def publish_without_a_packet_id(lab: Lab) -> None:
    lab.client(first=hello()).writes(publish(UP, mid=0)).hears(CLOSED)
    lab.client(first=hello()).writes(mqtt.pack(mqtt.PUBLISH, field_of(UP.encode()), 2)).hears(CLOSED)


@script
def publish_with_wrong_flags(lab: Lab) -> None:
    lab.client(first=hello()).writes(publish(UP, qos=3)).hears(CLOSED)


@script
def publish_of_qos_2(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(UP, b"a", 2, 5)).hears("PUBREC 00 05")
    one.writes(publish(UP, b"a", 2, 5, dup=True)).hears("PUBREC 00 05")  # it repeats until the PUBREC
    one.writes(publish(UP, b"b", 1, 6)).hears("PUBACK 00 06")
    one.writes(b"\x62\x02\x00\x05").hears("PUBCOMP 00 05")
    one.writes(b"\x62\x02\x00\x05").hears("PUBCOMP 00 05")
    lab.gateway.hears(f"{UP} 'b' q1", f"{UP} 'a' q1")


@script
def publish_of_qos_2_denied(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(UP_2, b"a", 2, 5)).hears("PUBREC 00 05")
    one.writes(b"\x62\x02\x00\x05").hears("PUBCOMP 00 05")
    lab.client(first=hello(TWO)).writes(publish(UP_2, b"a", 2, 5), b"\x60\x02\x00\x05").hears("PUBREC 00 05", CLOSED)


@script
def packet_beyond_the_limit(lab: Lab) -> None:
    lab.gateway.arrives()
    room = MOST - 1 - 2 - len(UP) - 2
    lab.client(first=hello()).writes(publish(UP, bytes(room)), BYE).hears("PUBACK 00 07", CLOSED)
    lab.gateway.hears(f"{UP} '{room} bytes' q1")
    lab.client(first=hello(will=WILL)).writes(publish(UP, bytes(room + 1))).hears(CLOSED)
    lab.gateway.hears(GONE)
    lab.client(first=hello()).writes(publish(UP, bytes(room + 1))[:4]).hears(CLOSED)  # at its length, not its end


# Subscribing


@script
def subscribe_own(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello()).writes(subscribe(3, (DOWN, 1))).hears("SUBACK 00 03 01")
    lab.gateway.publishes(DOWN, b"first")
    one.hears(f"{DOWN} 'first' q1 1").writes(acknowledge(1))
    lab.gateway.publishes(DOWN, b"second")
    one.hears(f"{DOWN} 'second' q1 2")
    lab.gateway.publishes(DOWN, b"third")
    one.hears(f"{DOWN} 'third' q1 3").writes(acknowledge(3), acknowledge(2), acknowledge(99))


@script
def subscribe_others(lab: Lab) -> None:
    lab.gateway.arrives()
    # Granted all the same: Mosquitto 2.0 asks its access file when it delivers, not at SUBSCRIBE.
    one = lab.client(first=hello())
    one.writes(subscribe(3, (DOWN_2, 1), (UP, 0), ("#", 1), ("+/v1/d/+/down", 1))).hears("SUBACK 00 03 01 00 01 01")
    lab.gateway.publishes(DOWN_2, b"not for you")
    lab.client(first=hello(TWO)).writes(publish(UP_2)).hears("PUBACK 00 07")
    lab.gateway.hears(f"{UP_2} 'x' q1")


@script
def subscribe_by_wildcard(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello()).writes(subscribe(3, ("sigap/#", 1))).hears("SUBACK 00 03 01")
    lab.gateway.publishes(DOWN, b"for you")
    one.hears(f"{DOWN} 'for you' q1 1")


@script
def subscribe_with_each_qos(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello()).writes(subscribe(3, (DOWN, 0))).hears("SUBACK 00 03 00")
    lab.gateway.publishes(DOWN, b"a")
    one.hears(f"{DOWN} 'a' q0").writes(subscribe(4, (DOWN, 2))).hears("SUBACK 00 04 02")
    lab.gateway.publishes(DOWN, b"b")
    one.hears(f"{DOWN} 'b' q1 1").writes(subscribe(5, (DOWN, 3))).hears(CLOSED)


@script
def subscribe_twice_in_one_packet(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(subscribe(3, (DOWN, 1), ("sigap/v1/d/+/down", 1), (DOWN_2, 1))).hears("SUBACK 00 03 01 01 01")
    lab.gateway.publishes(DOWN, b"once")
    one.hears(f"{DOWN} 'once' q1 1")


@script
def subscribe_malformed(lab: Lab) -> None:
    good = subscribe(3, (DOWN, 1))
    for bad in (
        bytes([0x80]) + good[1:],
        bytes([0x8A]) + good[1:],
        subscribe(0, (DOWN, 1)),
        subscribe(3),
        subscribe(3, ("", 1)),
        subscribe(3, ("a/#/b", 1)),
        subscribe(3, ("a+/b", 1)),
        subscribe(3, ("a#", 1)),
        mqtt.pack(mqtt.SUBSCRIBE, good[2:-1], 2),
        mqtt.pack(mqtt.SUBSCRIBE, b"\0", 2),
    ):
        lab.client(first=hello()).writes(bad).hears(CLOSED)


@script
def unsubscribe_one(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello()).writes(subscribe(3, (DOWN, 1))).hears("SUBACK 00 03 01")
    one.writes(unsubscribe(4, DOWN_2)).hears("UNSUBACK 00 04")
    lab.gateway.publishes(DOWN, b"still")
    one.hears(f"{DOWN} 'still' q1 1").writes(unsubscribe(5, "x", DOWN)).hears("UNSUBACK 00 05")
    lab.gateway.publishes(DOWN, b"no more")


@script
def unsubscribe_malformed(lab: Lab) -> None:
    good = unsubscribe(3, DOWN)
    for bad in (bytes([0xA0]) + good[1:], unsubscribe(0, DOWN), unsubscribe(3), unsubscribe(3, ""), good[:-1]):
        one = lab.client(first=hello()).writes(bad)
        if bad == good[:-1]:
            one.writes(b"#")
        one.hears(CLOSED)


# Other packets


@script
def ping(lab: Lab) -> None:
    lab.client(first=hello()).writes(PING, PING).hears("PINGRESP", "PINGRESP")


@script
def what_a_client_may_not_send(lab: Lab) -> None:
    for packet in (b"\x20\x02\x00\x00", b"\x00\x00", b"\xf0\x00"):
        lab.client(first=hello()).writes(packet).hears(CLOSED)


@script
def disconnect_with_flags_or_content(lab: Lab) -> None:
    lab.gateway.arrives()
    for packet in (b"\xe1\x00", b"\xe0\x01x"):
        lab.client(first=hello(will=WILL)).writes(packet).hears(CLOSED)
        lab.gateway.hears(GONE)


@script
def puback_malformed(lab: Lab) -> None:
    for packet in (b"\x40\x00", b"\x40\x01\x00", b"\x40\x02\x00\x00"):
        lab.client(first=hello()).writes(packet).hears(CLOSED)


@script
def what_2_0_11_lets_pass(lab: Lab) -> None:
    """Later versions may not."""
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(b"\x90\x03\x00\x01\x00", b"\xb0\x02\x00\x01", b"\xd0\x00", b"\xd1\x00", b"\xd0\x01x")
    one.writes(b"\x40\x03\x00\x01\x00", b"\x42\x02\x00\x01", publish(UP, qos=0, dup=True))
    one.writes(b"\xc1\x00", b"\xc0\x01x").hears("PINGRESP", "PINGRESP")
    lab.gateway.hears(f"{UP} 'x' q0")


@script
def two_packets_in_one_write(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client().writes(hello() + publish(UP, b"a") + PING + publish(UP, b"b", 0) + PING).hears(
        ACCEPTED, "PUBACK 00 07", "PINGRESP", "PINGRESP"
    )
    lab.gateway.hears(f"{UP} 'a' q1", f"{UP} 'b' q0")


@script
def byte_by_byte(lab: Lab) -> None:
    lab.gateway.arrives()
    whole = hello() + subscribe(3, (DOWN, 1)) + publish(UP, bytes(200)) + PING
    lab.client().writes(*(bytes([byte]) for byte in whole)).hears(
        ACCEPTED, "SUBACK 00 03 01", "PUBACK 00 07", "PINGRESP"
    )
    lab.gateway.hears(f"{UP} '200 bytes' q1")


@script
def nothing_after_disconnect(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello()).writes(BYE + publish(UP) + PING).hears(CLOSED)


@pytest.mark.parametrize("one", SCRIPTS, ids=lambda one: one.__name__)
def test_the_model_answers_as_mosquitto_does(one: Script, tmp_path: Path) -> None:
    if one is what_2_0_11_lets_pass and "version 2.0.11\n" not in version():
        pytest.skip("another version of Mosquitto")
    with mosquitto(tmp_path) as lab:
        real, expected = play(one, lab)
    modelled, _ = play(one, model())
    assert real == expected, "Mosquitto does not do what the script says"
    assert modelled == real


def version() -> str:
    assert MOSQUITTO, "mosquitto is not installed"
    return subprocess.run([MOSQUITTO, "-h"], capture_output=True, text=True, check=False).stdout
