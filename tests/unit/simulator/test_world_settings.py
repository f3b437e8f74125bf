"""World files, press scripts and the pin log."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest

from sigap.problem import USAGE, Problem
from simulator.world import presses, settings
from simulator.world.pinlog import PinLog

WORLD = """
firmware = "fw"
[[boards]]
name = "shop-1"
device = { device = "0000a1b2" }
gps = { site = [-6.9932, 110.4203] }
wifi = { join_ms = 5 }
[[boards]]
name = "shop-2"
image = "two.img"
on = false
"""


def test_a_world_file(tmp_path: Path) -> None:
    (tmp_path / "w.toml").write_text(WORLD)
    world = settings.load(tmp_path / "w.toml")
    one, two = world.boards
    assert world.firmware == tmp_path / "fw"
    assert (one.name, one.image, one.device, one.on) == (
        "shop-1",
        tmp_path / "shop-1.img",
        {"device": "0000a1b2"},
        True,
    )
    assert one.gps
    assert one.gps.track == [(0.0, -6.9932, 110.4203)]
    assert (two.image, two.gps, two.on, two.heap_kb) == (tmp_path / "two.img", None, False, 140)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "at least one board"),
        ("boards = 5", "must be a table"),
        ("[[boards]]", "name is None"),
        ('[[boards]]\nname = "../x"', "name is '../x'"),
        ('[[boards]]\nname = "a"\n[[boards]]\nname = "a"', "two boards are named a"),
        ('[[boards]]\nname = "a"\ncolour = 1', "a: unknown colour"),
        ('[[boards]]\nname = "a"\non = 1', "a: on must be of type bool"),
        ('[[boards]]\nname = "a"\nwifi = { speed = 1 }', "a: wifi has no speed"),
        ('[[boards]]\nname = "a"\ndevice = "a.json"', "cannot read the device settings"),
        ("[[boards", "cannot be parsed"),
    ],
)
def test_world_files_that_are_wrong(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "w.toml").write_text(text)
    with pytest.raises(Problem) as caught:
        settings.load(tmp_path / "w.toml")
    assert words in caught.value.what
    assert caught.value.exit_code == USAGE


def test_presses_as_a_script() -> None:
    assert presses.presses(2, down_ms=80, gap_ms=200) == [(0, 0), (80, 1), (280, 0), (360, 1)]
    chatter = presses.presses(3, bounce_ms=5, seed=3)
    levels = [level for _, level in chatter]
    assert all(a != b for a, b in pairwise(levels)), "every step is an edge"
    assert levels[-1] == 1, "let go"
    assert presses.checked([list(step) for step in chatter]) == chatter
    assert presses.presses(3, bounce_ms=5, seed=3) == chatter
    edges = [{"value": level, "at": 1000 + at} for at, level in chatter]
    assert [round(one["down_at"]) for one in presses.count_presses(edges)] == [1000, 1300, 1600]


def test_the_pin_log_is_bounded_and_knows_what_is_lit() -> None:
    log = PinLog(limit=3)
    log.add({"pin": 26, "value": 1, "by": "board"})
    log.add({"pwm": 25, "duty": 512, "by": "board"})
    for n in range(5):
        log.add({"pin": 27, "value": n % 2, "by": "world"})
    assert [entry["seq"] for entry in log.since()] == [5, 6, 7]
    assert [entry["seq"] for entry in log.since(6)] == [7]
    assert log.dropped == 4
    assert log.driven() == ({26: 1}, {25: 512})
