"""The pure parts of the panel: third presses from edges, and one timeline from what world and gateway saw."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from simulator import observe
from simulator.panel.alarms import MOST, Alarms, as_csv
from simulator.panel.board import Board
from simulator.panel.thumb import Thumb

T0 = 1_700_000_000_000.0


def third_presses(edges: list[tuple[float, bool]]) -> list[float]:
    """What a thumb that makes these edges (ms, down) is seen to have meant, in ms after T0."""
    thumb = Thumb()
    found: list[float] = []
    for at, is_down in edges:
        found += thumb.edge(T0 + at, is_down)
    found += thumb.settle(T0 + edges[-1][0] + 30)
    return [at - T0 for at in found]


def presses(*downs: float, lasts_ms: float = 90) -> list[tuple[float, bool]]:
    return [edge for at in downs for edge in ((at, True), (at + lasts_ms, False))]


@pytest.mark.parametrize(
    ("edges", "found"),
    [
        (presses(0, 300), []),
        (presses(0, 300, 600), [600]),
        (presses(0, 300, 600, 900, 1200, 1500), [600, 1500]),
        (presses(0, 1000, 2000), [2000]),
        (presses(0, 1001, 1300), []),  # the first one was too long before
        (presses(0, 999, 1998), [1998]),
        (presses(0, 300, 600, lasts_ms=20), []),  # chatter, no press
        ([(0, True), (3, False), (5, True), (90, False), *presses(300, 600)], [600]),
        ([*presses(0, 300), (600, True)], [600]),  # it is down still: the third press down is what counts
    ],
)
def test_third_presses(edges: list[tuple[float, bool]], found: list[float]) -> None:
    assert third_presses(edges) == found


def row(alarm: str, pressed_at: float, is_exact: bool = True, **stages: float) -> dict[str, Any]:
    """As the gateway's records give it."""
    about = {"board": "b", "device": "0000a1b2", "alarm": alarm, "test": False, "is_exact": is_exact}
    return {**about, "pressed_at": T0 + pressed_at, "stages": {name: T0 + at for name, at in stages.items()}}


def test_thumb_light_and_gateway_become_one_timeline() -> None:
    alarms = Alarms()
    alarms.pressed("b", T0, True)
    alarms.lit("b", {"sending": T0 + 30})
    alarms.recorded([row("a-1", 12, received=40)])
    alarms.lit("b", {"received": T0 + 46})
    alarms.recorded([row("a-1", 12, received=40, acknowledged=2600)])
    assert alarms.documents() == [
        {
            "board": "b",
            "device": "0000a1b2",
            "alarm": "a-1",
            "test": False,
            "pressed_at": T0,
            "stages": {"pressed": 0, "received": 40, "acknowledged": 2600},
            "shown": {"sending": 30, "received": 46},
        }
    ]


def test_a_gateway_that_was_quicker_than_the_world() -> None:
    alarms = Alarms()
    alarms.recorded([row("a-1", 12, received=40)])
    alarms.pressed("b", T0, True)
    (document,) = alarms.documents()
    assert (document["pressed_at"], document["stages"]["received"]) == (T0, 40)


def test_the_same_press_seen_again_after_a_new_connection() -> None:
    alarms = Alarms()
    for is_certain in (True, False):
        alarms.pressed("b", T0, is_certain)
    assert len(alarms.documents()) == 1


def test_a_press_that_nobody_saw_become_anything_is_not_shown() -> None:
    alarms = Alarms()
    alarms.pressed("b", T0, False)
    assert alarms.documents() == []
    alarms.lit("b", {"sending": T0 + 30})
    assert len(alarms.documents()) == 1


def test_two_presses_each_find_their_alarm_also_after_a_power_cut() -> None:
    alarms = Alarms()
    alarms.pressed("b", T0, True)
    alarms.pressed("b", T0 + 60_000, True)
    # The age of the first was lost with the power: the gateway only knows that it was not later than this.
    alarms.recorded([row("a-2", 60_010, received=60_040), row("a-1", 50_000, False, received=55_000)])
    assert [(each["alarm"], each["pressed_at"] - T0) for each in alarms.documents()] == [("a-2", 60_000), ("a-1", 0)]


def test_a_word_of_the_light_does_not_come_before_the_one_it_follows() -> None:
    alarms = Alarms()
    alarms.pressed("b", T0, True)
    alarms.lit("b", {"received": T0 + 46})
    alarms.lit("b", {"sending": T0 + 20, "received": T0 + 50})
    (document,) = alarms.documents()
    assert document["shown"] == {"received": 46}


def test_it_is_bounded_and_the_newest_stay() -> None:
    alarms = Alarms()
    for number in range(MOST + 10):
        alarms.pressed("b", T0 + number * 10_000, True)
    documents = alarms.documents()
    assert len(documents) == MOST
    assert documents[0]["pressed_at"] == T0 + (MOST + 9) * 10_000


def test_the_table_says_what_the_documents_say() -> None:
    alarms = Alarms()
    alarms.pressed("b", T0, True)
    alarms.recorded([row("a-1", 12, received=40)])
    alarms.lit("b", {"received": T0 + 46})
    (line,) = csv.DictReader(io.StringIO(as_csv(alarms.documents())))
    assert line["pressed_at"] == "2023-11-14T22:13:20.000+00:00"
    assert (line["pressed"], line["received"], line["closed"], line["light received"]) == ("0", "40.0", "", "46.0")


def test_a_board_reads_a_test_as_a_test() -> None:
    board = Board({"name": "b", "state": "running", "button_pin": 27})
    at, number = T0, 0
    for pattern, times in (("test mode", 2), ("test sending", 2), ("test received", 2)):
        for place, lasts_ms in enumerate(observe.TEST_PATTERNS[pattern][0] * times):
            number += 1
            board.take({"seq": number, "pin": 26, "value": 1 - place % 2, "at": at, "by": "board"})
            if (pattern, place) == ("test sending", 0):
                pressed_at = at
            if pattern == "test sending" and place == 1:  # a tone, as after a light that says "sending"
                number += 1
                board.take({"seq": number, "pwm": 25, "freq": 2000, "duty": 512, "at": at, "by": "board"})
            at += lasts_ms
    assert board.lit_since(pressed_at, at) == {"test sending": pressed_at, "test received": pressed_at + 2000}
    board.restarted()
    assert board.lit_since(pressed_at, at) == {}
