"""The button's side of MQTT, without a line: topics, who passes whom, and what it says when nobody answers."""

import asyncio

from panic.bearers import WifiBearer
from panic_wire.frames import ALARM, HEARTBEAT


class SettingsDouble:
    device = 0xA1B2
    broker_host = "127.0.0.1"
    broker_port = 1
    broker_password = "x"
    broker_ssl = broker_hostname = broker_backup = None


def make(said):
    return WifiBearer(SettingsDouble(), said.append, lambda: said.append("up"), lambda line: None)


def test_only_what_comes_down_to_this_device_is_taken():
    said = []
    bearer = make(said)
    bearer.client.on_message("sigap/v1/d/0000a1b2/down", b"frame")
    bearer.client.on_message("sigap/v1/d/0000a1b3/down", b"another's")
    assert said == [b"frame"]
    assert not bearer.up


def test_an_alarm_passes_what_waits_and_says_online_is_kept_by_the_broker():
    sent = []

    async def publish(topic, payload, qos=1, retain=False, timeout_ms=None, urgent=False):
        sent.append((topic, qos, retain, urgent))

    async def main():
        bearer = make([])
        bearer.client.publish = publish
        await bearer.send(bytes([0x10 | ALARM]))
        await bearer.send(bytes([0x10 | HEARTBEAT]))
        await bearer.say_online()

    asyncio.run(main())
    up, state = "sigap/v1/d/0000a1b2/up", "sigap/v1/d/0000a1b2/state"
    assert sent == [(up, 1, False, True), (up, 1, False, False), (state, 1, True, False)]


def test_it_says_why_there_is_no_way_and_drops_what_only_connecting_needs():
    said = []
    bearer = make(said)
    bearer.client.on_down()
    bearer.on_down = lambda portal: said.append(("down", portal))
    bearer.on_early = lambda: said.append("early")
    for bearer.client.cause in ("refused", "http", "early"):
        bearer.client.on_down()
    assert said == [("down", False), ("down", True), ("down", False), "early"]
    bearer.client.on_up()
    assert said[-1] == "up"


def test_it_runs_and_closes_in_a_moment_whatever_the_line_does():
    async def main():
        bearer = make([])
        running = asyncio.create_task(bearer.run())
        await asyncio.sleep(0.05)
        bearer.hurry()
        await asyncio.wait_for(bearer.close(), 5)
        await asyncio.wait_for(running, 5)
        return bearer.up

    assert asyncio.run(main()) is False
