"""The clear header of a frame: names of types and stages, packing, and what makes bytes not a frame.

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

TYPE_NAMES = {
    ALARM: "alarm",
    ALARM_UPDATE: "alarm update",
    CANCEL: "cancel",
    TEST: "test",
    HEARTBEAT: "heartbeat",
    TROUBLE: "trouble",
    REPORT: "report",
    STATUS: "status",
    COMMAND: "command",
}

RECEIPT = 1
ACCEPTED = 2
ACKNOWLEDGED = 3
DISPATCHED = 4
ON_SCENE = 5
CLOSED = 6

STAGE_NAMES = {
    RECEIPT: "receipt",
    ACCEPTED: "accepted",
    ACKNOWLEDGED: "acknowledged",
    DISPATCHED: "dispatched",
    ON_SCENE: "on_scene",
    CLOSED: "closed",
}

HEADER_BYTES = 14
TAG_BYTES = 8
# Every other type is reserved and refused.
BODY_BYTES = {
    ALARM: 24,
    ALARM_UPDATE: 24,
    CANCEL: 9,
    TEST: 24,
    HEARTBEAT: 14,
    TROUBLE: 10,
    REPORT: 96,
    STATUS: 4,
    COMMAND: 96,
}
MAX_FRAME_BYTES = 118

_U32 = 0xFFFFFFFF
_HEADER = ">BBIII"


class FrameError(ValueError):
    """Bytes (or values) that are not a frame of this contract.

    reason: a stable slug of CONTRACT.md: empty, not-sigap-v1, reserved-type, too-short, too-long, bad-length,
    bad-header, bad-tag, bad-body. str() is a sentence for a person.
    """

    def __init__(self, reason, message):
        super().__init__(message)
        self.reason = reason


class Record:
    """Equality and listing over FIELDS, since dataclasses do not exist in MicroPython."""

    FIELDS = ()  # type: tuple[str, ...]

    def to_dict(self):
        """The fields by name, in the order of CONTRACT.md."""
        return {name: getattr(self, name) for name in self.FIELDS}

    def __eq__(self, other):
        return type(self) is type(other) and self.to_dict() == other.to_dict()

    def __repr__(self):
        return "%s(%s)" % (
            type(self).__name__,
            ", ".join(["%s=%r" % (name, getattr(self, name)) for name in self.FIELDS]),
        )


def need_u32(value, name, reason):
    """FrameError(reason) unless the value fits 32 bits."""
    # MicroPython's struct.pack cuts a number that does not fit; CPython's raises its own error.
    if not 0 <= value <= _U32:
        raise FrameError(reason, "%s %d does not fit 32 bits" % (name, value))


class Header(Record):
    """The 14 clear bytes. stage is a STAGE_NAMES key for STATUS, 0 for every other type."""

    FIELDS = ("type", "stage", "device", "epoch", "counter")

    def __init__(self, type, stage, device, epoch, counter):
        self.type = type
        self.stage = stage
        self.device = device
        self.epoch = epoch
        self.counter = counter

    def pack(self):
        """14 bytes; FrameError for a type, stage or number that this version does not have."""
        _need_type(self.type)
        _need_stage(self.type, self.stage)
        need_u32(self.device, "device", "bad-header")
        need_u32(self.epoch, "epoch", "bad-header")
        need_u32(self.counter, "counter", "bad-header")
        return struct.pack(_HEADER, VERSION << 4 | self.type, self.stage, self.device, self.epoch, self.counter)


def _need_type(number):
    if number not in BODY_BYTES:
        raise FrameError("reserved-type", "type %d is reserved; this version of Sigap does not read it" % number)


def _need_stage(number, stage):
    if number == STATUS:
        if stage not in STAGE_NAMES:
            raise FrameError("bad-header", "stage %d is unknown; a status frame has 1 to 6" % stage)
    elif stage:
        raise FrameError("bad-header", "stage is %d; only a status frame has one" % stage)


def _need_length(number, length):
    body = BODY_BYTES[number]
    total = HEADER_BYTES + body + TAG_BYTES
    if length == total:
        return
    if length < HEADER_BYTES + TAG_BYTES:
        reason = "too-short"
    elif length > MAX_FRAME_BYTES:
        reason = "too-long"
    else:
        reason = "bad-length"
    name = TYPE_NAMES[number]
    raise FrameError(
        reason,
        "frame is %d byte%s; %s %s frame has %d (header %d + body %d + tag %d)"
        % (
            length,
            "" if length == 1 else "s",
            "an" if name[0] == "a" else "a",
            name,
            total,
            HEADER_BYTES,
            body,
            TAG_BYTES,
        ),
    )


def unpack_header(frame):
    """The Header of a whole frame. Checks version, type, length, reserved bits, in that order; no tag."""
    if not frame:
        raise FrameError("empty", "frame is empty")
    version = frame[0] >> 4
    if version != VERSION:
        raise FrameError("not-sigap-v1", "version nibble is %d; this is Sigap version %d" % (version, VERSION))
    number = frame[0] & 0x0F
    _need_type(number)
    _need_length(number, len(frame))
    _, second, device, epoch, counter = struct.unpack(_HEADER, bytes(frame[:HEADER_BYTES]))
    if second & 0xF0:
        raise FrameError("bad-header", "reserved bits of byte 1 are 0x%x; they must be 0" % (second >> 4))
    _need_stage(number, second)
    return Header(number, second, device, epoch, counter)


def is_downlink(number):
    """True for types that go from the gateway to the device (sealed with its downlink key)."""
    return number >= STATUS and number <= COMMAND
