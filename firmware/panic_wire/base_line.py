"""What a base station and a gateway say to each other over a serial line (CONTRACT.md, section 11). Both import it.

A message is a line of text: `~`, base64 of version and kind, payload, CRC-32, then a newline. So whatever a chip prints
at its start stands beside it and hurts nothing, a byte of noise costs one line, and the next line begins anew.
"""

import binascii
import struct

VERSION = 1
MARK = b"~"
MOST_LINE_BYTES = 512  # of anything longer the rest is dropped

# From the base: who it is, a frame that it heard, how it is, what became of a downlink.
HELLO, UP, BEAT, DONE = 1, 2, 3, 4
# To the base: say hello; these frames are safe; send this.
ASK, TOOK, DOWN = 8, 9, 10

HELLO_LAYOUT = ">I3BIIBI"  # base, firmware, boot (random at each start), Hz, spreading factor, Hz of its answers
UP_LAYOUT = ">IIbbB"  # seq, held_ms, rssi_dbm, snr_db, flags; then the frame as it came
BEAT_LAYOUT = ">IIIIHHIH"  # uptime_s, heard, broken, sent, waiting, lost, airtime_ms of the hour, bad lines
DONE_LAYOUT = ">HB"  # id, result
TOOK_LAYOUT = ">II"  # boot and seq that are safe
DOWN_LAYOUT = ">H"  # id; then what to send

HELD_AT_LEAST = 1  # flag of UP: the base lost its power meanwhile
# Results of a downlink
QUEUED, SENT, NO_AIRTIME, TOO_LONG, FULL = 0, 1, 2, 3, 4


def crc(data):
    """Four bytes: the CRC-32 of zip."""
    return struct.pack(">I", binascii.crc32(data) & 0xFFFFFFFF)


def pack(kind, payload=b""):
    """The line's bytes, its newline with it."""
    message = bytes((VERSION << 4 | kind,)) + payload
    return MARK + binascii.b2a_base64(message + crc(message))


def unpack(line):
    """(kind, payload) of a line; None for one that is no message, or not intact, or of another version."""
    line = line.strip()
    if line[:1] != MARK:
        return None
    try:
        data = binascii.a2b_base64(line[1:])
    except ValueError:
        return None
    if len(data) < 5 or data[0] >> 4 != VERSION:
        return None
    if crc(data[:-4]) != data[-4:]:
        return None
    return data[0] & 15, data[1:-4]


class Lines:
    """feed() takes bytes as they come and gives whole lines; what is too long is dropped up to its end."""

    def __init__(self):
        self._rest = b""
        self._too_long = False

    def feed(self, data):
        """A list of lines, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if self._too_long and lines:
            del lines[0]
            self._too_long = False
        if len(self._rest) > MOST_LINE_BYTES:
            self._rest = b""
            self._too_long = True
        return lines
