"""The MQTT backend against real Mosquitto: replies, refusals, floods, kills, TLS, logins."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from gateway.backend_settings import MqttSettings
from gateway.backends.mqtt import LATE, MqttBackend
from gateway.broker.running import find_mosquitto
from gateway.clock import now_us
from gateway.outbox.port import Outcome
from sigap.processes import free_port
from simulator.police.receivers import mqtt as reference
from tests.unit.gateway.backend_lab import INCIDENT, Accepted, delivery, payload, settled
from tests.unit.gateway.tls_lab import authority_and_certificate

TOPIC, REPLIES = "sigap/incidents", "sigap/replies"
Handle = Callable[[paho.Client, paho.MQTTMessage], None]


class Broker:
    """Mosquitto in a folder; `lines` are its settings after the listener's."""

    def __init__(self, folder: Path, port: int, *lines: str) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.port, self._config = port, folder / "mosquitto.conf"
        self._config.write_text("\n".join(["user root", f"listener {port} 127.0.0.1", *lines]) + "\n")
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen([find_mosquitto(), "-c", str(self._config)], stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 10
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                assert time.monotonic() < deadline, "Mosquitto did not start"
                time.sleep(0.02)

    def kill(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path / "broker", free_port(), "allow_anonymous true")
    yield made
    made.close()


@contextlib.contextmanager
def police(port: int, handle: Handle, topic: str = TOPIC) -> Iterator[paho.Client]:
    """A subscriber to the incidents that does what a test wants."""
    up = threading.Event()
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_connect = lambda client, *_: client.subscribe(topic, qos=1)  # pyright: ignore
    client.on_subscribe = lambda *_: up.set()  # pyright: ignore
    client.on_message = lambda client, _userdata, message: handle(client, message)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert up.wait(10)
    try:
        yield client
    finally:
        client.disconnect()
        client.loop_stop()


def reply(client: paho.Client, message: paho.MQTTMessage, said: Any, correlation: bytes | None = None) -> None:
    properties = Properties(PacketTypes.PUBLISH)
    asked: Any = message.properties
    properties.CorrelationData = asked.CorrelationData if correlation is None else correlation
    body = said if isinstance(said, bytes) else json.dumps(said).encode()
    client.publish(asked.ResponseTopic, body, qos=1, properties=properties)


def settings(port: int, **more: Any) -> MqttSettings:
    told = {"host": "127.0.0.1", "port": port, "tls": False, "topic": TOPIC, "reply_topic": REPLIES, "timeout_s": 2.0}
    return MqttSettings(**{"kind": "mqtt", "name": "police", **told, **more})


@contextlib.asynccontextmanager
async def backend(port: int, accepted: Accepted | None = None, **more: Any) -> AsyncIterator[MqttBackend]:
    made = MqttBackend(settings(port, **more), accepted or Accepted(), "test", look_every_s=0.1)
    try:
        yield made
    finally:
        await made.close()


def deliver(port: int, times: int = 1, **more: Any) -> tuple[list[Outcome], Accepted]:
    accepted = Accepted()

    async def run() -> list[Outcome]:
        async with backend(port, accepted, **more) as made:
            return [settled(await made.deliver(delivery(1 + number))) for number in range(times)]

    return asyncio.run(run()), accepted


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_the_reference_receiver_accepts(broker: Broker, mode: str) -> None:
    heard: list[dict[str, Any]] = []
    receiver = reference.Receiver(broker.port, TOPIC, heard.append)
    assert receiver.wait()
    try:
        outcomes, accepted = deliver(broker.port, times=3, mode=mode)
    finally:
        receiver.close()
    assert all(outcome.done for outcome in outcomes)
    assert [each[0] for each in accepted.of] == [delivery(number).id for number in (1, 2, 3)]
    assert {each["mode"] for each in heard} == {mode}
    assert {each["subject"] for each in heard} == {INCIDENT}


@pytest.mark.parametrize("mode", ["structured", "binary"])
def test_what_is_on_the_wire(broker: Broker, mode: str) -> None:
    came: list[paho.MQTTMessage] = []

    def handle(client: paho.Client, message: paho.MQTTMessage) -> None:
        came.append(message)
        reply(client, message, {"accepted": True})

    async def run() -> None:
        async with backend(broker.port, mode=mode) as made:
            await made.deliver(delivery(7))
            await made.deliver(delivery(8, created_at=now_us() - 7_200_000_000))

    with police(broker.port, handle):
        asyncio.run(run())
    fresh, late = came
    properties: Any = fresh.properties
    words = dict(getattr(properties, "UserProperty", []))
    assert (properties.ResponseTopic, properties.CorrelationData) == (REPLIES, payload(7)["id"].encode())
    if mode == "structured":
        assert properties.ContentType == "application/cloudevents+json; charset=utf-8"
        assert (json.loads(fresh.payload), words) == (payload(7), {})
    else:
        event = payload(7)
        assert properties.ContentType == "application/json"
        assert json.loads(fresh.payload) == event.pop("data")
        assert words == {name: value for name, value in event.items() if name != "datacontenttype"}
    assert int(dict(late.properties.UserProperty)[LATE]) >= 7200  # pyright: ignore


@pytest.mark.parametrize(
    ("said", "done", "accepted", "hopeless", "words"),
    [
        ({"accepted": True, "reference": "K-1"}, True, True, False, ""),
        ({"accepted": False}, True, False, False, ""),
        ({"error": "no such area"}, False, False, True, "it replied: no such area"),
        ({"accepted": 1, "error": "x"}, False, False, True, "it replied: x"),
        ({}, False, False, False, "its reply is not understood"),
        (b"[" * 50_000, False, False, False, "its reply is not understood"),
        (b"\xff", False, False, False, "its reply is not understood"),
    ],
    ids=["yes", "not yet", "no", "odd", "empty", "deep", "bytes"],
)
def test_what_a_reply_means(broker: Broker, said: Any, done: bool, accepted: bool, hopeless: bool, words: str) -> None:
    with police(broker.port, lambda client, message: reply(client, message, said)):
        (outcome,), taken = deliver(broker.port)
    assert (outcome.done, outcome.hopeless, outcome.reached) == (done, hopeless, True)
    assert bool(taken.of) == accepted
    assert words in (outcome.error or "")


def test_a_slow_reply_is_a_failure_and_comes_to_the_next_attempt(broker: Broker) -> None:
    asked: list[paho.MQTTMessage] = []

    async def run(client: paho.Client) -> list[Outcome]:
        async with backend(broker.port, timeout_s=0.4) as made:
            first = await made.deliver(delivery())
            second = asyncio.create_task(made.deliver(delivery()))
            while len(asked) < 2:
                await asyncio.sleep(0.01)
            reply(client, asked[0], {"accepted": True})  # to the first try: its correlation data are the same
            return [first, await second]

    with police(broker.port, lambda _client, message: asked.append(message)) as client:
        first, second = asyncio.run(run(client))
    assert first.error == f"no reply on {REPLIES} within 0.4 s"
    assert second.done


def test_floods_and_strangers_are_dropped(broker: Broker) -> None:
    """Replies to nothing, twice, too large, out of order: only the one that belongs here counts, once."""

    def handle(client: paho.Client, message: paho.MQTTMessage) -> None:
        for number in range(500):  # of more than a thousand Mosquitto drops the newest, and we try again
            reply(client, message, {"accepted": True}, b"stranger-%d" % number)
        reply(client, message, b"x" * 200_000)  # longer than we take: the broker keeps it from us
        reply(client, message, {"accepted": True, "reference": "K-1"})
        reply(client, message, {"accepted": True, "reference": "K-2"})
        reply(client, message, {"error": "too late"})

    with police(broker.port, handle):
        outcomes, accepted = deliver(broker.port, times=2, timeout_s=20.0)
    assert all(outcome.done for outcome in outcomes)
    assert accepted.of == [(delivery(number).id, "K-1") for number in (1, 2)]


def test_nobody_there_is_a_failure(broker: Broker) -> None:
    (outcome,), _ = deliver(broker.port, timeout_s=0.4)
    # Mosquitto before 2.1 does not say that nobody is subscribed; then the reply does not come.
    assert outcome.error in (f"nobody is subscribed to {TOPIC}", f"no reply on {REPLIES} within 0.4 s")
    assert not outcome.done


def test_without_a_reply_topic_the_brokers_word_is_all(broker: Broker) -> None:
    with police(broker.port, lambda _client, _message: None):
        (outcome,), accepted = deliver(broker.port, reply_topic="")
    assert outcome.done
    assert accepted.of == []


def test_a_broker_killed_between_message_and_reply(broker: Broker) -> None:
    killed = threading.Event()

    def handle(client: paho.Client, message: paho.MQTTMessage) -> None:
        if killed.is_set():
            reply(client, message, {"accepted": True})
        else:
            killed.set()
            broker.kill()

    async def run() -> list[Outcome]:
        async with backend(broker.port) as made:
            lost = await made.deliver(delivery())
            await asyncio.to_thread(broker.process.wait)  # its port is closed a moment after its connections
            gone = await made.deliver(delivery())
            await asyncio.to_thread(broker.start)
            await asyncio.to_thread(back.wait, 10)
            return [lost, gone, await made.deliver(delivery())]

    back = threading.Event()
    with police(broker.port, handle) as client:
        client.reconnect_delay_set(1, 1)
        client.on_subscribe = lambda *_: back.set()  # pyright: ignore
        lost, gone, again = asyncio.run(run())
    assert (lost.error or "").startswith("the connection was lost")
    assert "no connection to 127.0.0.1" in (gone.error or "")
    assert again.done


def test_one_that_hangs_up_before_there_is_a_session_costs_no_waiting() -> None:
    async def run() -> Outcome:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
        async with server, backend(server.sockets[0].getsockname()[1], timeout_s=60.0) as made:
            async with asyncio.timeout(20):
                return await made.deliver(delivery())

    outcome = asyncio.run(run())
    assert not outcome.done
    assert "takes no session of ours: the connection was lost" in (outcome.error or "")


def test_a_broker_that_hangs_is_cut_off(broker: Broker) -> None:
    async def run() -> Outcome:
        async with backend(broker.port, timeout_s=0.4) as made:
            broker.kill(signal.SIGSTOP)
            try:
                return await made.deliver(delivery())
            finally:
                broker.kill(signal.SIGCONT)

    outcome = asyncio.run(run())
    assert not outcome.done
    assert "said nothing within 0.4 s" in (outcome.error or "")


def test_a_broker_that_is_gone_is_known_without_an_alarm(broker: Broker) -> None:
    async def run() -> list[bool]:
        reports: list[bool] = []
        turned = asyncio.Event()

        async def report(error: str | None) -> None:
            if not reports or reports[-1] != (error is None):
                reports.append(error is None)
                turned.set()

        async def next_turn() -> None:
            await asyncio.wait_for(turned.wait(), 10)
            turned.clear()

        async with backend(broker.port) as made:
            attending = asyncio.create_task(made.attend(report))
            await next_turn()
            broker.kill()
            await next_turn()
            await asyncio.to_thread(broker.start)
            await next_turn()
            attending.cancel()
        return reports

    assert asyncio.run(run()) == [True, False, True]


def test_a_wrong_password_is_said(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    tool = shutil.which("mosquitto_passwd", path=os.environ["PATH"] + ":/usr/bin:/usr/sbin")
    assert tool
    subprocess.run([tool, "-b", "-c", str(passwords), "sigap", "right"], check=True, capture_output=True)
    made = Broker(tmp_path / "broker", free_port(), "allow_anonymous false", f"password_file {passwords}")
    try:
        (wrong, again), _ = deliver(made.port, times=2, username="sigap", password="wrong")
        with police_login(made.port):
            (right,), _ = deliver(made.port, username="sigap", password="right", reply_topic="")
    finally:
        made.close()
    assert "Not authorized" in (wrong.error or "")
    assert again.error == wrong.error
    assert right.done


@contextlib.contextmanager
def police_login(port: int) -> Iterator[None]:
    """Somebody is subscribed, so that newer brokers do not say that nobody is."""
    client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.username_pw_set("sigap", "right")
    up = threading.Event()
    client.on_connect = lambda client, *_: client.subscribe(TOPIC, qos=1)  # pyright: ignore
    client.on_subscribe = lambda *_: up.set()  # pyright: ignore
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert up.wait(10)
    yield
    client.disconnect()
    client.loop_stop()


def test_a_certificate_that_is_not_trusted(tmp_path: Path) -> None:
    authority, certificate, key = authority_and_certificate(tmp_path)
    lines = ("allow_anonymous true", f"certfile {certificate}", f"keyfile {key}")
    made = Broker(tmp_path / "broker", free_port(), *lines)
    try:
        (stranger,), _ = deliver(made.port, tls=True)
        (plain,), _ = deliver(made.port, timeout_s=0.5)
        (ours,), _ = deliver(made.port, tls=True, ca_file=str(authority), reply_topic="")
    finally:
        made.close()
    assert "its certificate was not trusted" in (stranger.error or "")
    assert not plain.done
    assert ours.done or ours.error == f"nobody is subscribed to {TOPIC}"
