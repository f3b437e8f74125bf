"""Bodies as records: what a gateway reads, and what tests and tools make. Import these names from panic_wire.frames."""

import struct

from panic_wire import bodies
from panic_wire.bodies import (
    ALARM_LAYOUT,
    CANCEL_LAYOUT,
    HEARTBEAT_LAYOUT,
    NO_FIX,
    POSITION_LAYOUT,
    REPORT_LAYOUT,
    THREE_PRESSES,
    TROUBLE_LAYOUT,
    UNKNOWN_U16,
    is_position,
    need_body,
)
from panic_wire.header import (
    ALARM,
    ALARM_UPDATE,
    CANCEL,
    COMMAND,
    HEARTBEAT,
    REPORT,
    STATUS,
    TEST,
    TROUBLE,
    FrameError,
    need_u32,
)
from panic_wire.words import BODY_BYTES, Record

GESTURE_NAMES = {THREE_PRESSES: "three presses", bodies.HOLD: "hold"}
TROUBLE_NAMES = {
    bodies.BATTERY_LOW: "battery_low",
    bodies.BUTTON_STUCK: "button_stuck",
    bodies.GPS_SILENT: "gps_silent",
    bodies.FLASH_FAILING: "flash_failing",
    bodies.CLOCK_UNKNOWN: "clock_unknown",
    bodies.TAMPER: "tamper",
    bodies.CRASHED: "crashed",
    bodies.SITE_MOVED: "site_moved",
    bodies.FIX_JUMPED: "fix_jumped",
    bodies.NETWORK: "network",
    bodies.EDGES_LOST: "edges_lost",
    bodies.RADIO: "radio",
}
REPORT_NAMES = {bodies.CRASH_TEXT: "crash_text", bodies.ANSWER: "answer", bodies.LOCATION: "location"}
RESULT_NAMES = {bodies.DONE: "done", bodies.REFUSED: "refused", bodies.UNKNOWN: "unknown"}
COMMAND_NAMES = {
    bodies.SET_TIME: "set_time",
    bodies.SET: "set",
    bodies.LOCATE: "locate",
    bodies.TEST_MODE_ON: "test_mode_on",
    bodies.TEST_MODE_OFF: "test_mode_off",
    bodies.RESTART: "restart",
}


def alarm_id(device, activation):
    """The alarm's identity as text: device as eight hex digits, activation in decimal ("0000a1b2-7")."""
    return "%08x-%u" % (device, activation)


def _bits(record, names):
    """The flags byte: names in the order of their bits."""
    return sum([1 << bit for bit, name in enumerate(names) if getattr(record, name)])


class Alarm(Record):
    """Body of ALARM, ALARM_UPDATE and TEST.

    age_ms: since the press, at the moment of sealing. lat_e7, lon_e7: 1e-7 degree, both None without a fix.
    accuracy_m, fix_age_s: None when unknown. battery_mv: 0 on mains or unknown. moved: a fixed button is not where
    it was mounted. doubtful: the position jumped farther than a person can, and is not the newest that was believed.
    """

    FIELDS = (
        "activation",
        "gesture",
        "silent",
        "fixed_site",
        "age_is_minimum",
        "repeated",
        "moved",
        "doubtful",
        "age_ms",
        "lat_e7",
        "lon_e7",
        "accuracy_m",
        "fix_age_s",
        "battery_mv",
    )
    FLAGS = ("silent", "fixed_site", "age_is_minimum", "repeated", "moved", "doubtful")

    def __init__(
        self,
        activation,
        gesture=THREE_PRESSES,
        silent=False,
        fixed_site=False,
        age_is_minimum=False,
        repeated=False,
        moved=False,
        doubtful=False,
        age_ms=0,
        lat_e7=None,
        lon_e7=None,
        accuracy_m=None,
        fix_age_s=None,
        battery_mv=0,
    ):
        self.activation = activation
        self.gesture = gesture
        self.silent = silent
        self.fixed_site = fixed_site
        self.age_is_minimum = age_is_minimum
        self.repeated = repeated
        self.moved = moved
        self.doubtful = doubtful
        self.age_ms = age_ms
        self.lat_e7 = lat_e7
        self.lon_e7 = lon_e7
        self.accuracy_m = accuracy_m
        self.fix_age_s = fix_age_s
        self.battery_mv = battery_mv

    def pack(self):
        """24 bytes; FrameError only when the activation does not fit 32 bits."""
        position = (self.lat_e7, self.lon_e7, self.accuracy_m, self.fix_age_s)
        flags = _bits(self, self.FLAGS)
        return bodies.pack_alarm(self.activation, self.gesture, flags, self.age_ms, position, self.battery_mv)


class Heartbeat(Record):
    """Body of HEARTBEAT. rssi_dbm 0 and battery_mv 0 mean unknown; firmware is (major, minor, patch)."""

    FIELDS = (
        "uptime_s",
        "battery_mv",
        "rssi_dbm",
        "silent",
        "fixed_site",
        "has_fix",
        "clock_known",
        "test_mode",
        "firmware",
        "reset_cause",
        "open_alarms",
        "lost_edges",
    )
    FLAGS = ("silent", "fixed_site", "has_fix", "clock_known", "test_mode")

    def __init__(
        self,
        uptime_s=0,
        battery_mv=0,
        rssi_dbm=0,
        silent=False,
        fixed_site=False,
        has_fix=False,
        clock_known=False,
        test_mode=False,
        firmware=(0, 0, 0),
        reset_cause=0,
        open_alarms=0,
        lost_edges=0,
    ):
        self.uptime_s = uptime_s
        self.battery_mv = battery_mv
        self.rssi_dbm = rssi_dbm
        self.silent = silent
        self.fixed_site = fixed_site
        self.has_fix = has_fix
        self.clock_known = clock_known
        self.test_mode = test_mode
        self.firmware = tuple(firmware)
        self.reset_cause = reset_cause
        self.open_alarms = open_alarms
        self.lost_edges = lost_edges

    def pack(self):
        """14 bytes; numbers that do not fit are sent as the nearest that does."""
        return bodies.pack_heartbeat(
            self.uptime_s,
            self.battery_mv,
            self.rssi_dbm,
            _bits(self, self.FLAGS),
            self.firmware,
            self.reset_cause,
            self.open_alarms,
            self.lost_edges,
        )


class Cancel(Record):
    """Body of CANCEL. age_ms: since the hold was long enough. duress: the person was made to do it."""

    FIELDS = ("activation", "age_ms", "duress", "repeated")

    def __init__(self, activation, age_ms=0, duress=False, repeated=False):
        self.activation = activation
        self.age_ms = age_ms
        self.duress = duress
        self.repeated = repeated

    def pack(self):
        """9 bytes."""
        return bodies.pack_cancel(self.activation, self.age_ms, _bits(self, ("duress", "repeated")))


class Trouble(Record):
    """Body of TROUBLE. kind: a key of TROUBLE_NAMES, others are valid. age_s: since it began, or ended."""

    FIELDS = ("kind", "ended", "age_s", "value")

    def __init__(self, kind, ended=False, age_s=0, value=0):
        self.kind = kind
        self.ended = ended
        self.age_s = age_s
        self.value = value

    def pack(self):
        """10 bytes."""
        return bodies.pack_trouble(self.kind, _bits(self, ("ended",)), self.age_s, self.value)


class Report(Record):
    """Body of REPORT. kind: a key of REPORT_NAMES. code: a part's number, or a key of RESULT_NAMES. ref: the counter of
    the command that it answers. content: bytes, at most 90, without zeros at the end."""

    FIELDS = ("kind", "code", "ref", "content")

    def __init__(self, kind, code=0, ref=0, content=b""):
        self.kind = kind
        self.code = code
        self.ref = ref
        self.content = content

    def pack(self):
        """96 bytes."""
        return bodies.pack_report(self.kind, self.code, self.ref, self.content)

    def text(self):
        """The content as a person reads it; bytes that are no UTF-8 are shown as such."""
        return self.content.decode("utf-8", "replace")

    def position(self):
        """(lat_e7, lon_e7, accuracy_m, fix_age_s) of a LOCATION, or None when it has none."""
        if self.kind != bodies.LOCATION:
            return None
        content = self.content + bytes(12 - len(self.content)) if len(self.content) < 12 else self.content
        return _position(*struct.unpack(POSITION_LAYOUT, content[:12]))


class Command(Record):
    """Body of COMMAND. code: a key of COMMAND_NAMES. content: bytes, at most 95."""

    FIELDS = ("code", "content")

    def __init__(self, code, content=b""):
        self.code = code
        self.content = content

    def pack(self):
        """96 bytes; FrameError when the content is too long."""
        room = BODY_BYTES[COMMAND] - 1
        if len(self.content) > room:
            raise FrameError("bad-body", "a command has room for %d bytes, not %d" % (room, len(self.content)))
        return bytes((self.code,)) + self.content + bytes(room - len(self.content))


def time_content(unix_ms, epoch, counter):
    """The content of SET_TIME: milliseconds since 1970, and the uplink frame that it answers."""
    return struct.pack(bodies.TIME_LAYOUT, unix_ms, epoch, counter)


class Status(Record):
    """Body of STATUS: the activation it speaks of, 0 where the answered frame has none. The header has the stage."""

    FIELDS = ("activation",)

    def __init__(self, activation):
        self.activation = activation

    def pack(self):
        """4 bytes."""
        need_u32(self.activation, "activation", "bad-body")
        return struct.pack(">I", self.activation)


def _position(lat, lon, accuracy, fix_age):
    """As sent, to (lat_e7, lon_e7, accuracy_m, fix_age_s) with None for what is unknown; None without a fix."""
    if lat == NO_FIX or not is_position(lat, lon):
        return None
    return lat, lon, None if accuracy == UNKNOWN_U16 else accuracy, None if fix_age == UNKNOWN_U16 else fix_age


def unpack_alarm(body):
    """An Alarm from 24 bytes. No content is refused, lest an authentic alarm be lost over a detail:

    unknown gestures stay numbers, unknown flags are ignored, a position outside the globe is no position.
    """
    need_body(body, ALARM)
    activation, gesture, flags, age_ms, lat, lon, accuracy, fix_age, battery_mv = struct.unpack(ALARM_LAYOUT, body)
    where = _position(lat, lon, accuracy, fix_age) or (None, None, None, None)
    named = named_flags(flags, Alarm.FLAGS)
    return Alarm(
        activation,
        gesture,
        age_ms=age_ms,
        lat_e7=where[0],
        lon_e7=where[1],
        accuracy_m=where[2],
        fix_age_s=where[3],
        battery_mv=battery_mv,
        **named,
    )


def named_flags(flags, names):
    """{name: whether its bit is set}, the first name's the lowest."""
    return {name: bool(flags & 1 << bit) for bit, name in enumerate(names)}


def unpack_heartbeat(body):
    """A Heartbeat from 14 bytes; unknown flags are ignored."""
    need_body(body, HEARTBEAT)
    uptime, battery, rssi, flags, major, minor, patch, cause, alarms, edges = struct.unpack(HEARTBEAT_LAYOUT, body)
    return Heartbeat(
        uptime,
        battery,
        rssi,
        firmware=(major, minor, patch),
        reset_cause=cause,
        open_alarms=alarms,
        lost_edges=edges,
        **named_flags(flags, Heartbeat.FLAGS),
    )


def unpack_cancel(body):
    """A Cancel from 9 bytes; unknown flags are ignored."""
    need_body(body, CANCEL)
    activation, age_ms, flags = struct.unpack(CANCEL_LAYOUT, body)
    return Cancel(activation, age_ms, bool(flags & bodies.DURESS), bool(flags & 2))


def unpack_trouble(body):
    """A Trouble from 10 bytes; an unknown kind stays a number."""
    need_body(body, TROUBLE)
    kind, flags, age_s, value = struct.unpack(TROUBLE_LAYOUT, body)
    return Trouble(kind, bool(flags & bodies.ENDED), age_s, value)


def unpack_report(body):
    """A Report from 96 bytes; an unknown kind stays a number."""
    need_body(body, REPORT)
    kind, code, ref = struct.unpack(REPORT_LAYOUT, body[:6])
    return Report(kind, code, ref, bytes(body[6:]).rstrip(b"\0"))


def unpack_command(body):
    """A Command from 96 bytes."""
    code, content = bodies.unpack_command(bytes(body))
    return Command(code, content[: struct.calcsize(bodies.TIME_LAYOUT)] if code == bodies.SET_TIME else content)


def unpack_status(body):
    """A Status from 4 bytes."""
    return Status(bodies.status_activation(body))


# The record of each type.
RECORDS = {
    ALARM: Alarm,
    ALARM_UPDATE: Alarm,
    TEST: Alarm,
    CANCEL: Cancel,
    HEARTBEAT: Heartbeat,
    TROUBLE: Trouble,
    REPORT: Report,
    STATUS: Status,
    COMMAND: Command,
}
_UNPACK = {
    ALARM: unpack_alarm,
    ALARM_UPDATE: unpack_alarm,
    TEST: unpack_alarm,
    CANCEL: unpack_cancel,
    HEARTBEAT: unpack_heartbeat,
    TROUBLE: unpack_trouble,
    REPORT: unpack_report,
    STATUS: unpack_status,
    COMMAND: unpack_command,
}


def unpack_body(number, body):
    """The record of a body, by its frame's type. FrameError for another length."""
    return _UNPACK[number](body)
