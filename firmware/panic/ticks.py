"""Milliseconds that wrap at 2**30, as on the ESP32, wherever the code runs.

The unix port of MicroPython wraps at 2**62 and CPython has no ticks at all, so both would hide mistakes that
show on a board after twelve days. A difference is right up to 2**29 ms, which is 6.2 days.
"""

import time

PERIOD = 1 << 30
_MASK = PERIOD - 1
_HALF = 1 << 29

if hasattr(time, "ticks_ms"):

    def ticks_ms():
        """Now, in 0 .. 2**30 - 1. Allocates nothing: interrupts call it."""
        return time.ticks_ms() & _MASK  # pyright: ignore[reportOperatorIssue]

else:

    def ticks_ms():
        """Now, in 0 .. 2**30 - 1."""
        return time.monotonic_ns() // 1000000 & _MASK  # pyright: ignore[reportAttributeAccessIssue]


def ticks_add(ticks, delta_ms):
    """ticks moved by delta_ms, which may be negative."""
    return (ticks + delta_ms) & _MASK


def ticks_diff(later, earlier):
    """Milliseconds from earlier to later; negative when `later` comes before."""
    delta = (later - earlier) & _MASK
    # Twice, because 2**30 itself is no small integer on a 32-bit chip.
    return (delta - _HALF) - _HALF if delta >= _HALF else delta


def least(waits):
    """The least of some waits in ms, of which None are without end; None when all are."""
    waits = [ms for ms in waits if ms is not None]
    return min(waits) if waits else None


class Elapsed:
    """A length of time that outlives the wrap, as long as ms() is asked at least every six days."""

    def __init__(self, now, ms=0):
        self._ms = ms
        self._seen = now

    def ms(self, now):
        """Milliseconds so far. Never goes back."""
        step = ticks_diff(now, self._seen)
        if step > 0:
            self._ms += step
            self._seen = now
        return self._ms
