"""The push button: its interrupt puts edges with their time into a ring, asyncio takes them out."""

import asyncio
from array import array

from machine import Pin

from panic.ticks import ticks_ms

try:
    from machine import Counter
except ImportError:  # MicroPython before 1.27, or a chip without PCNT: what is lost while nothing runs stays lost
    Counter = None

_SIZE = 64  # a power of two
_MASK = _SIZE - 1
_FILTER_NS = 12000  # nearly the longest that PCNT can (1023 cycles at 80 MHz): sparks, not the contact's chatter


class Button:
    """take() gives (ticks, down) or None; flag wakes who waits; lost counts edges that found no
    room; began_down: the contact was closed already when the interrupt was set.

    On an ESP32 Pin.irq is scheduled, not hard: it may come late and read the level of a later moment. Presses
    (panic/presses.py) is made for that. _edge allocates nothing, so it may run during a collection.
    """

    def __init__(self, pin, pull_up=True, active_low=True):
        self.flag = asyncio.ThreadSafeFlag()
        self.lost = 0
        self.active = 0 if active_low else 1
        self._ticks = array("I", [0] * _SIZE)
        self._down = bytearray(_SIZE)
        self._head = 0
        self._tail = 0
        self.mode = (Pin.IN, Pin.PULL_UP) if pull_up else (Pin.IN,)
        self.pin = Pin(pin, *self.mode)
        self.began_down = self.is_down()
        self.listen()
        self._marked = self._counter = None
        if Counter:
            self._counter = Counter(
                0, self.pin, edge=Counter.FALLING if active_low else Counter.RISING, filter_ns=_FILTER_NS
            )

    def listen(self):
        """Hear its edges, from now on or again (hal/sleep.py)."""
        self.pin.irq(handler=self._edge, trigger=Pin.IRQ_FALLING | Pin.IRQ_RISING)

    def _edge(self, pin):
        self.put(ticks_ms(), 1 if pin.value() == self.active else 0)
        self.flag.set()

    def put(self, ticks, down):
        """An edge."""
        head = self._head
        following = (head + 1) & _MASK
        if following == self._tail:
            self.lost += 1
        else:
            self._ticks[head] = ticks
            self._down[head] = down
            self._head = following

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
        return self.pin.value() == self.active

    def is_quiet(self):
        """No edge waits to be taken."""
        return self._tail == self._head

    def mark(self):
        """From here on nothing may run for a while; then ask counted()."""
        if self._counter and self._marked is None:
            self._marked = (self._counter.value(), self._head, ticks_ms())
            self.flag.set()

    def counted(self):
        """(closings, ticks of mark()) since mark(), which are told once; None when there were none.

        The edges since are forgotten: they carry time and level of the end.
        """
        if self._marked is None:
            return None
        count, head, since = self._marked
        self._marked = None
        closings = self._counter.value() - count
        if not closings:
            return None
        self._head = head
        return closings, since
