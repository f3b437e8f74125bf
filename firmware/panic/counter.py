"""Numbers that must never come back: the frame counter within its epoch, and activation numbers.

Two slots are written alternately, each with a CRC; numbers are handed out only after the slot that reserves
them is on flash. Frame counters are reserved 64 at a time, so that most frames cost no write.
"""

import binascii
import struct

SLOTS = ("/state/a", "/state/b")
BLOCK = 64

_SLOT = ">4sIIII"
_MAGIC = b"SGc1"
_U32 = 0xFFFFFFFF


class Counter:
    """take_counter(), take_activation(); `epoch` belongs to the counter that was taken last.

    files: a panic.files.Files. random_u32: a callable. journal_highest: the greatest activation in its
    journal (0 for none). log: callable(str).
    """

    def __init__(self, files, random_u32, journal_highest=0, log=print):
        self._files = files
        self._random_u32 = random_u32
        self._log = log
        files.make_directory("/state")
        slots = [self._read(path) for path in SLOTS]
        self._numbers_afar = False
        found = [slot for slot in slots if slot]
        if found:
            newest = max(found)
            self._sequence, self.epoch, self._limit, self._activation = newest
            self._write_next = 1 - slots.index(newest)
            if len(found) == 1 and (self._sequence > 1 or self._exists(SLOTS[self._write_next])):
                # The slot that cannot be read may have been the newer one: step over what it can have given.
                self._limit = min(self._limit + BLOCK, _U32)
                self._activation += 1
            self._activation = max(self._activation, journal_highest + 1)
        else:
            self._sequence = 0
            self._write_next = 0
            self._limit = 0
            self.epoch = random_u32()
            # So that who knows the epoch knows the upper bits, which a compact frame does not have.
            self._activation = (self.epoch & 0xFFFF) << 16
            if not journal_highest < self._activation <= 0xFFF00000:
                self._activation = self._far_above(journal_highest)
            log("counter: no slot can be read; new epoch %08x" % self.epoch)
        # The rest of the block that the last life had reserved is given up: some of it was used.
        self._next = self.first = self._limit
        self.failed = 0  # the error of the last write, 0 when it was good
        self._volatile = False

    def take_counter(self):
        """The next frame counter; reserves the next block on flash first when this one is used up."""
        if self._next >= self._limit:
            self._reserve()
        self._next += 1
        return self._next - 1

    def take_activation(self):
        """The next activation number, on flash before it is returned."""
        number = self._activation
        self._activation += 1
        if not self._save() and not self._numbers_afar:
            # Unsaved, this number would come back after a reboot, and its alarm would look like a repeat.
            number = self._far_above(number)
            self._activation = number + 1
            self._numbers_afar = True
        return number

    def used(self, epoch, counter):
        """Whether a frame with this epoch and counter can be one of ours."""
        return epoch == self.epoch and counter < self._next

    def _reserve(self):
        if self._next + BLOCK > _U32:
            self._new_epoch("counter is at its end")
        self._limit = self._next + BLOCK
        if not self._save() and not self._volatile:
            # Counters that flash does not know of may only be used in an epoch that flash does not know of.
            self._new_epoch("flash does not take the counter")
            self._limit = BLOCK
            self._volatile = True

    def _new_epoch(self, why):
        self.epoch = self._random_u32()
        self._next = self.first = 0
        self._log("counter: %s; new epoch %08x" % (why, self.epoch))

    def _far_above(self, number):
        """A random multiple of 65,536 above number, with room behind it; number + 1 where none is left."""
        low = (number >> 16) + 1
        high = 0xFFF0
        if low > high:
            return min(number + 1, _U32)
        return (low + self._random_u32() % (high - low + 1)) << 16

    def _read(self, path):
        """(sequence, epoch, limit, activation), or None."""
        try:
            data = self._files.read(path)
        except OSError as error:
            self._log("counter: cannot read %s: %s" % (path, error))
            return None
        if data is None or len(data) != struct.calcsize(_SLOT) + 4:
            return None
        magic, sequence, epoch, limit, activation = struct.unpack(_SLOT, data[:-4])
        if magic != _MAGIC or struct.unpack(">I", data[-4:])[0] != binascii.crc32(data[:-4]):
            return None
        return sequence, epoch, limit, activation

    def _exists(self, path):
        try:
            return self._files.read(path) is not None
        except OSError:
            return True

    def _save(self):
        """Write the older slot; True when it is on flash."""
        if self._volatile:
            # This epoch lives in RAM only: the slots keep the old one, with which nothing is sent any more.
            return False
        body = struct.pack(_SLOT, _MAGIC, self._sequence + 1, self.epoch, self._limit, self._activation)
        path = SLOTS[self._write_next]
        try:
            self._files.write(path, body + struct.pack(">I", binascii.crc32(body)))
        except OSError as error:
            self._log("counter: cannot write %s: %s" % (path, error))
            self.failed = error.errno or 5
            return False
        self.failed = 0
        self._sequence += 1
        self._write_next = 1 - self._write_next
        return True
