"""The calendar clock, which starts in 2000 when nobody has set it. Only TLS asks for it: is a certificate valid now?

Until the gateway has told the time, what it says is a least value: the time is that or later. So a certificate that is
not valid *yet* may be valid all the same, while one that has expired has expired. forward() is for the first kind.
"""

import time

from machine import RTC

STEP_S = 20 * 86400  # shorter than the shortest validity of a certificate that one would put on a broker
LAST_S = 2524608000  # 2050: a certificate that begins later is a mistake
_EPOCH_S = 946684800 if time.gmtime(0)[0] == 2000 else 0  # of this port's time(), in Unix seconds

known = False


def now_s():
    """Unix seconds, as far as known."""
    return time.time() + _EPOCH_S


def at_least(unix_s):
    """The time is this or later."""
    if unix_s > now_s():
        _set(unix_s)


def told(unix_s):
    """Somebody who may do so has told the time."""
    global known
    known = True
    _set(unix_s)


def forward():
    """A certificate is not valid yet, and is right otherwise: 20 days on, until it is. Not when the time is known."""
    if not known and now_s() < LAST_S:
        _set(now_s() + STEP_S)


def _set(unix_s):
    year, month, day, hour, minute, second, weekday = time.gmtime(int(unix_s) - _EPOCH_S)[:7]
    RTC().datetime((year, month, day, weekday, hour, minute, second, 0))
