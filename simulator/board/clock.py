"""The board's time: ticks that wrap at 2**30 as on an ESP32, and a calendar that starts in 2000.

The host's ticks_us is CLOCK_MONOTONIC, the same clock that the world stamps its messages with. While an
interrupt handler runs, `edge_us` holds the moment of its edge: a handler that the host's scheduler delayed
still reads the right time.
"""

import time as host

from .parts import Module

PERIOD = 1 << 30
MASK = PERIOD - 1
HALF = PERIOD >> 1
EPOCH_2000 = 946684800  # seconds from 1970 to 2000, the ESP32 port's epoch

_base_us = 0
_edge_us = 0


def start(ticks_ms=0):
    """Set the board's ticks to `ticks_ms` now."""
    global _base_us
    _base_us = host.ticks_us() - ticks_ms * 1000


def at_edge(moment_us):
    """Hold the clock at `moment_us` (host monotonic) while a handler runs; 0 lets it go."""
    global _edge_us
    _edge_us = moment_us


def host_us():
    return _edge_us or host.ticks_us()


def ticks_us():
    return (host_us() - _base_us) & MASK


def ticks_ms():
    return ((host_us() - _base_us) // 1000) & MASK


def ticks_cpu():
    return ticks_us()


def ticks_add(ticks, delta):
    if not -HALF < delta < HALF:
        raise OverflowError("ticks interval overflow")
    return (ticks + delta) & MASK


def ticks_diff(end, begin):
    return ((end - begin + HALF) & MASK) - HALF


def time_ns():
    return (host_us() - _base_us) * 1000


def time():
    """Seconds since 2000-01-01 on a board that nobody has told the time: since its power-on."""
    return (host_us() - _base_us) // 1000000


def gmtime(seconds=None):
    return host.gmtime((time() if seconds is None else int(seconds)) + EPOCH_2000)


def mktime(fields):
    return int(host.mktime(fields)) - EPOCH_2000


class _Time:
    pass


def install(modules):
    """Put the board's `time` into sys.modules; asyncio keeps the host's ticks for its own queue.

    The interpreter's built-in task queue compares with the host's period of 2**62, so asyncio must not see
    masked ticks: it is imported first. Only its limit on the length of a sleep is made the ESP32's.
    """
    import asyncio.core

    host_add = asyncio.core.ticks_add

    def limited_add(ticks, delta):
        if not -HALF < delta < HALF:
            raise OverflowError("ticks interval overflow")
        return host_add(ticks, delta)

    asyncio.core.ticks_add = limited_add
    source = _Time()
    for function in (ticks_ms, ticks_us, ticks_cpu, ticks_add, ticks_diff, time, time_ns, gmtime, mktime):
        setattr(source, function.__name__, function)
    source.localtime = gmtime
    source.sleep = host.sleep
    source.sleep_ms = host.sleep_ms
    source.sleep_us = host.sleep_us
    modules["time"] = modules["utime"] = Module("time", source, "../clock")
