"""The last fix in RTC memory, which outlives deep sleep; it goes nowhere else. Loaded only for deep sleep."""

import struct

from panic.ticks import ticks_ms

# Check-ins since the last fix, latitude, longitude, accuracy, age in s, clock in s.
_RECORD = ">BiiHIi"
_NO_FIX = -0x80000000
_UNKNOWN = 0xFFFF
_MOST_S = 400000  # an older fix says nothing, and panic.ticks ends at 6.2 days


def pack(sleep, position, misses):
    """The record of now. sleep: hal.sleep.Deep; position: panic.position.Position."""
    lat, lon, accuracy, age_s = position.current(ticks_ms()) or (_NO_FIX, 0, None, 0)
    accuracy = _UNKNOWN if accuracy is None else min(accuracy, _UNKNOWN - 1)
    return struct.pack(_RECORD, misses, lat, lon, accuracy, age_s, sleep.clock_s())


def restore(sleep, position):
    """Give the position what was kept, with its age as of now; returns the misses."""
    memory = sleep.memory()
    if len(memory) != struct.calcsize(_RECORD):
        return 0
    misses, lat, lon, accuracy, age_s, clock_s = struct.unpack(_RECORD, memory)
    age_s += sleep.clock_s() - clock_s
    if lat != _NO_FIX and 0 <= age_s < _MOST_S:
        position.restore(lat, lon, None if accuracy == _UNKNOWN else accuracy, age_s, ticks_ms())
    return misses
