"""The MQTT client against a real Mosquitto on bad days: lines that hang, break and lie, sessions, a second broker."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from gateway.broker.files import password_line
from tests.system import mqtt_lab
from tests.system.gateway_lab import Broker, wait_until
from tests.system.mqtt_lab import PUBLISH_AND_TELL, Line, Server, listener, node

ALL = [f"{number}".encode() for number in range(40)]


interpreter, broker = mqtt_lab.interpreter, mqtt_lab.broker


@contextlib.contextmanager
def stopped(broker: Broker) -> Iterator[None]:
    assert broker.process
    broker.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        broker.process.send_signal(signal.SIGCONT)


def test_a_line_resets_hangs_loses_and_is_slow(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    with (
        listener(broker.port, "t") as heard,
        Line(broker.port) as line,
        node(interpreter, line.port, PUBLISH_AND_TELL, tmp_path) as button,
    ):
        button.line("acknowledged 2")
        line.reset()
        button.line("no connection")
        button.line("acknowledged 8")
        line.drop_down = True  # the PUBACK is lost, the message is not
        button.line("no PUBACK in 600 ms")
        line.drop_down = False
        button.line("connected")
        button.line("acknowledged 14")
        line.hold_up = line.hold_down = True  # half open: nothing passes, nothing is closed
        button.line("no PUBACK in 600 ms")
        line.hold_up = line.hold_down = False
        button.line("acknowledged 20")
        lines = len(button.lines)
        line.hold_down = True  # slow, not lost: no reconnect for that
        time.sleep(0.3)
        line.hold_down = False
        button.line("all")
        assert not [text for text in button.lines[lines:] if "no connection" in text]
        wait_until(lambda: set(ALL) <= {payload for _, payload in heard}, "every message at the other side")
    first = [payload for place, (_, payload) in enumerate(heard) if payload not in [p for _, p in heard[:place]]]
    assert first == ALL
    assert len(heard) > len(ALL)  # what was repeated came twice: at least once, and said so by DUP


def test_kicked_by_a_second_client(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    with node(interpreter, broker.port, PUBLISH_AND_TELL, tmp_path) as button:
        button.line("acknowledged 2")
        thief = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="dev")
        thief.connect("127.0.0.1", broker.port)
        thief.loop_write()
        button.line("no connection")
        button.line("all")
        thief.disconnect()


def test_a_wrong_password(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_text(password_line("dev", "another", 1) + "\n")
    passwords.chmod(0o600)
    broker.kill()
    text = broker.config.read_text().replace(
        "allow_anonymous true", f"allow_anonymous false\npassword_file {passwords}"
    )
    broker.config.write_text(text + "user root\n")
    broker.start()
    body = """
    one = client()
    one.on_down = lambda: say("%s %d" % (one.cause, one.refusal))
    asyncio.create_task(one.run())
    await up(one)
    say("up")
    """
    with node(interpreter, broker.port, body, tmp_path) as button:
        assert "not authorized" in button.line("no connection")
        button.line("refused 5")
        passwords.write_text(password_line("dev", "secret", 1) + "\n")
        assert broker.process
        broker.process.send_signal(signal.SIGHUP)
        button.line("up")


KEPT = """
def take(topic, payload):
    say("took %s" % payload.decode())
one = client(clean_session=False, on_message=take, subscriptions=("mine",))
asyncio.create_task(one.run())
await up(one)
say("up, session %s" % one.session_present)
await asyncio.sleep(60)
"""


def test_a_kept_session_outlives_the_client(interpreter: str, broker: Broker, tmp_path: Path) -> None:
    with node(interpreter, broker.port, KEPT, tmp_path) as button:
        button.line("up, session False")
        button.process.kill()
        button.process.wait()
    assert_publishes(broker, "mine", ["a", "b", "c"])
    with node(interpreter, broker.port, KEPT, tmp_path) as button:
        button.line("up, session True")
        wait_for = ["took a", "took b", "took c"]
        while len(button.lines) < 50 and [text for text in button.lines if text in wait_for] != wait_for:
            button.line("took")
    with node(interpreter, broker.port, KEPT.replace("False,", "True,", 1), tmp_path) as button:
        button.line("up, session False")


def assert_publishes(broker: Broker, topic: str, payloads: list[str]) -> None:
    other = mqtt.Client(CallbackAPIVersion.VERSION2)
    other.connect("127.0.0.1", broker.port)
    other.loop_start()
    for payload in payloads:
        other.publish(topic, payload, 1).wait_for_publish(10)
    other.disconnect()
    other.loop_stop()


def test_in_a_kept_session_what_was_given_up_keeps_its_id(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(clean_session=%s)
    asyncio.create_task(one.run())
    await up(one)
    try:
        await one.publish("t", b"x", timeout_ms=200)
    except MQTTTimeout:
        say("gave up")
    await asyncio.sleep(1)
    await one.publish("t", b"y")
    say("acknowledged")
    """
    for kept, wanted in ((True, [b"x", b"y"]), (False, [b"y"])):
        answer = b"\x20\x02\x01\x00" if kept else b"\x20\x02\x00\x00"
        with Server() as server, node(interpreter, server.port, body % (not kept), tmp_path) as button:
            with server.connection() as peer:
                first = peer.packet()
                button.line("gave up")
            with server.connection(answer) as peer:
                for payload in wanted:
                    packet = peer.packet()
                    assert packet[-1:] == payload
                    assert packet[0] == (0x3A if payload == b"x" else 0x32)
                    assert (packet[5:7] == first[5:7]) == (payload == b"x")
                    peer.send(b"\x40\x02" + packet[5:7])
                button.line("acknowledged")


def test_an_alarm_goes_out_before_anything_that_waits(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(max_in_flight=3, timeout_ms=5000)
    waiting = [asyncio.create_task(one.publish("t", b"%d" % number)) for number in range(3)]
    await asyncio.sleep(0)
    waiting.append(asyncio.create_task(one.publish("t", b"A", urgent=True)))
    waiting.append(asyncio.create_task(one.publish("t", b"B", urgent=True)))
    await asyncio.sleep(0)
    asyncio.create_task(one.run())
    await up(one)
    await asyncio.sleep(5)
    """
    with Server() as server, node(interpreter, server.port, body, tmp_path):
        with server.connection() as peer:
            came = [peer.packet() for _ in range(5)]
            assert b"".join(packet[-1:] for packet in came) == b"AB012"
        with server.connection() as peer:  # and what was sent comes again in its old order
            again = [peer.packet() for _ in range(5)]
            assert [packet[1:] for packet in again] == [packet[1:] for packet in came]
            assert {packet[0] for packet in again} == {0x3A}


def test_a_web_server_in_the_way_is_said(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client()
    one.on_down = lambda: say("cause %s" % one.cause)
    asyncio.create_task(one.run())
    await asyncio.sleep(30)
    """
    page = b"HTTP/1.1 302 Found\r\nLocation: http://login.example.org/\r\n\r\n"
    with (
        Server() as server,
        node(interpreter, server.port, body, tmp_path) as button,
        server.connection(page),
    ):
        button.line("cause http")
    body = body.replace("client()", 'Client("no-such-name.invalid", 1, "dev", log=say)')
    with node(interpreter, 1, body, tmp_path) as button:
        assert "the name no-such-name.invalid was not found" in button.line("no connection")
        button.line("cause name")


BACKUP = """
one = client(backup=("127.0.0.1", %d), first_again_ms=300, timeout_ms=500)
one.on_up = lambda: say("on the backup" if one.on_backup else "on the first")
asyncio.create_task(one.run())
number = 0
while True:
    try:
        await one.publish("t", str(number), timeout_ms=8000)
        number += 1
    except MQTTError as error:
        say("lost: %%s" %% error)
    if number %% 20 == 0:
        say("sent %%d" %% number)
    await asyncio.sleep(0.03)
"""


def test_a_backup_and_the_way_back(interpreter: str, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    first, second = Broker(tmp_path / "first"), Broker(tmp_path / "second")
    try:
        with node(interpreter, first.port, BACKUP % second.port, tmp_path) as button:
            button.line("sent 20")
            first.kill()
            button.line("on the backup")
            button.line("sent")
            first.start()
            with stopped(first):  # its kernel takes connections: no reason to leave a line that works
                lines = len(button.lines)
                for _ in range(4):
                    button.line("sent")
                assert not [text for text in button.lines[lines:] if "no connection" in text or "first" in text]
            button.line("on the first")
            button.line("sent")
            assert not [text for text in button.lines if "lost" in text]
            with stopped(first):
                button.line("on the backup")  # silence too
                button.line("sent")
            # A farewell to the backup each time, so that it forgets the last will.
            wait_until(lambda: "Client dev disconnected" in second.log.read_text(), "the farewell")
    finally:
        for broker in (first, second):
            broker.kill()


def test_nothing_unacknowledged_is_left_behind_on_the_way_back(interpreter: str, tmp_path: Path) -> None:
    body = """
    one = client(backup=("127.0.0.1", %d), first_again_ms=200, timeout_ms=3000)
    asyncio.create_task(one.run())
    await up(one)
    await one.publish("t", b"x")
    say("acknowledged")
    await asyncio.sleep(60)
    """
    with Server() as first, Server() as second, node(interpreter, first.port, body % second.port, tmp_path) as button:
        with first.connection(b"\x20\x02\x00\x03"):
            pass
        with second.connection() as backup:
            packet = backup.packet()
            with pytest.raises(TimeoutError):  # it does not look for the first while a message is under way
                first.accept(limit_s=1.0)
            backup.send(b"\x40\x02" + packet[5:7])
            button.line("acknowledged")
            with first.connection():
                button.line("back to the first broker")
                assert backup.packet() == b"\xe0\x00"
                button.line("mqtt: connected")


def test_mip_installs_it_alone(tmp_path: Path) -> None:
    # What package.json names is all that the client needs: nothing else is on the path.
    import json
    import shutil

    folder = Path(__file__).parents[2] / "firmware" / "mqtt"
    listed = json.loads((folder / "package.json").read_text())["urls"]
    for target, source in listed:
        (tmp_path / target).parent.mkdir(exist_ok=True)
        shutil.copy(folder / source, tmp_path / target)
    assert sorted(source for _, source in listed) == sorted(path.name for path in folder.glob("*.py"))
    program = "import mqtt, mqtt.tls, mqtt.backup; mqtt.Client('127.0.0.1', 1, 'a'); print('alone')"
    for command in mqtt_lab.INTERPRETERS.values():
        done = subprocess.run(
            [command[0], "-c", program],
            cwd=tmp_path,
            env={"MICROPYPATH": f"{tmp_path}:.frozen"},
            capture_output=True,
            text=True,
            timeout=30,
        )
        assert "alone" in done.stdout, done.stderr + done.stdout
