"""The modelled broker of virtual time against the real Mosquitto: the same bytes in, the same answers out.

Each script runs against both, with the configuration that the gateway generates. What is compared are the packets that
each client gets, in order, and whether its connection is closed; not how it is closed (in order, or with a reset).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from broker_lab import (
    CLOSED,
    NAMES,
    ONE,
    PASSWORDS,
    TWO,
    Lab,
    Silent,
    connect,
    field_of,
    model,
    mosquitto,
    subscribe,
    unsubscribe,
)

from gateway.registry.devices import Device
from panic_wire import topics
from simulator.virtual import mqtt

Script = Callable[[Lab], None]
SCRIPTS: list[Script] = []
ACCEPTED = "CONNACK 00 00"
UP, STATE, DOWN = (of(NAMES[ONE.id]) for of in (topics.up, topics.state, topics.down))
UP_2, STATE_2, DOWN_2 = (of(NAMES[TWO.id]) for of in (topics.up, topics.state, topics.down))
MOST = 4096  # max_packet_size of the generated configuration


def script(one: Script) -> Script:
    SCRIPTS.append(one)
    return one


def hello(device: Device = ONE, **more: object) -> bytes:
    """A CONNECT as the firmware's: its name as client id, clean."""
    name = NAMES[device.id].encode()
    return connect(**{"client_id": name, "username": name, "password": PASSWORDS[device.id], **more})  # pyright: ignore


def publish(topic: str, payload: bytes = b"x", qos: int = 1, mid: int = 7, **more: bool) -> bytes:
    return mqtt.pack_publish(topic, payload, qos, mid, **more)


def acknowledge(mid: int) -> bytes:
    return mqtt.pack(mqtt.PUBACK, mid.to_bytes(2, "big"))


PING, BYE = mqtt.pack(mqtt.PINGREQ), mqtt.pack(mqtt.DISCONNECT)
WILL = (STATE, b"offline", 1, True)
GONE = f"{STATE} 'offline' q1"


# Connecting


@script
def connect_accepted(lab: Lab) -> None:
    lab.client().writes(hello()).hears(ACCEPTED)


@script
def wrong_password(lab: Lab) -> None:
    lab.client().writes(hello(password=b"wrong")).hears("CONNACK 00 05", CLOSED)


@script
def unknown_user(lab: Lab) -> None:
    lab.client().writes(hello(username=b"nobody")).hears("CONNACK 00 05", CLOSED)


@script
def no_user(lab: Lab) -> None:
    lab.client().writes(connect(password=None)).hears("CONNACK 00 05", CLOSED)


@script
def password_without_user(lab: Lab) -> None:
    lab.client().writes(connect()).hears(CLOSED)


@script
def no_client_id(lab: Lab) -> None:
    lab.client().writes(hello(client_id=b"")).hears(ACCEPTED)
    lab.client(TWO).writes(hello(TWO, client_id=b"", clean=False)).hears("CONNACK 00 02", CLOSED)


@script
def first_packet_no_connect(lab: Lab) -> None:
    lab.client().writes(PING).hears(CLOSED)
    lab.client().writes(publish(UP)).hears(CLOSED)
    lab.client().writes(b"\x30").hears(CLOSED)  # it shows in the first byte


@script
def connect_with_flags_in_its_first_byte(lab: Lab) -> None:
    lab.client().writes(bytes([0x11]) + hello()[1:]).hears(CLOSED)


@script
def remaining_length_of_five_bytes(lab: Lab) -> None:
    lab.client().writes(b"\x10\xff\xff\xff\xff\x01").hears(CLOSED)
    lab.client(first=hello()).writes(b"\x30\x80\x80\x80\x80\x01").hears(CLOSED)


@script
def remaining_length_longer_than_needed(lab: Lab) -> None:
    lab.client().writes(hello()[:1] + bytes([hello()[1] | 0x80, 0]) + hello()[2:]).hears(ACCEPTED)


@script
def protocol_levels(lab: Lab) -> None:
    for level in (0, 3, 6):
        lab.client().writes(hello(level=level)).hears("CONNACK 00 01", CLOSED)


@script
def protocol_name(lab: Lab) -> None:
    lab.client().writes(hello(name=b"MQTX")).hears(CLOSED)
    lab.client().writes(hello(name=b"HTTP/1.1")).hears(CLOSED)


@script
def level_5_without_its_properties(lab: Lab) -> None:
    lab.client().writes(hello(level=5)).hears(CLOSED)


@script
def reserved_connect_flag(lab: Lab) -> None:
    lab.client().writes(hello(more_flags=1)).hears(CLOSED)


@script
def will_flags_without_a_will(lab: Lab) -> None:
    for flags in (8, 16, 32):
        lab.client().writes(hello(more_flags=flags)).hears(CLOSED)


@script
def will_of_qos_3(lab: Lab) -> None:
    lab.client().writes(hello(will=(STATE, b"x", 3, False))).hears(CLOSED)


@script
def will_to_a_wildcard(lab: Lab) -> None:
    lab.client().writes(hello(will=("sigap/v1/d/+/state", b"x", 1, False))).hears(CLOSED)
    lab.client().writes(hello(will=("", b"x", 1, False))).hears(CLOSED)


@script
def connect_that_ends_too_early_or_too_late(lab: Lab) -> None:
    body = hello()[2:]
    lab.client().writes(mqtt.pack(mqtt.CONNECT, body[:-1])).hears(CLOSED)
    lab.client().writes(mqtt.pack(mqtt.CONNECT, body + b"x")).hears(CLOSED)


@script
def second_connect(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello(will=WILL)).writes(hello(will=WILL)).hears(CLOSED)  # without the will


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


# Ends


@script
def will_when_the_line_breaks(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello(will=WILL)).hangs_up()
    lab.gateway.hears(GONE)


@script
def will_when_it_is_malformed(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello(will=WILL)).writes(b"\xf0\x00").hears(CLOSED)
    lab.gateway.hears(GONE)


@script
def no_will_after_disconnect(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello(will=WILL)).writes(BYE).hears(CLOSED)


@script
def no_will_of_the_refused(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client().writes(hello(password=b"wrong", will=WILL)).hears("CONNACK 00 05", CLOSED)


@script
def will_of_each_qos(lab: Lab) -> None:
    lab.gateway.arrives()
    for qos in (0, 1, 2):
        lab.client(first=hello(will=(STATE, b"off", qos, False))).hangs_up()
        lab.gateway.hears(f"{STATE} 'off' q{min(qos, 1)}")


@script
def will_denied(lab: Lab) -> None:
    lab.gateway.arrives()
    lab.client(first=hello(will=(STATE_2, b"offline", 1, True))).writes(b"\xf0\x00").hears(CLOSED)


@script
def session_taken_over(lab: Lab) -> None:
    lab.gateway.arrives()
    old = lab.client(first=hello(will=WILL)).writes(subscribe(3, (DOWN, 1))).hears("SUBACK 00 03 01")
    new = lab.client(first=hello())
    old.hears(CLOSED)
    lab.gateway.hears(GONE)
    lab.gateway.publishes(DOWN, b"not subscribed any more")
    new.writes(PING).hears("PINGRESP")


@script
def client_id_is_the_user_name(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello(client_id=b"same", will=WILL))
    lab.client(TWO, first=hello(TWO, client_id=b"same"))
    one.writes(PING).hears("PINGRESP")
    lab.client(first=hello(client_id=b"another"))
    one.hears(CLOSED)
    lab.gateway.hears(GONE)


@script
def silence_beyond_the_keepalive(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello(keepalive_s=1, will=WILL))
    began_s = lab.now_s()
    one.writes(PING[:1]).hears(CLOSED)  # half a packet is no sign of life
    assert 1.0 < lab.now_s() - began_s < 8.0
    lab.gateway.hears(GONE)


# What is retained, and the gateway's kept session


@script
def retained_state_comes_late(lab: Lab) -> None:
    one = lab.client(first=hello())
    one.writes(publish(STATE, b"offline", retain=True), publish(STATE, b"online", retain=True))
    one.hears("PUBACK 00 07", "PUBACK 00 07")
    lab.client(first=hello(TWO)).writes(publish(STATE_2, b"zero", 0, retain=True), PING).hears("PINGRESP")
    lab.gateway.arrives()
    lab.gateway.hears(f"{STATE} 'online' q1 retained", f"{STATE_2} 'zero' q0 retained")
    one.writes(publish(STATE, b"again", retain=True)).hears("PUBACK 00 07")
    lab.gateway.hears(f"{STATE} 'again' q1")


@script
def retained_is_cleared_by_nothing(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(STATE, b"online", retain=True), publish(STATE, b"", retain=True))
    one.hears("PUBACK 00 07", "PUBACK 00 07")
    lab.gateway.hears(f"{STATE} 'online' q1", f"{STATE} '' q1")
    lab.gateway.acknowledges()
    lab.gateway.settle()
    lab.gateway.leaves()
    lab.gateway.arrives()


@script
def retained_will(lab: Lab) -> None:
    lab.client(first=hello(will=WILL)).writes(b"\xf0\x00").hears(CLOSED)
    lab.gateway.arrives()
    lab.gateway.hears(f"{GONE} retained")


@script
def retained_of_qos_2(lab: Lab) -> None:
    one = lab.client(first=hello()).writes(publish(STATE, b"a", 2, 5, retain=True)).hears("PUBREC 00 05")
    one.writes(b"\x62\x02\x00\x05").hears("PUBCOMP 00 05")
    lab.gateway.arrives()
    lab.gateway.hears(f"{STATE} 'a' q1 retained")


@script
def the_gateway_comes_back(lab: Lab) -> None:
    lab.gateway.arrives()
    one = lab.client(first=hello())
    one.writes(publish(UP, b"done")).hears("PUBACK 00 07")
    lab.gateway.hears(f"{UP} 'done' q1")
    lab.gateway.acknowledges()
    one.writes(publish(UP, b"seen"), publish(UP, b"seen 0", 0)).hears("PUBACK 00 07")
    lab.gateway.hears(f"{UP} 'seen' q1", f"{UP} 'seen 0' q0")
    lab.gateway.settle()
    lab.gateway.leaves()
    one.writes(publish(UP, b"missed 0", 0), publish(UP, b"missed")).hears("PUBACK 00 07")
    lab.gateway.arrives()
    lab.gateway.hears(f"{UP} 'seen' q1 again", f"{UP} 'missed' q1")


@script
def the_gateway_comes_back_to_what_is_retained(lab: Lab) -> None:
    one = lab.client(first=hello()).writes(publish(STATE, b"online", retain=True)).hears("PUBACK 00 07")
    lab.gateway.arrives()
    lab.gateway.hears(f"{STATE} 'online' q1 retained")
    lab.gateway.leaves()
    one.writes(publish(UP)).hears("PUBACK 00 07")
    lab.gateway.arrives()
    lab.gateway.hears(f"{STATE} 'online' q1 retained again", f"{UP} 'x' q1", f"{STATE} 'online' q1 retained")


def play(one: Script, lab: Lab) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Who heard what, and who should have."""
    try:
        one(lab)
        for client in lab.clients:
            client.settle()
        lab.gateway.settle()
    except Silent:
        pass
    everyone = [*lab.clients, lab.gateway]
    return {each.name: each.heard for each in everyone}, {each.name: each.expected for each in everyone}


@pytest.mark.parametrize("one", SCRIPTS, ids=lambda one: one.__name__)
def test_the_model_answers_as_mosquitto_does(one: Script, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as lab:
        real, expected = play(one, lab)
    modelled, _ = play(one, model())
    assert real == expected, "Mosquitto does not do what the script says"
    assert modelled == real
