"""One-time codes: that a mail address or a number is the person's own. Kept in memory: after a restart another is asked
for. Bounded everywhere, as anybody may ask."""

from __future__ import annotations

import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass

GOOD_S = 600.0
MOST_TRIES = 5
HOUR_S = 3600.0
MOST_TO, MOST_FROM, MOST_ALL = 3, 20, 500  # codes in an hour: to one address, asked for from one, and all


class TooMany(Exception):
    """Too many codes were asked for within the hour."""


@dataclass
class _Code:
    digits: str
    until: float
    tries: int = 0


class Codes:
    """ask() and is_right() on the event loop. clock: seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._codes: dict[str, _Code] = {}
        self._asked: list[tuple[float, str, str]] = []

    def ask(self, to: str, address: str) -> str:
        """Six digits to be sent to `to`, good for ten minutes, in place of any before. TooMany."""
        now = self._clock()
        self._asked = [each for each in self._asked if each[0] > now - HOUR_S]
        self._codes = {name: code for name, code in self._codes.items() if code.until > now}
        to_one = sum(1 for each in self._asked if each[1] == to)
        from_one = sum(1 for each in self._asked if each[2] == address)
        if to_one >= MOST_TO or from_one >= MOST_FROM or len(self._asked) >= MOST_ALL:
            raise TooMany
        self._asked.append((now, to, address))
        digits = f"{secrets.randbelow(1_000_000):06}"
        self._codes[to] = _Code(digits, now + GOOD_S)
        return digits

    def is_right(self, to: str, digits: str) -> bool:
        """Whether these were sent there; they are used up then, and after five wrong ones: once in 200,000 a guess."""
        code = self._codes.get(to)
        if code is None or code.until <= self._clock():
            return False
        code.tries += 1
        right = hmac.compare_digest(code.digits.encode(), digits.encode())
        if right or code.tries >= MOST_TRIES:
            del self._codes[to]
        return right
