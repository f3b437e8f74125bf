"""The push button: its interrupt puts edges with their time into a ring, asyncio takes them out."""

import asyncio
from array import array

from machine import Pin

from panic.ticks import ticks_ms

_SIZE = 64  # a power of two
_MASK = _SIZE - 1


class Button:
    """take() gives (ticks, down) or None; flag wakes who waits; lost counts edges that found no
    room; began_down: the contact was closed already when the interrupt was set.

    On an ESP32 Pin.irq is scheduled, not hard: it may come late and read the level of a later moment. Presses
    (panic/presses.py) is made for that. _edge allocates nothing, so it may run during a collection.
    """

    def __init__(self, pin, pull_up=True, active_low=True):
        self.flag = asyncio.ThreadSafeFlag()
        self.lost = 0
        self._active = 0 if active_low else 1
        self._ticks = array("I", [0] * _SIZE)
        self._down = bytearray(_SIZE)
        self._head = 0
        self._tail = 0
        if pull_up:
            self._pin = Pin(pin, Pin.IN, Pin.PULL_UP)
        else:
            self._pin = Pin(pin, Pin.IN)
        self.began_down = self.is_down()
        self._pin.irq(handler=self._edge, trigger=Pin.IRQ_FALLING | Pin.IRQ_RISING)

    def _edge(self, pin):
        head = self._head
        following = (head + 1) & _MASK
        if following == self._tail:
            self.lost += 1
        else:
            self._ticks[head] = ticks_ms()
            self._down[head] = 1 if pin.value() == self._active else 0
            self._head = following
        self.flag.set()

    def take(self):
        """The oldest edge not taken yet, (ticks, down), or None."""
        tail = self._tail
        if tail == self._head:
            return None
        edge = (self._ticks[tail], self._down[tail] == 1)
        self._tail = (tail + 1) & _MASK
        return edge

    def is_down(self):
        """The contact is closed now."""
        return self._pin.value() == self._active
