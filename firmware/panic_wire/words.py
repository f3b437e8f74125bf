"""Names and sentences for people; a button keeps none of them in RAM. Import the names from panic_wire.frames."""

from panic_wire.header import (
    ACCEPTED,
    ACKNOWLEDGED,
    ALARM,
    ALARM_UPDATE,
    BODIES,
    CANCEL,
    CLOSED,
    COMMAND,
    DISPATCHED,
    HEADER_BYTES,
    HEARTBEAT,
    ON_SCENE,
    RECEIPT,
    REPORT,
    STATUS,
    TAG_BYTES,
    TEST,
    TROUBLE,
)

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

STAGE_NAMES = {
    RECEIPT: "receipt",
    ACCEPTED: "accepted",
    ACKNOWLEDGED: "acknowledged",
    DISPATCHED: "dispatched",
    ON_SCENE: "on_scene",
    CLOSED: "closed",
}

# Every other type is reserved and refused.
BODY_BYTES = {number: BODIES[number] for number in TYPE_NAMES}

SENTENCES = (
    "frame is empty",
    "version nibble is %d; this is Sigap version %d",
    "type %d is reserved; this version of Sigap does not read it",
    "stage %d is unknown; a status frame has 1 to 6",
    "stage is %d; only a status frame has one",
    "",  # see _length
    "reserved bits of byte 1 are 0x%x; they must be 0",
    "%s %d does not fit 32 bits",
    "bad tag: wrong root key, or bytes changed",
    "%s body is %d bytes; it has %d",
)


def sentence(said, values):
    """What a FrameError says: a text as it is, or a number of SENTENCES with its values."""
    if isinstance(said, str):
        return said
    if said == 5:
        return _length(*values)
    if said == 9:
        number, length = values
        values = (TYPE_NAMES[number], length, BODY_BYTES[number])
    return SENTENCES[said] % values


def _length(number, length):
    body, name = BODY_BYTES[number], TYPE_NAMES[number]
    return "frame is %d byte%s; %s %s frame has %d (header %d + body %d + tag %d)" % (
        length,
        "" if length == 1 else "s",
        "an" if name[0] == "a" else "a",
        name,
        HEADER_BYTES + body + TAG_BYTES,
        HEADER_BYTES,
        body,
        TAG_BYTES,
    )


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


def header_dict(found):
    """The fields of a header.Header by name, in the order of CONTRACT.md."""
    return {name: getattr(found, name) for name in ("type", "stage", "device", "epoch", "counter")}
