"""Each checker finds the bug that was planted for it: in a copy of the firmware, or in the gateway's store."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path
from typing import Any

import pytest

from gateway.store.schema import incidents
from sigap.virtual_gateway import VirtualStore
from simulator import image
from simulator.scenario.checkers import ALL
from simulator.scenario.explore import shrink
from simulator.scenario.load import parse
from simulator.scenario.model import Scenario
from simulator.scenario.run import Result, run

SITE = "[-6.9932, 110.4203]"
HOLD = "\n  - {at_s: 20, do: hold, who: toko}\n"
PRESSED = "\n  - {at_s: 20, do: press, who: toko}\n"


def story(steps: str, length_s: float = 150) -> Scenario:
    text = (
        f"title: A planted bug\nstory: Made for one checker, which must find it.\nlength_s: {length_s}\n"
        f"buttons:\n  - {{name: toko, site: {SITE}, heartbeat_s: 10}}\nsteps:{steps}"
    )
    return parse(text, "planted")


def planted(tmp_path: Path, name: str, old: str, new: str) -> Path:
    """A copy of the firmware with one change."""
    folder = tmp_path / "firmware"
    if not folder.exists():
        shutil.copytree(image.FIRMWARE, folder, ignore=shutil.ignore_patterns("__pycache__"))
    path = folder / name
    text = path.read_text()
    assert text.count(old) == 1, f"{name} has changed: plant the bug anew"
    path.write_text(text.replace(old, new))
    return folder


def broken(result: Result) -> set[str]:
    return {each["promise"] for each in result.broken}


def play(scenario: Scenario, make_store: Any = VirtualStore, **more: Any) -> Result:
    return run(scenario, name="planted", seed=1, make_store=make_store, **more)


FIRMWARE_BUGS = {
    "journal-keeps": (
        "panic/device.py",
        "        return self.sender.alarm_frame(alarm, now,",
        "        self._journal.close(alarm.activation)\n        return self.sender.alarm_frame(alarm, now,",
        "\n  - {at_s: 15, do: network, who: toko, down: false}\n  - {at_s: 20, do: press, who: toko}\n"
        "  - {at_s: 15, do: gateway, what: kill}\n  - {at_s: 40, do: power, who: toko, up: false}\n",
    ),
    "identity-once": (
        "panic/counter.py",
        "        number = self._activation\n",
        "        number = 42\n",
        PRESSED + "  - {at_s: 40, do: press, who: toko}\n",
    ),
    "counter-forward": (
        "panic/counter.py",
        "        self._next = self.first = self._limit\n",
        "        self._next = self.first = 0\n",
        "\n  - {at_s: 40, do: reset, who: toko}\n",
    ),
    "silence-noticed": (
        "panic/bearers.py",
        "will=(self._state_topic, topics.OFFLINE, True)",
        "will=None",
        "\n  - {at_s: 30, do: power, who: toko, up: false}\n",
    ),
    "shown-is-true": (
        "panic/device.py",
        "            what = newest.stage\n",
        "            what = newest.stage or RECEIPT\n",
        "\n  - {at_s: 15, do: gateway, what: kill}" + PRESSED,
    ),
    "bounded": (
        "panic/journal.py",
        "CAPACITY = 64",
        "CAPACITY = 99",
        "\n  - {at_s: 10, do: gateway, what: kill}\n"
        + "".join(f"  - {{at_s: {12 + 2 * n}, do: press, who: toko}}\n" for n in range(66)),
    ),
    "every-gesture": ("panic/presses.py", "PRESSES = 3\n", "PRESSES = 4\n", PRESSED),
    "alarm-arrives": (
        "panic/bearers.py",
        "        await self.client.publish(self._up_topic, frame,",
        "        urgent or await self.client.publish(self._up_topic, frame,",
        PRESSED,
    ),
    "no-fault": ("panic/device.py", "    def begin_test(self, now):\n", "    def begin_test(self):\n", HOLD),
}


@pytest.mark.parametrize("promise", FIRMWARE_BUGS)
def test_a_bug_planted_in_the_firmware_is_found(tmp_path: Path, promise: str) -> None:
    name, old, new, steps = FIRMWARE_BUGS[promise]
    scenario = story(steps)
    assert promise not in broken(play(scenario)), "the shipped firmware keeps it"
    result = play(scenario, firmware=planted(tmp_path, name, old, new))
    assert promise in broken(result), result.broken


class _Undo(Exception):
    pass


class Hasty(VirtualStore):
    """Answers, and has committed nothing."""

    def commit(self, messages: Any, now_us: int) -> list[tuple[str, bytes]]:
        answers: list[tuple[str, bytes]] = []
        with contextlib.suppress(_Undo), self._store.write() as conn:
            answers = self.take(conn, messages, now_us)
            raise _Undo
        return answers


class Careless(VirtualStore):
    """Lets a test be dispatched."""

    def act(self, incident: int, stage: str, actor: str, data: dict[str, Any], now_us: int) -> bool:
        for value in (False, True):
            with self._store.write() as conn:
                this = incidents.update().where(incidents.c.id == self.incident(incident))
                conn.execute(this.values(test=value))
            if value is False:
                done = super().act(incident, stage, actor, data, now_us)
        return done


TEST_AND_DISPATCH = HOLD + (
    "  - {at_s: 35, do: press, who: toko}\n  - {at_s: 40, do: operator, who: toko, stage: dispatched, test: true}\n"
)


@pytest.mark.parametrize(
    ("promise", "store", "steps"),
    [("receipt-is-commit", Hasty, PRESSED), ("tests-send-nobody", Careless, TEST_AND_DISPATCH)],
)
def test_a_bug_planted_in_the_gateway_is_found(promise: str, store: type[VirtualStore], steps: str) -> None:
    scenario = story(steps, 80)
    assert play(scenario).passed
    assert promise in broken(play(scenario, store))


def test_every_checker_has_its_planted_bug() -> None:
    planted_for = set(FIRMWARE_BUGS) - {"no-fault"} | {"receipt-is-commit", "tests-send-nobody"}
    assert planted_for == {checker.name for checker in ALL}


def test_a_long_find_is_shrunk_to_what_matters(tmp_path: Path) -> None:
    firmware = planted(tmp_path, "panic/presses.py", "PRESSES = 3\n", "PRESSES = 4\n")
    noise = "".join(f"  - {{at_s: {30 + 5 * n}, do: sky, who: toko}}\n" for n in range(8))
    long = story("\n  - {at_s: 10, do: network, who: toko, loss: 0.2}\n" + PRESSED.lstrip("\n") + noise, 90)
    short, runs = shrink(long, "every-gesture", lambda one: play(one, firmware=firmware))
    assert [step.do for step in short.steps] == ["press"]
    assert runs < 30
