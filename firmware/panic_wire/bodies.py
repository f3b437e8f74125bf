"""Bodies of frames as a button needs them: it packs alarms and heartbeats, and unpacks a status.

Outside the button, import these names from panic_wire.frames.
"""

import struct

from panic_wire.header import BODY_BYTES, STATUS, TYPE_NAMES, FrameError, Record, need_u32

THREE_PRESSES = 1
HOLD = 2

_U32 = 0xFFFFFFFF
UNKNOWN_U16 = 0xFFFF
_NO_FIX = -0x80000000
ALARM_LAYOUT = ">IBBIiiHHH"
HEARTBEAT_LAYOUT = ">IHbBBBBBBB"


def _limited(value, low, high):
    return low if value < low else high if value > high else value


def need_body(body, number):
    if len(body) != BODY_BYTES[number]:
        raise FrameError(
            "bad-body",
            "%s body is %d bytes; it has %d" % (TYPE_NAMES[number], len(body), BODY_BYTES[number]),
        )


def is_position(lat_e7, lon_e7):
    return (
        lat_e7 is not None
        and lon_e7 is not None
        and -900000000 <= lat_e7 <= 900000000
        and -1800000000 <= lon_e7 <= 1800000000
    )


def _u16_or_unknown(value):
    return UNKNOWN_U16 if value is None else _limited(value, 0, UNKNOWN_U16 - 1)


class Alarm(Record):
    """Body of ALARM, ALARM_UPDATE and TEST.

    age_ms: since the press, at the moment of sealing. lat_e7, lon_e7: 1e-7 degree, both None without a fix.
    accuracy_m, fix_age_s: None when unknown. battery_mv: 0 on mains or unknown. Numbers too great for their
    field are sent as the greatest that fits, and a position outside the globe as none: an alarm always packs.
    """

    FIELDS = (
        "activation",
        "gesture",
        "silent",
        "fixed_site",
        "age_is_minimum",
        "repeated",
        "age_ms",
        "lat_e7",
        "lon_e7",
        "accuracy_m",
        "fix_age_s",
        "battery_mv",
    )

    def __init__(
        self,
        activation,
        gesture=THREE_PRESSES,
        silent=False,
        fixed_site=False,
        age_is_minimum=False,
        repeated=False,
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
        self.age_ms = age_ms
        self.lat_e7 = lat_e7
        self.lon_e7 = lon_e7
        self.accuracy_m = accuracy_m
        self.fix_age_s = fix_age_s
        self.battery_mv = battery_mv

    def pack(self):
        """24 bytes; FrameError only when the activation does not fit 32 bits."""
        need_u32(self.activation, "activation", "bad-body")
        flags = (
            (1 if self.silent else 0)
            | (2 if self.fixed_site else 0)
            | (4 if self.age_is_minimum else 0)
            | (8 if self.repeated else 0)
        )
        lat = lon = _NO_FIX
        accuracy = fix_age = UNKNOWN_U16
        if is_position(self.lat_e7, self.lon_e7):
            lat = self.lat_e7
            lon = self.lon_e7
            accuracy = _u16_or_unknown(self.accuracy_m)
            fix_age = _u16_or_unknown(self.fix_age_s)
        return struct.pack(
            ALARM_LAYOUT,
            self.activation,
            _limited(self.gesture, 0, 0xFF),
            flags,
            _limited(self.age_ms, 0, _U32),
            lat,
            lon,
            accuracy,
            fix_age,
            _limited(self.battery_mv or 0, 0, UNKNOWN_U16),
        )


class Heartbeat(Record):
    """Body of HEARTBEAT. rssi_dbm 0 and battery_mv 0 mean unknown; firmware is (major, minor, patch)."""

    FIELDS = (
        "uptime_s",
        "battery_mv",
        "rssi_dbm",
        "silent",
        "fixed_site",
        "has_fix",
        "firmware",
        "reset_cause",
        "open_alarms",
        "lost_edges",
    )

    def __init__(
        self,
        uptime_s=0,
        battery_mv=0,
        rssi_dbm=0,
        silent=False,
        fixed_site=False,
        has_fix=False,
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
        self.firmware = tuple(firmware)
        self.reset_cause = reset_cause
        self.open_alarms = open_alarms
        self.lost_edges = lost_edges

    def pack(self):
        """14 bytes; numbers that do not fit are sent as the nearest that does."""
        major, minor, patch = self.firmware
        flags = (1 if self.silent else 0) | (2 if self.fixed_site else 0) | (4 if self.has_fix else 0)
        return struct.pack(
            HEARTBEAT_LAYOUT,
            _limited(self.uptime_s, 0, _U32),
            _limited(self.battery_mv or 0, 0, UNKNOWN_U16),
            _limited(self.rssi_dbm or 0, -128, 127),
            flags,
            _limited(major, 0, 0xFF),
            _limited(minor, 0, 0xFF),
            _limited(patch, 0, 0xFF),
            _limited(self.reset_cause, 0, 0xFF),
            _limited(self.open_alarms, 0, 0xFF),
            _limited(self.lost_edges, 0, 0xFF),
        )


class Status(Record):
    """Body of STATUS: the activation it speaks of, 0 in a heartbeat's receipt. Its stage is in the header."""

    FIELDS = ("activation",)

    def __init__(self, activation):
        self.activation = activation

    def pack(self):
        """4 bytes."""
        need_u32(self.activation, "activation", "bad-body")
        return struct.pack(">I", self.activation)


def unpack_status(body):
    """A Status from 4 bytes."""
    need_body(body, STATUS)
    return Status(struct.unpack(">I", body)[0])
