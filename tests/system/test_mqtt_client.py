"""The button's MQTT client, under both interpreters, against a real Mosquitto and a server that misbehaves."""

from __future__ import annotations

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.system import mqtt_lab
from tests.system.gateway_lab import Broker, wait_until
from tests.system.mqtt_lab import PUBLISH_AND_TELL, Server, listener, node

interpreter, broker = mqtt_lab.interpreter, mqtt_lab.broker


def test_the_broker_dies_and_comes_back(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    with node(interpreter, broker.port, PUBLISH_AND_TELL, tmp_path) as button:
        button.line("acknowledged 3")
        broker.kill()
        button.line("no connection")
        broker.start()
        button.line("all")
        assert button.end() == 0
    assert [line for line in button.lines if line.startswith("ack")] == [f"acknowledged {n}" for n in range(40)]


def test_the_broker_stops_and_goes_on(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    with node(interpreter, broker.port, PUBLISH_AND_TELL, tmp_path) as button:
        button.line("acknowledged 3")
        assert broker.process
        broker.process.send_signal(signal.SIGSTOP)
        try:
            assert "no PUBACK in 600 ms" in button.line("no connection")
            button.line("no CONNACK in 600 ms")  # the kernel still takes connections for it
        finally:
            broker.process.send_signal(signal.SIGCONT)
        button.line("all")


def test_absent_at_the_start(interpreter: str, tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.kill()
    with node(interpreter, broker.port, PUBLISH_AND_TELL, tmp_path) as button:
        button.line("no connection")
        broker.start()
        try:
            button.line("all")
        finally:
            broker.kill()


def test_the_last_will(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    body = """
    one = client(will=("state", b"offline", True))
    asyncio.create_task(one.run())
    await up(one)
    say("up")
    await asyncio.sleep(60)
    """
    with listener(broker.port, "state") as heard, node(interpreter, broker.port, body, tmp_path) as button:
        button.line("up")
        button.process.kill()
        wait_until(lambda: heard == [("state", b"offline")], "the last will")


def test_a_farewell_leaves_no_will(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    body = """
    one = client(will=("state", b"offline", True))
    asyncio.create_task(one.run())
    await up(one)
    await one.close()
    say("closed " + one.reason)
    try:
        await one.publish("t", b"")
    except MQTTError as error:
        say(error.reason)
    """
    with listener(broker.port, "#") as heard, node(interpreter, broker.port, body, tmp_path) as button:
        button.line("closed closed")
        button.line("closed")
        assert button.end() == 0
        wait_until(lambda: "disconnected" in broker.log.read_text(), "the broker's note of it")
    assert heard == []


def test_a_refused_login_is_said_and_not_hammered(interpreter: str, tmp_path: Path) -> None:
    with Server() as server, node(interpreter, server.port, PUBLISH_AND_TELL, tmp_path) as button:
        began = time.monotonic()
        for _ in range(3):
            with server.connection(b"\x20\x02\x00\x04"):
                assert "bad user name or password" in button.line("no connection")
        assert time.monotonic() - began > 0.3  # two pauses of half of wait_max_ms at least


def test_what_was_not_acknowledged_comes_again_as_a_duplicate(interpreter: str, tmp_path: Path) -> None:
    with Server() as server, node(interpreter, server.port, PUBLISH_AND_TELL, tmp_path) as button:
        with server.connection() as peer:
            first = peer.packet()
            assert first[0] == 0x32  # QoS 1, no DUP
        with server.connection() as peer:
            again = peer.packet()
            assert again[0] == 0x3A
            assert again[1:] == first[1:]  # the same packet id too [MQTT-4.4.0-1]
            peer.send(b"\x40\x02" + again[5:7])
            button.line("acknowledged 0")


def test_a_timeout_is_an_error_of_the_publish_alone(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(timeout_ms=5000)
    asyncio.create_task(one.run())
    await up(one)
    try:
        await one.publish("t", b"x", timeout_ms=200)
    except MQTTTimeout as error:
        say("timeout: %s" % error)
    lost = asyncio.create_task(one.publish("t", b"cancelled"))
    await asyncio.sleep(0.1)
    lost.cancel()
    try:
        await lost
    except asyncio.CancelledError:
        say("cancelled")
    await one.publish("t", b"y")
    say("acknowledged")
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path) as button, server.connection() as peer:
        assert peer.packet().endswith(b"x")
        assert "not acknowledged in 200 ms" in button.line("timeout: ")
        assert peer.packet().endswith(b"cancelled")
        button.line("cancelled")
        third = peer.packet()
        assert third.endswith(b"y")
        peer.send(b"\x40\x02" + third[5:7])
        button.line("acknowledged")


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"\x00\x00", "packet type 0 does not come from a server"),
        (b"\x30\xff\xff\xff\xff\x7f", "more than four bytes"),
        (b"\x20\x02\x00\x00", "out of turn"),
    ],
)
def test_garbage_ends_the_connection_and_no_more(interpreter: str, tmp_path: Path, sent: bytes, reason: str) -> None:
    with Server() as server, node(interpreter, server.port, PUBLISH_AND_TELL, tmp_path) as button:
        with server.connection() as peer:
            peer.send(sent)
            assert reason in button.line("no connection")
        with server.connection() as peer:
            packet = peer.packet()
            peer.send(b"\x40\x02" + packet[5:7])
            button.line("acknowledged 0")


def test_a_broker_that_says_nothing(interpreter: str, tmp_path: Path) -> None:
    with Server() as server, node(interpreter, server.port, PUBLISH_AND_TELL, tmp_path) as button:
        with server.connection(b""):
            button.line("no CONNACK in 600 ms")
        with server.connection():
            button.line("up")


def test_keepalive_finds_a_half_open_connection(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(keepalive_s=1)
    asyncio.create_task(one.run())
    await asyncio.sleep(30)
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path) as button:
        with server.connection() as peer:
            button.line("connected")
            assert peer.packet() == b"\xc0\x00"
            peer.send(b"\xd0\x00")
            assert peer.packet() == b"\xc0\x00"  # not answered: the line is dead
            button.line("no PINGRESP in 600 ms")
        with server.connection():
            button.line("connected")


def test_messages_in(interpreter: str, tmp_path: Path) -> None:
    body = """
    def take(topic, payload):
        say("took %s" % payload.decode())
        if payload == b"bad":
            raise ValueError("I cannot")
    one = client(on_message=take, subscriptions=("mine", "theirs"))
    asyncio.create_task(one.run())
    await up(one)
    await asyncio.sleep(30)
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path) as button, server.connection() as peer:
        subscribe = peer.packet()
        peer.send(b"\x90\x04" + subscribe[2:4] + b"\x01\x80")
        button.line("refused the subscription to theirs")
        button.line("connected")
        peer.send(b"\x32\x0b\x00\x04mine\x00\x07bad\x32\x0c\x00\x04mine\x00\x08good")
        button.line("was not taken: I cannot")
        button.line("took good")
        assert peer.packet() == b"\x40\x02\x00\x08"  # only what was taken is acknowledged


def test_so_many_may_be_on_their_way(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(max_in_flight=2)
    asyncio.create_task(one.run())
    await up(one)
    on_their_way = [asyncio.create_task(one.publish("t", b"x")) for _ in range(2)]
    await asyncio.sleep(0)
    try:
        await one.publish("t", b"y")
    except MQTTError as error:
        say(error.reason)
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path) as button, server.connection():
        button.line("in-flight")


def test_hurry_ends_the_pause(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(wait_min_ms=200, wait_max_ms=60000)
    asyncio.create_task(one.run())
    while one.refusal is None:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    one.hurry()
    say("hurry")
    await asyncio.sleep(60)
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path) as button:
        with server.connection(b"\x20\x02\x00\x05"):  # not authorized: a pause of 30 s at least
            button.line("hurry")
        began = time.monotonic()
        with server.connection():
            assert time.monotonic() - began < 5


def test_the_readme_example(tmp_path: Path) -> None:
    readme = (Path(__file__).parents[2] / "firmware" / "mqtt" / "README.md").read_text()
    example = re.search(r"```python\n(.+?)```", readme, re.S)
    assert example
    broker = Broker(tmp_path)
    try:
        for interpreter, command in mqtt_lab.INTERPRETERS.items():
            script = tmp_path / f"{interpreter}.py"
            script.write_text(example[1].replace("1883", str(broker.port)).replace("broker.local", "127.0.0.1"))
            env = {"PYTHONPATH": "firmware", "MICROPYPATH": "firmware:.frozen"}
            done = subprocess.run(
                [*command, str(script)],
                cwd=Path(__file__).parents[2],
                env=env,
                capture_output=True,
                text=True,
                timeout=30,
            )
            assert done.returncode == 0, done.stderr + done.stdout
            assert "the broker has it" in done.stdout
    finally:
        broker.kill()
