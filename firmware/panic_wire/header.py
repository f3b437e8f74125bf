"""The clear header of a frame: numbers of types and stages, packing, and what makes bytes not a frame.

Every number is big-endian. CONTRACT.md says what each byte means. Import these names from panic_wire.frames.
"""

import struct

VERSION = 1

ALARM = 1
ALARM_UPDATE = 2
CANCEL = 3
TEST = 4
HEARTBEAT = 5
TROUBLE = 6
REPORT = 7
STATUS = 8
COMMAND = 9

RECEIPT = 1
ACCEPTED = 2
ACKNOWLEDGED = 3
DISPATCHED = 4
ON_SCENE = 5
CLOSED = 6

HEADER_BYTES = 14
TAG_BYTES = 8
MAX_FRAME_BYTES = 118
# By type; 0: reserved, and refused.
BODIES = b"\0\x18\x18\x09\x18\x0e\x0a\x60\x04\x60\0\0\0\0\0\0"

_U32 = 0xFFFFFFFF
_HEADER = ">BBIII"


class FrameError(ValueError):
    """Bytes (or values) that are not a frame of this contract.

    reason: a stable slug of CONTRACT.md: empty, not-sigap-v1, reserved-type, too-short, too-long, bad-length,
    bad-header, bad-tag, bad-body. str() is a sentence for a person: said, or number `said` of panic_wire.words, which a
    button does not keep in RAM.
    """

    def __init__(self, reason, said, *values):
        super().__init__(reason, said)
        self.reason = reason
        self.said = said
        self.values = values

    def __str__(self):
        from panic_wire.words import sentence

        return sentence(self.said, self.values)


def need_u32(value, name, reason):
    """FrameError(reason) unless the value fits 32 bits."""
    # MicroPython's struct.pack cuts a number that does not fit; CPython's raises its own error.
    if not 0 <= value <= _U32:
        raise FrameError(reason, 7, name, value)


class Header:
    """The 14 clear bytes. stage is 1 to 6 for STATUS, 0 for every other type."""

    def __init__(self, type, stage, device, epoch, counter):
        self.type = type
        self.stage = stage
        self.device = device
        self.epoch = epoch
        self.counter = counter

    def __eq__(self, other):
        return isinstance(other, Header) and self.pack() == other.pack()

    def pack(self):
        """14 bytes; FrameError for a type, stage or number that this version does not have."""
        body_bytes(self.type)
        _need_stage(self.type, self.stage)
        need_u32(self.device, "device", "bad-header")
        need_u32(self.epoch, "epoch", "bad-header")
        need_u32(self.counter, "counter", "bad-header")
        return struct.pack(_HEADER, VERSION << 4 | self.type, self.stage, self.device, self.epoch, self.counter)


def body_bytes(number):
    """How long a body of this type is; FrameError for a reserved one."""
    length = BODIES[number] if number < 16 else 0
    if not length:
        raise FrameError("reserved-type", 2, number)
    return length


def _need_stage(number, stage):
    if number == STATUS:
        if not RECEIPT <= stage <= CLOSED:
            raise FrameError("bad-header", 3, stage)
    elif stage:
        raise FrameError("bad-header", 4, stage)


def _need_length(number, length):
    if length == HEADER_BYTES + body_bytes(number) + TAG_BYTES:
        return
    if length < HEADER_BYTES + TAG_BYTES:
        reason = "too-short"
    elif length > MAX_FRAME_BYTES:
        reason = "too-long"
    else:
        reason = "bad-length"
    raise FrameError(reason, 5, number, length)


def unpack_header(frame):
    """The Header of a whole frame. Checks version, type, length, reserved bits, in that order; no tag."""
    if not frame:
        raise FrameError("empty", 0)
    version = frame[0] >> 4
    if version != VERSION:
        raise FrameError("not-sigap-v1", 1, version, VERSION)
    number = frame[0] & 0x0F
    _need_length(number, len(frame))
    _, second, device, epoch, counter = struct.unpack(_HEADER, bytes(frame[:HEADER_BYTES]))
    if second & 0xF0:
        raise FrameError("bad-header", 6, second >> 4)
    _need_stage(number, second)
    return Header(number, second, device, epoch, counter)


def is_downlink(number):
    """True for types that go from the gateway to the device (sealed with its downlink key)."""
    return number >= STATUS and number <= COMMAND
