"""Light and deep sleep of an ESP32. Loaded only on a button that sleeps.

What wakes is a level on the button's pin (ext0, the RTC's, so it needs no clock) or the timer. While asleep no bytecode
runs, no Pin.irq, no UART receives and PCNT stands still; machine.lightsleep must find the WiFi off, or loses it.
"""

import esp32
import machine
import network

from panic.ticks import ticks_ms

SLICE_MS = 20000  # less than hal.power.WATCHDOG_MS: whether the watchdog runs in light sleep depends on chip and IDF


class Sleep:
    """board: hal.board.Board."""

    def __init__(self, board):
        self._board = board
        self._button = board.button

    def radio_off(self):
        """WiFi off; wifi.run() starts it again."""
        network.WLAN(network.STA_IF).active(False)

    def light(self, ms):
        """Sleep until the contact moves, or at most ms. True: it was the contact; its edge is in the button's ring."""
        while ms > 0:
            self._board.feed()
            down = not self._arm()
            machine.lightsleep(min(ms, SLICE_MS))
            ms -= SLICE_MS
            if self._awake(down):
                self._board.feed()
                return True
        self._board.feed()
        return False

    def _arm(self):
        # A contact that is stuck would wake the chip at once, for ever: then its opening does.
        button = self._button
        is_down = button.is_down()
        level = button.active if not is_down else 1 - button.active
        esp32.wake_on_ext0(button.pin, esp32.WAKEUP_ANY_HIGH if level else esp32.WAKEUP_ALL_LOW)
        return is_down

    def _awake(self, down):
        """True: the contact has become `down`. Its edge, which no interrupt saw, is taken as now."""
        button = self._button
        by_contact = machine.wake_reason() == machine.PIN_WAKE
        # ext0 has made the pin the RTC's: a mode gives it back, and its interrupt is set anew.
        button.pin.init(*button.mode)
        button.listen()
        if by_contact:
            button.put(ticks_ms(), 1 if down else 0)
        if by_contact or button.is_down() == down:
            if button.is_down() != down:
                button.put(ticks_ms(), 0 if down else 1)  # it has moved back already: chatter, or a spark
            button.flag.set()
            return True
        return False
