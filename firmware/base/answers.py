"""What a base station is to send, and when: several compact statuses in one packet, and no more than the hour allows.

A base's 1 % of an hour runs out before the buttons' does (docs/lora.md). So once a tenth of it is used, and so many
come that a packet could be filled meanwhile, or half of it is used, statuses wait until one is full, or for HOLD_MS:
then each packet counts.
"""

from lora.ledger import Ledger
from lora.radio import airtime_ms
from panic.ticks import ticks_add, ticks_diff
from panic_wire.compact import STATUS_BYTES, STATUSES
from panic_wire.header import VERSION

TURN_MS = 20  # what comes for others of the same moment goes into the same packet
HOLD_MS = 4000
EASY_PERMILLE, FEW_PERMILLE = 100, 500
MOST = 128
KEPT_MS = 60000  # an answer that found no airtime for so long is of no use: the button has asked again


class Answers:
    """factor: of the base's receiver, and so of those who listen for its answers."""

    def __init__(self, factor):
        self.ledger = Ledger(spare_permille=0)
        self._factor = factor
        self._statuses = []  # (bytes, until)
        self._frames = []
        self._since = None  # when the next packet may leave
        self._held = False
        self.dropped = 0
        self._came = []  # when the last ones came, as many as fill a packet
        room = 1 + STATUS_BYTES
        while airtime_ms(room + STATUS_BYTES, factor) <= self.ledger.dwell_ms and room + STATUS_BYTES <= 255:
            room += STATUS_BYTES
        self._most = room // STATUS_BYTES

    def fits(self, data):
        """It can be sent within the region's dwell time."""
        return airtime_ms(len(data), self._factor) <= self.ledger.dwell_ms

    def add(self, data, now, now_s):
        """To be sent; False when there is no room. The same bytes twice are sent once."""
        waiting = self._statuses if len(data) == STATUS_BYTES else self._frames
        if [1 for entry in waiting if entry[0] == data]:
            return True
        if len(self._statuses) + len(self._frames) >= MOST:
            return False
        waiting.append((data, ticks_add(now, KEPT_MS)))
        self._came = self._came[1 - self._most :] + [now]
        few = len(self._came) < self._most or ticks_diff(now, self._came[0]) > HOLD_MS
        is_full = len(self._statuses) >= self._most
        used_permille = self.ledger.used_ms(now_s) * 1000 // self.ledger.limit_ms
        easy = used_permille < (FEW_PERMILLE if few else EASY_PERMILLE)
        if self._since is None:
            self._held = not (easy or is_full or self._frames)
            self._since = ticks_add(now, HOLD_MS if self._held else TURN_MS)
        elif self._held and (is_full or self._frames):
            self._held = False
            self._since = ticks_add(now, TURN_MS)
        return True

    def wait_ms(self, now):
        """Milliseconds until a packet may leave; None when there is nothing to send."""
        return None if self._since is None else max(0, ticks_diff(self._since, now))

    def take(self, now, now_s):
        """The next packet, or None when the hour has no room for it: then it waits."""
        self._statuses = self._fresh(self._statuses, now)
        self._frames = self._fresh(self._frames, now)
        statuses = self._statuses[: self._most]
        if statuses:
            packet = bytes((VERSION << 4 | STATUSES,)) + b"".join([entry[0] for entry in statuses])
        elif self._frames:
            packet = self._frames[0][0]
        else:
            self._since = None
            return None
        wait_s = self.ledger.wait_s(now_s, airtime_ms(len(packet), self._factor), True)
        if wait_s:
            self._since = ticks_add(now, min(wait_s * 1000, 10000))
            return None
        if statuses:
            self._statuses = self._statuses[len(statuses) :]
        else:
            self._frames.pop(0)
        self._since = ticks_add(now, TURN_MS) if self._statuses or self._frames else None
        return packet

    def _fresh(self, entries, now):
        kept = [entry for entry in entries if ticks_diff(entry[1], now) > 0]
        self.dropped += len(entries) - len(kept)
        return kept
