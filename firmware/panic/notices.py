"""What is told until a receipt answers one of its own frames: a cancel, troubles, the text of a crash. Pure.

Each is known by (type, ref): a cancel's ref is the activation, a trouble's its kind, a report's the number of the part.
So there are never more than these. All of it lives in RAM.
"""

from panic.retry import retry_ms
from panic.ticks import Elapsed, least, ticks_add, ticks_diff
from panic_wire.bodies import ENDED, pack_cancel, pack_trouble
from panic_wire.header import CANCEL, TROUBLE

# An entry is a list, which costs a third of an object. Its places:
TYPE = 0
REF = 1
VALUE = 2  # a cancel's flags, a trouble's value
SINCE = 3
END = 4  # a trouble that is over: since when; else None
TOLD = 5  # the gateway knows that the trouble began
NEXT = 6  # ticks of the next try; None: now; WITH_HEARTBEAT
TRIES = 7
FRAMES = 8  # (epoch, counter) of its last frames

WITH_HEARTBEAT = -1
KEPT = 4
CANCEL_REPEATED = 2  # CONTRACT.md, flags of a cancel


class Notices:
    """begin() and end() what is to be told; due(now) is the next; sent() and receipted() when that happened."""

    def __init__(self, random_u32):
        self._random_u32 = random_u32
        self.open = []

    def find(self, type, ref):
        """The entry, or None."""
        for entry in self.open:
            if entry[TYPE] == type and entry[REF] == ref:
                return entry
        return None

    def count(self, type):
        """How many of a type there are to tell."""
        return len([entry for entry in self.open if entry[TYPE] == type])

    def begin(self, type, ref, value, now):
        """True when this is new. A trouble that comes again before its end was told has not ended."""
        entry = self.find(type, ref)
        if entry:
            entry[VALUE] = value
            if entry[END]:
                entry[END] = None
                if entry[TOLD]:
                    entry[NEXT] = WITH_HEARTBEAT
                    entry[FRAMES] = []
            elif type == CANCEL:
                entry[NEXT] = None
            return False
        entry = [type, ref, value, Elapsed(now), None, False, None, 0, []]
        if type == CANCEL:
            self.open.insert(0, entry)
        else:
            self.open.append(entry)
        return True

    def end(self, kind, now):
        """The trouble is over. True when it was open. Its beginning is told first."""
        entry = self.find(TROUBLE, kind)
        if entry is None or entry[END]:
            return False
        entry[END] = Elapsed(now)
        if entry[TOLD]:
            entry[NEXT] = None
        return True

    def drop(self, type, ref):
        """There is nothing left to tell of it."""
        self.open = [entry for entry in self.open if entry[TYPE] != type or entry[REF] != ref]

    def due(self, now):
        """The entry to tell now, or None."""
        for entry in self.open:
            if _wait_ms(entry, now) == 0:
                return entry
        return None

    def wait_ms(self, now):
        """Milliseconds until one is due; None when none waits for time."""
        return least([_wait_ms(entry, now) for entry in self.open])

    def sent(self, entry, frame_id, now):
        """A frame of it is on its way; frame_id: its (epoch, counter)."""
        entry[FRAMES] = entry[FRAMES][1 - KEPT :] + [frame_id]
        entry[TRIES] += 1
        entry[NEXT] = WITH_HEARTBEAT
        if entry[TYPE] == CANCEL:
            entry[NEXT] = ticks_add(now, retry_ms(entry[TRIES], self._random_u32))

    def receipted(self, frame_id):
        """The entry of this frame, which the gateway has, or None. What has nothing more to tell goes."""
        for entry in self.open:
            if frame_id in entry[FRAMES]:
                if entry[TYPE] == TROUBLE and not entry[TOLD]:
                    entry[TOLD] = True
                    entry[FRAMES] = []
                    entry[NEXT] = None if entry[END] else WITH_HEARTBEAT
                else:
                    self.open.remove(entry)
                return entry
        return None

    def repeat(self):
        """A heartbeat leaves, or a bearer came up: what has had no receipt is told again."""
        for entry in self.open:
            if entry[FRAMES] and (entry[NEXT] == WITH_HEARTBEAT or entry[TYPE] == CANCEL):
                entry[NEXT] = None

    def touch(self, now):
        """Look at every age (ticks.Elapsed)."""
        for entry in self.open:
            entry[SINCE].ms(now)
            if entry[END]:
                entry[END].ms(now)


def _wait_ms(entry, now):
    at = entry[NEXT]
    if at == WITH_HEARTBEAT:
        return None
    return 0 if at is None else max(0, ticks_diff(at, now))


def pack(entry, now):
    """The body of its next frame: of a cancel or a trouble."""
    if entry[TYPE] == CANCEL:
        flags = entry[VALUE] | (CANCEL_REPEATED if entry[TRIES] else 0)
        return pack_cancel(entry[REF], entry[SINCE].ms(now), flags)
    ended = entry[TOLD] and entry[END]
    age_ms = (ended or entry[SINCE]).ms(now)
    return pack_trouble(entry[REF], ENDED if ended else 0, age_ms // 1000, entry[VALUE])
