"""What a person is told of a story, and how fast: the scene, its words, and the pace."""

from __future__ import annotations

import threading
import time
from typing import Any

from simulator.panel.words import story_words
from simulator.scenario.model import Scenario
from simulator.scenario.pace import Pace
from simulator.scenario.report import PROMISES
from simulator.scenario.scene import KEYS, Scene

WORDS = story_words(lambda text: text)
SITE = [-6.9932, 110.4203]


def scene(**button: Any) -> Scene:
    story = {"title": "A story", "story": "Something happens to buttons here.", "length_s": 100}
    return Scene(Scenario.model_validate({**story, "buttons": [{"name": "a", "site": SITE, **button}]}))


def entry(at_s: float, who: str, what: str, **fields: Any) -> dict[str, Any]:
    return {"at_us": int(at_s * 1e6), "who": who, "what": what, **fields}


def test_everything_that_happens_has_words() -> None:
    assert {key.removeprefix("event.") for key in WORDS if key.startswith("event.")} == set(KEYS)
    assert {key.removeprefix("promise."): text for key, text in WORDS.items() if key.startswith("promise.")} == PROMISES


def test_a_press_and_what_comes_of_it() -> None:
    one = scene()
    said = [one.see(entry(1, "a", "power", on=True, cause="power")), one.see(entry(1.7, "a", "boot", value={}))]
    for number in range(3):
        said.append(one.see(entry(10 + number * 0.3, "a", "thumb", level=0)))
        said.append(one.see(entry(10.09 + number * 0.3, "a", "thumb", level=1)))
    said.append(one.see(entry(10.63, "a", "console", text="sigap: alarm 7")))
    said.append(one.see(entry(10.64, "a", "pin", pin=26, value=1)))
    said.append(one.see(entry(10.65, "gateway", "opened", incident=1, device="a", actor="", activation=7)))
    said.append(one.see(entry(20.6, "gateway", "acknowledged", incident=1, device="a", actor="x")))
    assert [each["key"] for each in said if each] == [
        *("power.up", "press", "alarm", "stage.received", "stage.acknowledged")
    ]
    (board,) = one.boards(20_600_000)
    assert board["led"]
    assert board["stages"] == {"received": 0.05, "acknowledged": 10.0}
    assert board["position"] == SITE
    one.see(entry(30, "a", "power", on=False))
    (board,) = one.boards(30_000_000)
    assert (board["state"], board["led"], board["word"]) == ("off", False, None)


def test_buttons_of_one_place_are_drawn_apart_and_a_track_is_followed() -> None:
    places = {tuple(board["position"]) for board in scene(count=50).boards(0)}
    assert len(places) == 50
    moving = scene(site=None, track=[[0, -7.0, 110.0], [100, -6.0, 110.0]])
    assert [round(moving.boards(int(at * 1e6))[0]["position"][0], 3) for at in (0, 50, 100)] == [-7.0, -6.5, -6.0]


def test_a_line_and_services_are_bad_and_well_again() -> None:
    one = scene()
    keys = [
        (one.see(entry(1, "a", "network", loss=0.4)) or {})["key"],
        (one.see(entry(2, "a", "network", loss=0.0)) or {})["key"],
        (one.see(entry(3, "gateway", "disk-full")) or {})["key"],
        (one.see(entry(4, "broker", "killed", waiting=1)) or {})["key"],
    ]
    assert keys == ["line.bad", "line.well", "gateway.full", "broker.gone"]
    assert one.services == {"broker": "gone", "gateway": "full", "police": "running", "relatives": "running"}


def test_a_pace_waits_stands_still_and_lets_go() -> None:
    ticks: list[int] = []
    pace = Pace(100.0, ticks.append)
    began = time.monotonic()
    pace.until(30_000_000)
    assert 0.29 < time.monotonic() - began < 5
    assert ticks == sorted(ticks)
    assert ticks[-1] <= 30_000_000
    pace.set(0.0)
    waiting = threading.Thread(target=pace.until, args=(31_000_000,))
    waiting.start()
    waiting.join(0.3)
    assert waiting.is_alive()
    pace.set(None)
    waiting.join(5)
    assert not waiting.is_alive()
    pace.until(10**15)  # as fast as it goes
