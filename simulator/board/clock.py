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
_set_s = 0  # what the calendar is ahead: RTC.datetime, or from before deep sleep
_edge_us = 0
_now_us = host.ticks_us
_sleep_us = host.sleep_us


def start(ticks_ms=0, now_us=None, sleep_us=None, clock_s=0):
    """Set the board's ticks to `ticks_ms` now. now_us, sleep_us: another clock than the host's.

    clock_s: what its calendar has counted before; it goes on in deep sleep.
    """
    global _base_us, _now_us, _sleep_us, _set_s
    _set_s = clock_s
    _now_us, _sleep_us = now_us or _now_us, sleep_us or _sleep_us
    _base_us = _now_us() - ticks_ms * 1000


def at_edge(moment_us):
    """Hold the clock at `moment_us` (host monotonic) while a handler runs; 0 lets it go."""
    global _edge_us
    _edge_us = moment_us


def host_us():
    return _edge_us or _now_us()


def sleep(seconds):
    _sleep_us(int(seconds * 1000000))


def sleep_ms(ms):
    _sleep_us(ms * 1000)


def sleep_us(us):
    _sleep_us(us)


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
    """Seconds since 2000-01-01; on a board that nobody has told the time: since its power-on."""
    return (host_us() - _base_us) // 1000000 + _set_s


def set_time(seconds):
    """RTC.datetime: it is so many seconds since 2000-01-01 now."""
    global _set_s
    _set_s += seconds - time()


def gmtime(seconds=None):
    return host.gmtime((time() if seconds is None else int(seconds)) + EPOCH_2000)


def mktime(fields):
    return int(host.mktime(fields)) - EPOCH_2000


class _Time:
    pass


def module():
    """The board's `time`."""
    source = _Time()
    for function in (ticks_ms, ticks_us, ticks_cpu, ticks_add, ticks_diff, time, time_ns, gmtime, mktime):
        setattr(source, function.__name__, function)
    source.localtime = gmtime
    source.sleep, source.sleep_ms, source.sleep_us = sleep, sleep_ms, sleep_us
    return Module("time", source, "../clock")


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
    modules["time"] = modules["utime"] = module()
