"""Where the device is, as far as GPS knows: the last fix with its age and accuracy. Never waits for one."""

from panic.ticks import Elapsed

# Range error of a plain GNSS receiver under open sky, one sigma; times HDOP it gives the accuracy to expect.
# (Kaplan and Hegarty, Understanding GPS/GNSS, 3rd edition, chapter 10: some 4 to 7 m with one frequency.)
RANGE_ERROR_M = 5
FRESH_S = 10


class Position:
    """take(sentence, now) with what nmea.py read; current(now) at any time. The fix lives in RAM only."""

    def __init__(self):
        self._lat_e7 = None
        self._lon_e7 = None
        self._accuracy_m = None
        self._hdop_x10 = None
        self._age = None

    def take(self, sentence, now):
        """A new sentence. One that has no fix takes nothing away: the old fix only grows older."""
        if sentence.hdop_x10 is not None and sentence.valid:
            self._hdop_x10 = sentence.hdop_x10
        if not sentence.valid:
            self._hdop_x10 = None
            return
        if sentence.lat_e7 is not None:
            self._lat_e7 = sentence.lat_e7
            self._lon_e7 = sentence.lon_e7
            self._age = Elapsed(now)
            self._accuracy_m = None if sentence.estimated else self._estimate()

    def _estimate(self):
        if not self._hdop_x10:
            return None
        return (self._hdop_x10 * RANGE_ERROR_M + 9) // 10

    def current(self, now):
        """(lat_e7, lon_e7, accuracy_m or None, fix_age_s), or None when there has been no fix."""
        if self._age is None:
            return None
        return self._lat_e7, self._lon_e7, self._accuracy_m, self._age.ms(now) // 1000

    def restore(self, lat_e7, lon_e7, accuracy_m, age_s, now):
        """The last fix of before a deep sleep, which RTC memory has kept."""
        self._lat_e7, self._lon_e7, self._accuracy_m = lat_e7, lon_e7, accuracy_m
        self._age = Elapsed(now, age_s * 1000)

    def has_fix(self, now):
        """The receiver has a fix now (it said so within FRESH_S)."""
        return self._age is not None and self._age.ms(now) < FRESH_S * 1000
