"""Finds the third presses in the edges of a button's contact, from outside: knows nothing of the firmware.

The gesture: three presses, at most 1 s from one to the next and 2 s in all. A level counts when it has stood for 30 ms.
"""

from __future__ import annotations

DEBOUNCE_MS, GAP_MS, WINDOW_MS = 30.0, 1000.0, 2000.0
PRESSES = 3


class Thumb:
    """Feed edge(), and settle() as time goes by; both return the third presses found since. Unix ms."""

    def __init__(self) -> None:
        self._is_down = self._raw = False
        self._moved_at = self._raw_at = 0.0
        self._is_settling = False
        self._gesture: list[float] = []

    def edge(self, at: float, is_down: bool) -> list[float]:
        """The contact closed (is_down) or opened."""
        found = self.settle(at)
        if not self._is_settling:
            self._is_settling, self._moved_at = True, at
        self._raw, self._raw_at = is_down, at
        return found

    def settle(self, now: float) -> list[float]:
        """Time has come to `now`."""
        if not self._is_settling or now - self._raw_at < DEBOUNCE_MS:
            return []
        self._is_settling = False
        if self._raw == self._is_down:
            return []
        self._is_down = self._raw
        return self._press(self._moved_at) if self._is_down else []

    def _press(self, at: float) -> list[float]:
        if self._gesture and at - self._gesture[-1] > GAP_MS:
            self._gesture = []
        self._gesture = [each for each in self._gesture if at - each <= WINDOW_MS] + [at]
        if len(self._gesture) < PRESSES:
            return []
        self._gesture = []
        return [at]
