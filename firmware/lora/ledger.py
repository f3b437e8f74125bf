"""What a radio has sent in the last hour, so that it keeps the region's rules and says when it must wait.

Counted in minutes of the caller's own clock, 61 of them, so that a minute counts until all of it is over an hour old:
the sum is never too small, and too great by a minute's share at most. Bursts are allowed; what counts is the hour.
"""

from array import array

HOUR_MIN = 60
_SLOTS = HOUR_MIN + 1


class Ledger:
    """duty_permille: the share of any hour that may be sent; 10 is 1 %. dwell_ms: the longest transmission (0: any).

    spare_permille: how much of that share is kept for what is urgent.
    """

    def __init__(self, duty_permille=10, dwell_ms=400, spare_permille=500):
        self.limit_ms = 3600 * duty_permille
        self.dwell_ms = dwell_ms
        self._spare_ms = self.limit_ms * spare_permille // 1000
        self._sent = array("H", bytes(2 * _SLOTS))
        self._minute = 0

    def used_ms(self, now_s):
        """Airtime that counts now. now_s: seconds of a clock that never goes back."""
        self._turn(now_s)
        return sum(self._sent)

    def wait_s(self, now_s, airtime_ms, urgent=False):
        """Seconds until so much may be sent; 0: now. None: never, as it is longer than the region's dwell time."""
        if self.dwell_ms and airtime_ms > self.dwell_ms:
            return None
        limit = self.limit_ms if urgent else self.limit_ms - self._spare_ms
        over = self.used_ms(now_s) + airtime_ms - limit
        if over <= 0:
            return 0
        # The oldest minutes go first.
        for ago in range(HOUR_MIN, -1, -1):
            if ago > self._minute:
                continue
            over -= self._sent[(self._minute - ago) % _SLOTS]
            if over <= 0:
                return (self._minute - ago + _SLOTS) * 60 - now_s
        return None

    def sent(self, now_s, airtime_ms):
        """So much was sent now."""
        self._turn(now_s)
        at = self._minute % _SLOTS
        self._sent[at] = min(self._sent[at] + airtime_ms, 0xFFFF)

    def _turn(self, now_s):
        minute = now_s // 60
        for passed in range(self._minute + 1, min(minute, self._minute + _SLOTS) + 1):
            self._sent[passed % _SLOTS] = 0
        if minute > self._minute:
            # After a longer pause all are empty, whichever comes next.
            self._minute = minute
