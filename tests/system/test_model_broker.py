"""The modelled broker of virtual time against the real Mosquitto: the same bytes in, the same answers out.

Each script runs against both, with the configuration that the gateway generates. What is compared are the packets that
each client gets, in order, and whether its connection is closed; not how it is closed (in order, or with a reset). Here
are connections and their ends, and the gateway's session; publishing and subscribing are in test_model_broker_packets.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from broker_lab import (
    ACCEPTED,
    BYE,
    CLOSED,
    DOWN,
    GONE,
    ONE,
    PING,
    STATE,
    STATE_2,
    TWO,
    UP,
    WILL,
    Lab,
    Script,
    Silent,
    connect,
    hello,
    play,
    publish,
    subscribe,
)
from broker_sides import broker_model, model, mosquitto

from gateway.broker.files import write_broker_files
from gateway.settings import BrokerSettings
from simulator.virtual import broker, mqtt

SCRIPTS: list[Script] = []


def script(one: Script) -> Script:
    SCRIPTS.append(one)
    return one


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


@pytest.mark.parametrize("one", SCRIPTS, ids=lambda one: one.__name__)
def test_the_model_answers_as_mosquitto_does(one: Script, tmp_path: Path) -> None:
    with mosquitto(tmp_path) as lab:
        real, expected = play(one, lab)
    modelled, _ = play(one, model())
    assert real == expected, "Mosquitto does not do what the script says"
    assert modelled == real


DIFFERENT = {
    "MQTT 3.1": (hello(name=b"MQIsdp", level=3), [CLOSED]),
    "a bridge": (hello(level=0x84), ["CONNACK 00 01", CLOSED]),
    "a kept session": (hello(clean=False), [CLOSED]),
}


@pytest.mark.parametrize("first", DIFFERENT)
def test_what_the_model_leaves_out_it_refuses(first: str, tmp_path: Path) -> None:
    packet, modelled = DIFFERENT[first]

    def say_it(lab: Lab) -> None:
        lab.client().writes(packet).hears(ACCEPTED)

    with mosquitto(tmp_path) as lab:
        real, expected = play(say_it, lab)
    assert real == expected

    def hear_it(lab: Lab) -> None:
        lab.client().writes(packet).hears(*modelled)

    heard, expected = play(hear_it, model())
    assert heard == expected


def test_the_model_has_the_limits_of_the_generated_configuration(tmp_path: Path) -> None:
    text = write_broker_files(tmp_path, BrokerSettings(password="a long enough password"), [ONE, TWO]).read_text()
    limits = {key: int(value) for key, value in re.findall(r"^(max_\w+) (\d+)$", text, re.MULTILINE)}
    assert limits.pop("max_packet_size") == mqtt.MOST_BYTES + 1
    assert limits.pop("max_queued_messages") == broker.QUEUE_LIMIT
    assert set(limits) == {"max_inflight_messages", "max_connections"}, "another limit, which the model ought to know"


def test_a_stopped_model_notices_silence_when_it_goes_on() -> None:
    """The real one does too, at once or in its next round."""
    stopped = broker_model()
    lab = model(stopped)
    lab.gateway.arrives()
    one = lab.client(first=hello(keepalive_s=1, will=WILL))
    stopped.stop()
    stopped.kernel.run(60_000_000)
    with pytest.raises(Silent):
        one.hears("anything")
    stopped.go_on()
    one.hears(CLOSED)
    lab.gateway.hears(GONE)
