"""Watchdog, reset and its cause."""

import machine

# Longer than a DNS look-up that blocks (lwIP gives up after about 14 s), shorter than a person's patience.
WATCHDOG_MS = 30000


class Power:
    """feed() starts the watchdog the first time; on an ESP32 nothing can stop it after that."""

    def __init__(self):
        self._watchdog = None

    def feed(self):
        """I am alive; once in WATCHDOG_MS, or the chip resets."""
        if self._watchdog is None:
            self._watchdog = machine.WDT(timeout=WATCHDOG_MS)
        self._watchdog.feed()

    def reset(self):
        """Reset the chip now."""
        machine.reset()

    def reset_cause(self):
        """machine.reset_cause() as it is; ESP32: 1 power-on, 2 hard, 3 watchdog, 4 deep sleep, 5 soft."""
        return machine.reset_cause()
