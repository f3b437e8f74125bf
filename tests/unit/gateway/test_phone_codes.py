"""One-time codes: once, for ten minutes, five tries, and not many."""

from __future__ import annotations

import pytest

from gateway.phone.codes import GOOD_S, HOUR_S, MOST_ALL, MOST_FROM, MOST_TO, MOST_TRIES, Codes, TooMany


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_code_is_good_once_and_for_a_while() -> None:
    clock = Clock()
    codes = Codes(clock)
    digits = codes.ask("siti@example.org", "a")
    assert (len(digits), digits.isdigit()) == (6, True)
    assert not codes.is_right("budi@example.org", digits)
    assert codes.is_right("siti@example.org", digits)
    assert not codes.is_right("siti@example.org", digits)
    digits = codes.ask("siti@example.org", "a")
    clock.now += GOOD_S
    assert not codes.is_right("siti@example.org", digits)


def test_nobody_guesses_for_long() -> None:
    codes = Codes(Clock())
    digits = codes.ask("siti@example.org", "a")
    wrong = "000000" if digits != "000000" else "000001"
    for _ in range(MOST_TRIES):
        assert not codes.is_right("siti@example.org", wrong)
    assert not codes.is_right("siti@example.org", digits)


def test_nobody_asks_for_many() -> None:
    clock = Clock()
    codes = Codes(clock)
    for _ in range(MOST_TO):
        codes.ask("siti@example.org", "a")
    with pytest.raises(TooMany):
        codes.ask("siti@example.org", "b")
    for number in range(MOST_FROM - MOST_TO):
        codes.ask(f"{number}@example.org", "a")
    with pytest.raises(TooMany):
        codes.ask("another@example.org", "a")
    for number in range(MOST_ALL - MOST_FROM):
        codes.ask(f"{number}@example.com", f"address {number}")
    with pytest.raises(TooMany):
        codes.ask("last@example.org", "c")
    clock.now += HOUR_S
    codes.ask("siti@example.org", "a")
