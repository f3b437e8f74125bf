"""The frames that a base station has heard and the gateway does not have yet, in RAM and, once it is away, on flash.

Bounded: MOST in all and MOST_OF_ONE of one device, whose oldest goes first; a button says again what has no receipt. A
frame is opened by nobody here: whose it is, its clear header says, and anybody may have written that. So one who forges
many devices pushes out others' frames only from RAM's last places, and the heard of one device never more than its own.
"""

import struct

from lora.radio import airtime_ms
from panic.ticks import Elapsed, least, ticks_add, ticks_diff
from panic_wire.base_line import HELD_AT_LEAST, UP_LAYOUT, crc
from panic_wire.compact import COMPACT
from panic_wire.header import ALARM, CANCEL, TEST

MOST = 64
MOST_OF_ONE = 4
FOLDER = "/heard"
# A frame is said again until the gateway says that it is safe: soon at first, as a line with noise spoils every second.
FIRST_MS, CAP_MS, SOON = 120, 20000, 10
AWAY_MS = 3000  # nothing was called safe for so long: to flash
AT_ONCE = 4  # frames on the line at a time
ALARMS = (ALARM, CANCEL, TEST)  # types whose frames others make room for

# An entry is a list. Its places:
SEQ, FRAME, RSSI, SNR, SINCE, ON_FLASH, NEXT, TRIES, AT_LEAST = range(9)


def device_of(frame):
    """Four bytes of its header: of a full frame from byte 2, of a compact one from byte 1."""
    return frame[1:5] if frame[0] & 15 == COMPACT else frame[2:6]


def is_urgent(frame):
    """It says of itself that a person may be in danger."""
    return (frame[5] >> 4 if frame[0] & 15 == COMPACT else frame[0] & 15) in ALARMS


class Heard:
    """files: panic.files.Files. factor: what frames are sent with. lost: frames that found no room.

    What is on flash is read at once.
    """

    def __init__(self, files, factor, now, log):
        self._factor = factor
        self._files, self._log = files, log
        self._entries = []
        self._next_seq = 1
        self._safe = now  # when the gateway last said that something is safe
        self.lost = 0
        self._load(now)

    def __len__(self):
        return len(self._entries)

    def add(self, frame, rssi_dbm, snr_db, now):
        """A frame came."""
        if not self._entries:
            self._safe = now  # the gateway could not call anything safe: there was nothing
        mine = [entry for entry in self._entries if device_of(entry[FRAME]) == device_of(frame)]
        if len(mine) >= MOST_OF_ONE:
            self._drop(mine[0])
        elif len(self._entries) >= MOST:
            others = [entry for entry in self._entries if not is_urgent(entry[FRAME])]
            self._drop((others or self._entries)[0])
            self.lost += 1
        rssi, snr = max(-128, min(rssi_dbm, 127)), max(-128, min(snr_db, 127))
        # It was sealed before it was on the air.
        since = Elapsed(now, airtime_ms(len(frame), self._factor))
        self._entries.append([self._next_seq, frame, rssi, snr, since, False, None, 0, 0])
        self._next_seq += 1

    def due(self, now):
        """The entry to say now, or None. It counts as said."""
        for entry in self._entries[:AT_ONCE]:
            if entry[NEXT] is None or ticks_diff(entry[NEXT], now) <= 0:
                entry[NEXT] = ticks_add(now, min(FIRST_MS << min(max(entry[TRIES] - SOON, 0), 8), CAP_MS))
                entry[TRIES] += 1
                return entry
        return None

    def wait_ms(self, now):
        """Milliseconds until one is due; None when none is there."""
        return least(
            [0 if entry[NEXT] is None else max(0, ticks_diff(entry[NEXT], now)) for entry in self._entries[:AT_ONCE]]
        )

    def payload(self, entry, now):
        """What the line says of it."""
        held_ms = min(entry[SINCE].ms(now), 0xFFFFFFFF)
        return struct.pack(UP_LAYOUT, entry[SEQ], held_ms, entry[RSSI], entry[SNR], entry[AT_LEAST]) + entry[FRAME]

    def took(self, seq, now):
        """The gateway has this one on disk."""
        self._safe = now
        for entry in self._entries:
            if entry[SEQ] == seq:
                self._drop(entry)
                return

    def hurry(self):
        """The gateway is there (again): all are due."""
        for entry in self._entries:
            entry[NEXT] = None
            entry[TRIES] = 0

    def keep(self, now):
        """While the gateway is away, write to flash what is not there."""
        if not self._entries or ticks_diff(now, self._safe) < AWAY_MS:
            return
        for entry in self._entries:
            entry[SINCE].ms(now)
            if not entry[ON_FLASH]:
                entry[ON_FLASH] = True
                try:
                    self._files.make_directory(FOLDER)
                    data = bytes((entry[RSSI] & 255, entry[SNR] & 255)) + entry[FRAME]
                    self._files.write(self._path(entry), data + crc(data))
                except OSError as error:
                    self._log("a frame could not be kept on flash: %s" % error)

    def _path(self, entry):
        return "%s/%08x" % (FOLDER, entry[SEQ])

    def _drop(self, entry):
        self._entries.remove(entry)
        if entry[ON_FLASH]:
            try:
                self._files.remove(self._path(entry))
            except OSError as error:
                self._log("a frame could not be removed from flash: %s" % error)

    def _load(self, now):
        for name in sorted(self._files.names(FOLDER)):
            path = "%s/%s" % (FOLDER, name)
            try:
                data = self._files.read(path) or b""
                seq = int(name, 16)
            except (OSError, ValueError):
                data, seq = b"", 0
            whole = crc(data[:-4]) == data[-4:]
            if len(data) < 20 or not whole or len(self._entries) >= MOST:
                self._log("%s is not whole" % path)
                self._files.remove(path)
                continue
            rssi, snr = [byte - 256 if byte > 127 else byte for byte in data[:2]]
            self._entries.append([seq, data[2:-4], rssi, snr, Elapsed(now), True, None, 0, HELD_AT_LEAST])
            self._next_seq = max(self._next_seq, seq + 1)
