"""The alarms that the gateway has not receipted, on flash; and those it has, until they are closed.

One small file for each alarm in /journal: LittleFS keeps such a file inside its directory's log, which is what an
append-only file of our own would be, with a CRC of its own and with compaction; so an alarm costs an append and
seldom an erase. The name carries what must never be lost, the content is under a CRC:

    u0000002a   activation 42, unreceipted: nothing but a receipt takes this name away
    r0000002a   receipted (renamed in one step), kept so that after a power cut the person still learns the
                stages; the oldest of these gives way when there is no room

A record that was torn while it was written still is an alarm: the person did press three times. It is resumed
from its name, without the rest.
"""

import binascii
import struct

DIRECTORY = "/journal"
CAPACITY = 64

_RECORD = ">4sBBIiiHH"
_RECORD_BYTES = 22
_MAGIC = b"SGj1"
_NO_FIX = -0x80000000
_U16 = 0xFFFF


def pack(activation, gesture, position):
    """The record's bytes. position: (lat_e7, lon_e7, accuracy_m, fix_age_s) at the press, or None."""
    lat, lon, accuracy, fix_age = position or (_NO_FIX, _NO_FIX, None, None)
    accuracy = _U16 if accuracy is None else min(accuracy, _U16 - 1)
    fix_age = _U16 if fix_age is None else min(fix_age, _U16 - 1)
    body = struct.pack(_RECORD, _MAGIC, 1, gesture, activation, lat, lon, accuracy, fix_age)
    return body + struct.pack(">I", binascii.crc32(body))


def unpack(data, activation):
    """(gesture, position) in the record of this activation; (1, None) when the bytes are torn."""
    if data is None or len(data) != _RECORD_BYTES + 4:
        return 1, None
    body = data[:-4]
    magic, version, gesture, number, lat, lon, accuracy, fix_age = struct.unpack(_RECORD, body)
    crc = struct.unpack(">I", data[-4:])[0]
    if crc != binascii.crc32(body) or magic != _MAGIC or version != 1 or number != activation:
        return 1, None
    if lat == _NO_FIX:
        return gesture, None
    accuracy = None if accuracy == _U16 else accuracy
    return gesture, (lat, lon, accuracy, None if fix_age == _U16 else fix_age)


class Journal:
    """files: a panic.files.Files. OSError when flash does not take it; the caller goes on sending.

    unreceipted, receipted: the activations that it holds, oldest first. Not to be changed from outside.
    """

    def __init__(self, files, log=print):
        self._files = files
        self._log = log
        self.unreceipted = []
        self.receipted = []
        files.make_directory(DIRECTORY)
        for name in files.names(DIRECTORY):
            number = _activation_in(name)
            if number is None:
                continue
            (self.unreceipted if name[0] == "u" else self.receipted).append(number)
        # After a cut on a filesystem without an atomic rename, both names may be there: then it has no receipt.
        self.receipted = sorted([number for number in self.receipted if number not in self.unreceipted])
        self.unreceipted.sort()

    def highest(self):
        """The greatest activation number in the journal, 0 when it is empty."""
        return max(self.unreceipted[-1:] + self.receipted[-1:] + [0])

    def read(self, activation):
        """(gesture, position) of an alarm that it holds."""
        try:
            data = self._files.read(_path("u" if activation in self.unreceipted else "r", activation))
        except OSError as error:
            self._log("journal: cannot read alarm %d: %s" % (activation, error))
            data = None
        return unpack(data, activation)

    def is_full(self):
        """True when every place holds an unreceipted alarm: a new SOS then merges into the newest one."""
        return len(self.unreceipted) >= CAPACITY

    def add(self, activation, gesture=1, position=None):
        """Put an alarm on flash, where it is when this returns: the activation that gave way, or None."""
        gone = None
        if self.is_full():
            raise ValueError("the journal is full of unreceipted alarms")
        if len(self.unreceipted) + len(self.receipted) >= CAPACITY:
            gone = self.receipted[0]
            self.close(gone)
        # Known before it is whole: a record that fails half-way is there by its name, and must be removable.
        self.unreceipted.append(activation)
        self._files.write(_path("u", activation), pack(activation, gesture, position))
        return gone

    def receipt(self, activation):
        """The gateway has committed this alarm: it is no longer in the list of what must be sent."""
        if activation in self.unreceipted:
            self._files.rename(_path("u", activation), _path("r", activation))
            self.unreceipted.remove(activation)
            self.receipted.append(activation)
            self.receipted.sort()

    def close(self, activation):
        """The alarm is closed (or, receipted, gives way to a new one): remove it."""
        if activation in self.unreceipted:
            self._files.remove(_path("u", activation))
            self.unreceipted.remove(activation)
            self.receipted.append(activation)
        if activation in self.receipted:
            self._files.remove(_path("r", activation))
            self.receipted.remove(activation)


def _path(kind, number):
    return "%s/%s%08x" % (DIRECTORY, kind, number)


def _activation_in(name):
    """The activation number in a file's name, or None when it is not one of ours."""
    if len(name) != 9 or name[0] not in "ur":
        return None
    try:
        number = int(name[1:], 16)
    except ValueError:
        return None
    return number if "%08x" % number == name[1:] else None
