"""The virtual board's `machine.RTC`: the calendar clock, which a reset puts back to 2000 here."""

from .. import clock
from ..parts import Part


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
