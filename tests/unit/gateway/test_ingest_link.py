"""The link against a real Mosquitto: generations, what waits for a confirmation, and its limit."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.ingest import link as link_module
from gateway.ingest.intake import Intake, Uplink
from gateway.ingest.link import Link
from tests.system.gateway_lab import LIMIT_S, Broker, wait_until

UP = "sigap/v1/d/0000a1b2/up"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(tmp_path)
    yield broker
    broker.kill()


@pytest.fixture
def link(broker: Broker) -> Iterator[Link]:
    link = link_to(broker)
    yield link
    link.stop()


def link_to(broker: Broker) -> Link:
    up = threading.Event()
    link = Link(Intake(), host="127.0.0.1", port=broker.port, username="gateway", password="secret", on_up=up.set)
    link.start()
    assert up.wait(LIMIT_S)
    assert link.health() == {"ok": True, "refused": None, "unacknowledged": 0}
    return link


def next_uplink(link: Link) -> Uplink:
    (message,) = link._intake.drain(1, LIMIT_S)
    return message


def test_an_acknowledgement_belongs_to_its_connection(link: Link) -> None:
    said = threading.Event()  # else the break makes the link publish it again
    assert link.publish(UP, b"one", said.set)
    first = next_uplink(link)
    assert said.wait(LIMIT_S)
    link.renew()
    again = next_uplink(link)  # not acknowledged, so the broker sends it again
    assert (again.payload, again.duplicate, first.duplicate) == (b"one", True, False)
    assert again.generation > first.generation
    assert not link.acknowledge(first)
    assert link.acknowledge(again)
    assert link.publish(UP, b"two")
    assert link.acknowledge(two := next_uplink(link))
    assert two.payload == b"two"
    sent = threading.Event()
    assert link.publish("elsewhere", b"", sent.set)
    assert sent.wait(LIMIT_S)  # and so were the acknowledgements before it
    link.renew()
    wait_until(lambda: not link.connected, "the break")
    wait_until(lambda: link.connected, "the new connection")
    assert link._intake.drain(1, 0.3) == []  # both acknowledgements arrived


def test_long_payloads_and_topics_are_cut(link: Link) -> None:
    assert link.publish("sigap/v1/d/" + "x" * 500 + "/up", bytes(100_000))
    message = next_uplink(link)
    assert (len(message.topic), len(message.payload), message.size_bytes) == (200, 256, 100_000)


def test_publishing_is_confirmed_and_bounded(broker: Broker, link: Link, monkeypatch: pytest.MonkeyPatch) -> None:
    confirmed = threading.Semaphore(0)
    for _ in range(500):
        assert link.publish("elsewhere", b"x", confirmed.release)
    for _ in range(500):
        assert confirmed.acquire(timeout=LIMIT_S)
    assert link.health()["unacknowledged"] == 0
    monkeypatch.setattr(link_module, "MOST_UNACKNOWLEDGED", 3)
    assert broker.process is not None
    broker.process.send_signal(19)  # SIGSTOP
    assert [link.publish("elsewhere", b"x", confirmed.release) for _ in range(4)] == [True, True, True, False]
    broker.process.send_signal(18)  # SIGCONT
    for _ in range(3):
        assert confirmed.acquire(timeout=LIMIT_S)
    assert link.health()["unacknowledged"] == 0


def test_what_was_published_survives_a_broken_connection(broker: Broker, link: Link) -> None:
    confirmed = threading.Event()
    assert broker.process is not None
    broker.process.send_signal(19)
    assert link.publish("elsewhere", b"x", confirmed.set)
    broker.kill()
    wait_until(lambda: not link.connected, "the break")
    assert not link.publish("elsewhere", b"y")  # without a connection nothing is taken
    broker.start()
    assert confirmed.wait(LIMIT_S)


def test_a_refused_login_is_said(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.kill()
    broker.config.write_text(broker.config.read_text().replace("allow_anonymous true", "allow_anonymous false"))
    broker.start()
    link = Link(Intake(), host="127.0.0.1", port=broker.port, username="gateway", password="wrong")
    link.start()
    wait_until(lambda: link.health()["refused"] is not None, "the refusal")
    assert link.health() == {"ok": False, "refused": "Not authorized", "unacknowledged": 0}
    link.stop()
    broker.kill()
