"""Deep sleep of an ESP32. Loaded only on a button that sleeps deeply."""

import time

import machine

from hal.sleep import Sleep


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
