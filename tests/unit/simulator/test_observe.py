"""The observer of the light language, against pin logs made from the specification's figures."""

from __future__ import annotations

import random
from typing import Any

import pytest

from simulator import observe

SPOKEN = {
    "sending": (80, 170),
    "received": (1000, 1000),
    "acknowledged": (200, 200, 200, 1000),
    "not received": (600, 200),
    "cancelled": (100, 100, 100, 700),
}
T0 = 1_700_000_000_000.0


class Light:
    """A lamp that is told a word and for how long, and logs the edges; each may be `late_ms` late."""

    def __init__(self, late_ms: float = 0, seed: int = 1) -> None:
        self.log: list[dict[str, Any]] = []
        self.now, self._late_ms, self._chance = T0, late_ms, random.Random(seed)
        self.set(0)

    def set(self, value: int) -> None:
        late = self._chance.uniform(0, self._late_ms)
        at = max(self.now + late, self.log[-1]["at"] if self.log else 0.0)
        self.log.append({"pin": 26, "value": value, "at": at, "by": "board"})

    def say(self, word: str, for_ms: float) -> float:
        """Say it from now on; returns when that began."""
        began, end = self.now, self.now + for_ms
        if word in ("off", "dispatched"):
            self.set(int(word == "dispatched"))
            self.now = end
            return began
        while True:
            for place, length in enumerate(SPOKEN[word]):
                self.set(1 - place % 2)
                self.now += length
                if self.now > end:
                    self.now = end
                    return began

    def words(self) -> list[observe.Said]:
        return observe.words(self.log, until=self.now)


@pytest.mark.parametrize("word", observe.WORDS)
@pytest.mark.parametrize("late_ms", [0, 20])
def test_one_word(word: str, late_ms: float) -> None:
    light = Light(late_ms)
    light.now += 500
    began = light.say(word, 8010)
    light.say("off", 3000)
    (said,) = light.words()
    assert said.word == word
    assert said.at == pytest.approx(began, abs=late_ms)


@pytest.mark.parametrize("seed", range(40))
def test_a_whole_alarm_with_changes_at_any_moment(seed: int) -> None:
    chance = random.Random(seed)
    light = Light(late_ms=8, seed=seed)
    light.now += 700
    began = [(word, light.say(word, chance.uniform(4000, 6000))) for word in ("sending", "received", "acknowledged")]
    began.append(("dispatched", light.say("dispatched", 4000)))
    light.say("off", 2000)
    said = light.words()
    assert [one.word for one in said] == [word for word, _ in began]
    for one, (_, at) in zip(said, began, strict=True):
        assert at - 25 <= one.at <= at + 1650, "never before it was said; at the latest with its second pattern"


def test_a_receipt_that_comes_within_the_first_flash() -> None:
    light = Light()
    pressed = light.say("sending", 5)
    received = light.say("received", 6010)
    (said,) = light.words()
    assert said.word == "received"
    assert said.at == pytest.approx(received)
    assert said.at > pressed, "not the edge of the other word"


def test_the_steady_light_is_not_seen_before_the_other_words_light_would_have_gone_out() -> None:
    light = Light()
    light.say("received", 4300)
    dispatched = light.say("dispatched", 5000)
    assert [one.word for one in light.words()] == ["received", "dispatched"]
    assert light.words()[1].at == pytest.approx(dispatched + 700)


def test_fragments_say_nothing() -> None:
    assert observe.words([]) == []
    light = Light()
    light.say("received", 990)
    light.say("off", 100)
    light.say("acknowledged", 500)
    light.say("off", 500)
    assert light.words() == []


def test_a_second_alarm_is_said_again() -> None:
    light = Light()
    light.say("sending", 2000)
    light.say("off", 5000)
    light.say("sending", 2000)
    light.say("off", 2000)
    assert [one.word for one in light.words()] == ["sending", "sending"]
    assert observe.first(light.log)["sending"] == light.words()[0].at
    assert observe.first(light.log, since=T0 + 5000)["sending"] == light.words()[1].at


def test_the_thumb_is_not_the_light() -> None:
    log = [
        {"pin": 26, "value": 1, "at": T0, "by": "world"},
        {"pin": 26, "value": 0, "at": T0 + 3000, "by": "world"},
    ]
    assert observe.words(log) == []
    assert observe.quiet(log)


def tone(at: float, duty: int) -> dict[str, Any]:
    return {"pwm": 25, "freq": 2000, "duty": duty, "at": at, "by": "board"}


def test_a_receipt_within_the_first_flash_still_shows_that_sending_came_first() -> None:
    log = [
        {"pin": 26, "value": 1, "at": T0, "by": "board"},
        tone(T0 + 11, 512),  # the receipt's one tone
        tone(T0 + 211, 0),
        {"pin": 26, "value": 0, "at": T0 + 1011, "by": "board"},
        {"pin": 26, "value": 1, "at": T0 + 2011, "by": "board"},
        {"pin": 26, "value": 0, "at": T0 + 3011, "by": "board"},
    ]
    assert observe.first(log) == {"sending": T0, "received": T0 + 11}
    together = [*log[1:2], *log[:1], *log[2:]]
    together[0]["at"] = T0  # lit with the tone: it said "received" from its first moment
    assert "sending" not in observe.first(together)


def test_the_buzzer_is_counted() -> None:
    log = [tone(T0, 0)]
    for start in (1000, 4000, 4400, 9000, 9400, 9800):
        log += [tone(T0 + start, 512), tone(T0 + start + 200, 0), tone(T0 + start + 200, 0)]
    assert observe.buzzes(log) == [(1, T0 + 1000), (2, T0 + 4000), (3, T0 + 9000)]
    assert all(ms == 200 for _, ms in observe.tones(log))
    assert observe.tones([tone(T0, 512)]) == [(T0, None)]
    assert not observe.quiet(log)
    assert observe.quiet([tone(T0, 0), {"pin": 26, "value": 0, "at": T0, "by": "board"}])


@pytest.mark.parametrize("word", observe.WORDS)
def test_what_it_says_now(word: str) -> None:
    light = Light()
    light.now += 3000
    assert observe.says_now(light.log, light.now) is None
    light.say(word, 8010)
    # At every moment of it, it says this or (before its first whole pattern) nothing; never another word.
    began = T0 + 3000
    heard = [observe.says_now([e for e in light.log if e["at"] <= at], at) for at in range(int(began), int(light.now))]
    assert set(heard[:2500]) <= {word, None}
    assert set(heard[2500:]) == {word}
    light.say("off", 3000)
    assert observe.says_now(light.log, light.now) is None
