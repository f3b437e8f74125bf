"""Deep sleep of an ESP32. Loaded only on a button that sleeps deeply."""

import time

import machine

from hal.sleep import Sleep
from panic.ticks import ticks_add, ticks_ms

WAKING_MS = 600  # from the pin that ends deep sleep to the button: 640 to 690 ms to main.py were measured


class Deep(Sleep):
    """Also sleeps so that the chip starts anew."""

    def deep(self, ms, memory):
        """Sleep at most ms; then, or when the contact closes, the chip starts anew and finds the bytes `memory`."""
        machine.RTC().memory(memory)
        self._arm()
        machine.deepsleep(ms)

    def memory(self):
        """What deep() was given, after it; else b""."""
        return machine.RTC().memory() if machine.reset_cause() == machine.DEEPSLEEP_RESET else b""

    def clock_s(self):
        """Seconds of a clock that goes on in deep sleep; only differences mean anything."""
        return time.time()


def started(button):
    """After deep sleep. When the contact ended it, it closed before the start, and is none that was closed always."""
    if machine.wake_reason() == machine.PIN_WAKE:
        button.began_down = False
        button.put(ticks_add(ticks_ms(), -WAKING_MS), 1)
        if not button.is_down():
            button.put(ticks_ms(), 0)
