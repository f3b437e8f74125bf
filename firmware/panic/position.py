"""Where the device is, as far as GPS knows: the last fix that can be believed, its age and accuracy. Never waits for
one.

A fix farther from the last than anybody can go is not believed until it has persisted for PERSIST_MS: a reflection is
gone by then; who deceives a receiver for longer wins, as NMEA shows nothing of it, but the jump has been told. The
fix lives in RAM only.
"""

import math

from panic.ticks import Elapsed

# Range error of a plain GNSS receiver under open sky, one sigma; times HDOP it gives the accuracy to expect.
# (Kaplan and Hegarty, Understanding GPS/GNSS, 3rd edition, chapter 10: some 4 to 7 m with one frequency.)
RANGE_ERROR_M = 5
FRESH_MS = 10000
FASTEST_M_S = 70
ROOM_M = 100  # of two fixes without accuracy, and of the sigmas beyond one
PERSIST_MS = 60000


def metres(lat_e7, lon_e7, lat2_e7, lon2_e7):
    """Whole metres between two places; right to 1 % over what a person travels in a day. Less than some 50 m is 0."""
    east = abs(lon_e7 - lon2_e7)
    if east + abs(lat_e7 - lat2_e7) < 4500:
        return 0  # asked once a second: mostly nothing needs computing
    if east > 1800000000:
        east = 3600000000 - east
    east *= math.cos(lat_e7 * 1.7453e-9)
    north = lat_e7 - lat2_e7
    return int(math.sqrt(north * north + east * east) * 0.0111319)


class Position:
    """take(sentence, now) with what nmea.py read; current(now) at any time.

    site: None, or (lat_e7, lon_e7, moved_m), where a fixed button was mounted and how far off is elsewhere.
    jump_m: how far off the newest fix is when it is not believed, else 0. moved_m: how far from its site a fixed
    button has been for PERSIST_MS, else 0. fixes: how many were believed.
    """

    def __init__(self, site=None):
        self._site = site
        self._fix = None  # (lat_e7, lon_e7, accuracy_m or None)
        self._age = None
        self._hdop_x10 = None
        self._doubted = None  # where the fixes are that are not believed, and for how long
        self._away = None
        self._heard = None
        self.jump_m = 0
        self.moved_m = 0
        self.fixes = 0

    def take(self, sentence, now):
        """A new sentence. One that has no fix takes nothing away: the old fix only grows older."""
        _, valid, lat, lon, hdop_x10, estimated = sentence
        self._heard = Elapsed(now)
        if not valid:
            self._hdop_x10 = None
            return
        if hdop_x10 is not None:
            self._hdop_x10 = hdop_x10
        if lat is None:
            return
        accuracy = None if estimated or not self._hdop_x10 else (self._hdop_x10 * RANGE_ERROR_M + 9) // 10
        if self._is_doubtful(lat, lon, accuracy, now):
            return
        self._doubted = None
        self.jump_m = 0
        self._fix = (lat, lon, accuracy)
        self._age = Elapsed(now)
        self.fixes += 1
        if self._site:
            self._look_for_site(lat, lon, accuracy, now)

    def _is_doubtful(self, lat, lon, accuracy, now):
        if self._fix is None:
            return False
        gone = metres(lat, lon, self._fix[0], self._fix[1])
        room = ROOM_M + (accuracy or 0) + (self._fix[2] or 0)
        doubted = self._doubted
        # What stays where it jumped to has to persist: it does not become possible by waiting.
        stays = doubted and metres(lat, lon, doubted[0], doubted[1]) <= 5 * ROOM_M and gone > room
        if not stays and gone <= room + FASTEST_M_S * (self._age.ms(now) + 999) // 1000:
            return False
        self.jump_m = gone
        self._doubted = (lat, lon, doubted[2] if stays else Elapsed(now))
        return self._doubted[2].ms(now) < PERSIST_MS

    def _look_for_site(self, lat, lon, accuracy, now):
        away_m = metres(lat, lon, self._site[0], self._site[1])
        if away_m <= self._site[2] + (accuracy or ROOM_M):
            self._away = None
            self.moved_m = 0
        elif self._away is None:
            self._away = Elapsed(now)
        elif self._away.ms(now) >= PERSIST_MS:
            self.moved_m = away_m

    def current(self, now):
        """(lat_e7, lon_e7, accuracy_m or None, fix_age_s), or None when there has been no fix."""
        return self._fix and self._fix + (self._age.ms(now) // 1000,)

    def restore(self, lat_e7, lon_e7, accuracy_m, age_s, now):
        """What was kept over a deep sleep."""
        self._fix = (lat_e7, lon_e7, accuracy_m)
        self._age = Elapsed(now, age_s * 1000)

    def has_fix(self, now):
        """The receiver has a fix now (it said so within FRESH_MS)."""
        return self._age is not None and self._age.ms(now) < FRESH_MS

    def silent_s(self, now):
        """Seconds since the receiver said anything; None when it never has."""
        return self._heard and self._heard.ms(now) // 1000

    def touch(self, now):
        """Look at every age (ticks.Elapsed)."""
        for age in (self._age, self._heard, self._away, self._doubted and self._doubted[2]):
            if age:
                age.ms(now)
