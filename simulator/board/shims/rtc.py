"""The virtual board's `machine.RTC`: its calendar, and memory that outlives all but a loss of power.

The calendar begins in 2000 with each start but the end of a deep sleep.
"""

import binascii

from .. import clock
from ..parts import Part

MEMORY_BYTES = 2048

_link = None
_memory = b""


class RTC(Part):
    _kind = "machine.RTC"

    def __init__(self, id=0):
        pass

    def datetime(self, fields=None):
        """(year, month, day, weekday, hours, minutes, seconds, microseconds), as the ESP32 port has it."""
        if fields is not None:
            year, month, day, _, hour, minute, second, _ = fields
            clock.set_time(clock.mktime((year, month, day, hour, minute, second, 0, 0)))
            return None
        year, month, day, hour, minute, second, weekday = clock.gmtime()[:7]
        return (year, month, day, weekday, hour, minute, second, 0)

    def memory(self, data=None):
        global _memory
        if data is None:
            return _memory
        if len(data) > MEMORY_BYTES:
            raise ValueError("buffer too long")
        _memory = bytes(data)
        _link.send('{"rtc":"%s"}' % binascii.hexlify(_memory).decode())


def install(link, memory):
    """memory: hex."""
    global _link, _memory
    _link = link
    _memory = binascii.unhexlify(memory)
