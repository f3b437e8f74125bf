"""What stories can tell of cancels, troubles and commands, by the gateway's own code in the virtual world."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from panic_wire import topics
from panic_wire.bodies import unpack_time
from panic_wire.frames import (
    ALARM,
    ANSWER,
    BATTERY_LOW,
    CANCEL,
    CRASH_TEXT,
    DONE,
    HEARTBEAT,
    REPORT,
    SET,
    SET_TIME,
    TROUBLE,
    Alarm,
    Cancel,
    Header,
    Heartbeat,
    Report,
    Trouble,
    unpack_command,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal
from sigap.scenario import VirtualStore
from sigap.virtual_gateway import START_US
from simulator.scenario.model import Scenario
from simulator.scenario.run import run
from simulator.virtual.broker import Message

KEY, DEVICE = bytes(range(16)), 0x51000000
NAME = topics.device_name(DEVICE)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[VirtualStore]:
    made = VirtualStore(tmp_path)
    made.register("shop", index=0, broker=("127.0.0.1", 1), key=KEY)
    yield made
    made.close()


def test_everything_that_a_device_says_beside_alarms(store: VirtualStore) -> None:
    counter = 0

    def says(kind: int, record: object, now_us: int) -> list[tuple[Header, bytes]]:
        nonlocal counter
        counter += 1
        frame = seal(uplink_key(KEY, DEVICE), Header(kind, 0, DEVICE, 3, counter), record.pack())  # type: ignore[attr-defined]
        answers = store.commit([Message(counter, topics.up(NAME), frame, 1)], now_us)
        assert {topic for topic, _ in answers} <= {topics.down(NAME)}
        return [open_frame(downlink_key(KEY, DEVICE), payload) for _, payload in answers]

    store.commit([Message(999, topics.state(NAME), topics.ONLINE, 1)], 0)
    store.command("shop", "set", "led=off", 1_000_000)
    ((topic, frame),) = store.orders(1_500_000)
    header, body = open_frame(downlink_key(KEY, DEVICE), frame)
    assert (topic, unpack_command(body).code) == (topics.down(NAME), SET)
    assert store.orders(2_000_000) == []
    assert store.upkeep("shop")["commands"] == [{"says": "set led=off", "state": "sent", "answer": None}]
    _receipt, (_, told), (again, _) = says(HEARTBEAT, Heartbeat(), 5_000_000)
    command = unpack_command(told)
    assert (command.code, again.counter) == (SET_TIME, header.counter)
    assert unpack_time(command.content) == ((START_US + 5_000_000) // 1000, 3, counter)
    says(REPORT, Report(ANSWER, DONE, header.counter, b"led=off"), 6_000_000)
    says(TROUBLE, Trouble(BATTERY_LOW, value=3200), 7_000_000)
    says(REPORT, Report(CRASH_TEXT, 0, 0, b"MemoryError"), 8_000_000)
    known = store.upkeep("shop")
    assert known["commands"] == [{"says": "set led=off", "state": "done", "answer": {"text": "led=off"}}]
    assert (known["troubles"], known["had"], known["crashes"]) == (["battery_low"], ["battery_low"], ["MemoryError"])

    assert says(CANCEL, Cancel(1), 9_000_000) == []  # no alarm, no receipt
    says(ALARM, Alarm(1, age_ms=500), 10_000_000)
    ((receipt, _),) = says(CANCEL, Cancel(1, age_ms=1000, duress=True), 15_000_000)
    assert receipt.counter == counter
    (alarm,) = store.alarms()
    assert (alarm["state"], alarm["cancelled_us"], alarm["duress"], alarm["moved"]) == ("open", 14_000_000, True, False)


def test_a_story_tells_of_commands_and_says_what_does_not_hold() -> None:
    story = {
        "title": "A button is asked something at the very end",
        "story": "The gateway has not noticed yet: the command waits, and nothing is wrong with the button.",
        "length_s": 12,
        "buttons": [{"name": "shop"}],
        "steps": [{"at_s": 11.8, "do": "command", "who": "shop", "what": "locate"}],
        "expect": [{"answers": ["waiting"], "troubles": [], "had_troubles": [], "crashes": 0, "cancelled": "no"}],
    }
    assert run(Scenario.model_validate(story), name="asked", seed=1, make_store=VirtualStore).passed
    wrong = [
        {"answers": ["done"], "troubles": ["tamper"], "had_troubles": ["tamper"], "crashes": 1, "cancelled": "mistake"}
    ]
    result = run(Scenario.model_validate({**story, "expect": wrong}), name="asked", seed=1, make_store=VirtualStore)
    assert len(result.broken) == 5
