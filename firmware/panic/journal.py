"""The alarms that the gateway has not receipted, on flash; and those it has, until they are closed.

One small file for each alarm in /journal: LittleFS keeps such a file inside its directory's log, so an alarm
costs an append and seldom an erase. The name carries what must never be lost, the content is under a CRC:

    u0000002a   activation 42, unreceipted: nothing but a receipt takes this name away
    r0000002a   receipted (renamed in one step), kept so that after a power cut the person still learns the
                stages; the oldest of these gives way when there is no room

A record that was torn while it was written still is an alarm: the person did press three times. It is resumed
from its name, without the rest.
"""

import binascii
import struct

DIRECTORY = "/journal"
CAPACITY = 6  # each also costs RAM while it is open

_RECORD = ">4sBBIiiHH"
_MAGIC = b"SGj1"
_NO_FIX = -0x80000000
_U16 = 0xFFFF


class Entry:
    """One alarm on flash. position: (lat_e7, lon_e7, accuracy_m, fix_age_s) at the press, or None."""

    def __init__(self, activation, gesture=1, position=None, receipted=False):
        self.activation = activation
        self.gesture = gesture
        self.position = position
        self.receipted = receipted


def pack(entry):
    """The record's bytes."""
    lat, lon, accuracy, fix_age = entry.position or (_NO_FIX, _NO_FIX, None, None)
    body = struct.pack(
        _RECORD,
        _MAGIC,
        1,
        entry.gesture,
        entry.activation,
        lat,
        lon,
        _U16 if accuracy is None else min(accuracy, _U16 - 1),
        _U16 if fix_age is None else min(fix_age, _U16 - 1),
    )
    return body + struct.pack(">I", binascii.crc32(body))


def unpack(data, activation, receipted):
    """The Entry of this activation; only its number is known when the bytes are torn."""
    if data is None or len(data) != struct.calcsize(_RECORD) + 4:
        return Entry(activation, 1, None, receipted)
    body = data[:-4]
    if struct.unpack(">I", data[-4:])[0] != binascii.crc32(body):
        return Entry(activation, 1, None, receipted)
    magic, version, gesture, number, lat, lon, accuracy, fix_age = struct.unpack(_RECORD, body)
    if magic != _MAGIC or version != 1 or number != activation:
        return Entry(activation, 1, None, receipted)
    position = None
    if lat != _NO_FIX:
        position = (
            lat,
            lon,
            None if accuracy == _U16 else accuracy,
            None if fix_age == _U16 else fix_age,
        )
    return Entry(activation, gesture, position, receipted)


class Journal:
    """files: a panic.files.Files. OSError when flash does not take it; the caller goes on sending."""

    def __init__(self, files, log=print, capacity=CAPACITY):
        self._files = files
        self._log = log
        self._capacity = capacity
        self._names = {}
        files.make_directory(DIRECTORY)
        for name in files.names(DIRECTORY):
            number = _activation_in(name)
            if number is None:
                continue
            if self._names.get(number, "r") == "r":
                self._names[number] = name[0]

    def highest(self):
        """The greatest activation number in the journal, 0 when it is empty."""
        return max(self._names) if self._names else 0

    def entries(self):
        """Every Entry, oldest activation first."""
        out = []
        for number in sorted(self._names):
            kind = self._names[number]
            try:
                data = self._files.read(_path(kind, number))
            except OSError as error:
                self._log("journal: cannot read alarm %d: %s" % (number, error))
                data = None
            out.append(unpack(data, number, kind == "r"))
        return out

    def is_full(self):
        """True when every place holds an unreceipted alarm: a new SOS then merges into the newest one."""
        return len(self._names) >= self._capacity and "r" not in self._names.values()

    def add(self, entry):
        """Put an alarm on flash, where it is when this returns: the activation that gave way, or None."""
        gone = None
        if len(self._names) >= self._capacity:
            receipted = [number for number in self._names if self._names[number] == "r"]
            if not receipted:
                raise ValueError("the journal is full of unreceipted alarms")
            gone = min(receipted)
            self.close(gone)
        # Known before it is whole: a record that fails half-way is there by its name, and must be removable.
        self._names[entry.activation] = "u"
        self._files.write(_path("u", entry.activation), pack(entry))
        return gone

    def receipt(self, activation):
        """The gateway has committed this alarm: it is no longer in the list of what must be sent."""
        if self._names.get(activation) != "u":
            return
        self._files.rename(_path("u", activation), _path("r", activation))
        self._names[activation] = "r"

    def close(self, activation):
        """The alarm is closed (or, receipted, gives way to a new one): remove it."""
        kind = self._names.get(activation)
        if kind is None:
            return
        self._files.remove(_path(kind, activation))
        # After a cut on a filesystem without an atomic rename, both names may be there.
        self._files.remove(_path("r", activation))
        del self._names[activation]


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
