"""The replay window that a gateway keeps for each (device, epoch). Pure; the firmware does not import it."""


class ReplayWindow:
    """Which of the newest `width` counters have been seen (like RFC 4303 section 3.4.3, wider).

    highest: the greatest counter seen, or None. bitmap: bit i is set when counter `highest - i` was seen.
    Both are what to store.
    """

    def __init__(self, highest=None, bitmap=0, width=256):
        self.highest = highest
        self.bitmap = bitmap
        self.width = width

    def is_new(self, counter):
        """True when check_and_set would take it; changes nothing."""
        if self.highest is None or counter > self.highest:
            return True
        behind = self.highest - counter
        return behind < self.width and not (self.bitmap >> behind) & 1

    def check_and_set(self, counter):
        """True, and remembered, when new; False when it was seen or lies `width` or more behind."""
        if not self.is_new(counter):
            return False
        if self.highest is None:
            self.highest = counter
            self.bitmap = 1
        elif counter > self.highest:
            ahead = counter - self.highest
            # A shift by the whole window or more would only build a huge number to throw away.
            kept = self.bitmap << ahead if ahead < self.width else 0
            self.bitmap = (kept | 1) & ((1 << self.width) - 1)
            self.highest = counter
        else:
            self.bitmap |= 1 << (self.highest - counter)
        return True
