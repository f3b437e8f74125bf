"""Bodies of frames as a button needs them: it packs what goes up, and reads what comes down.

Outside the button, use the records of panic_wire.frames, whose pack() is made of these.
"""

import struct

from panic_wire.header import BODIES, COMMAND, STATUS, FrameError, need_u32

THREE_PRESSES = 1
HOLD = 2

# Flags of an alarm.
SILENT = 1
FIXED_SITE = 2
AGE_IS_MINIMUM = 4
REPEATED = 8
MOVED = 16
DOUBTFUL = 32

# Flags of a heartbeat; SILENT and FIXED_SITE too.
HAS_FIX = 4
CLOCK_KNOWN = 8
TEST_MODE = 16

# Flags of a cancel and of a trouble.
DURESS = 1
ENDED = 1

# Kinds of trouble.
BATTERY_LOW = 1
BUTTON_STUCK = 2
GPS_SILENT = 3
FLASH_FAILING = 4
CLOCK_UNKNOWN = 5
TAMPER = 6
CRASHED = 7
SITE_MOVED = 8
FIX_JUMPED = 9
NETWORK = 10
EDGES_LOST = 11
RADIO = 12

# Values of the trouble NETWORK.
NO_NETWORK = 1
PASSWORD_REFUSED = 2
NO_NAME_SERVER = 3
PORTAL_ANSWERS = 4
ON_BACKUP = 5

# Kinds of report, and the results of a command.
CRASH_TEXT = 1
ANSWER = 2
LOCATION = 3
DONE = 0
REFUSED = 1
UNKNOWN = 2

# Commands.
SET_TIME = 1
SET = 2
LOCATE = 3
TEST_MODE_ON = 4
TEST_MODE_OFF = 5
RESTART = 6

_U32 = 0xFFFFFFFF
UNKNOWN_U16 = 0xFFFF
NO_FIX = -0x80000000
ALARM_LAYOUT = ">IBBIiiHHH"
HEARTBEAT_LAYOUT = ">IHbBBBBBBB"
CANCEL_LAYOUT = ">IIB"
TROUBLE_LAYOUT = ">BBIi"
REPORT_LAYOUT = ">BBI"
POSITION_LAYOUT = ">iiHH"
TIME_LAYOUT = ">QII"
REPORT_TEXT_BYTES = 90


def limited(value, low, high):
    return low if value < low else high if value > high else value


def need_body(body, number):
    """FrameError unless the body has the length of its type."""
    if len(body) != BODIES[number]:
        raise FrameError("bad-body", 9, number, len(body))


def is_position(lat_e7, lon_e7):
    return (
        lat_e7 is not None
        and lon_e7 is not None
        and -900000000 <= lat_e7 <= 900000000
        and -1800000000 <= lon_e7 <= 1800000000
    )


def _u16_or_unknown(value):
    return UNKNOWN_U16 if value is None else limited(value, 0, UNKNOWN_U16 - 1)


def pack_position(position):
    """12 bytes. position: (lat_e7, lon_e7, accuracy_m or None, fix_age_s or None), or None; off the globe is none."""
    if position is None or not is_position(position[0], position[1]):
        return struct.pack(POSITION_LAYOUT, NO_FIX, NO_FIX, UNKNOWN_U16, UNKNOWN_U16)
    lat, lon, accuracy, fix_age = position
    return struct.pack(POSITION_LAYOUT, lat, lon, _u16_or_unknown(accuracy), _u16_or_unknown(fix_age))


def pack_alarm(activation, gesture=THREE_PRESSES, flags=0, age_ms=0, position=None, battery_mv=0):
    """Body of ALARM, ALARM_UPDATE and TEST, 24 bytes; FrameError only when the activation does not fit 32 bits.

    age_ms: since the press, at the moment of sealing. position: see pack_position. battery_mv: 0 on mains or
    unknown. Numbers too great for their field are sent as the greatest that fits: an alarm always packs.
    """
    need_u32(activation, "activation", "bad-body")
    head = struct.pack(">IBBI", activation, limited(gesture, 0, 0xFF), flags, limited(age_ms, 0, _U32))
    return head + pack_position(position) + struct.pack(">H", limited(battery_mv or 0, 0, UNKNOWN_U16))


def pack_heartbeat(uptime_s, battery_mv, rssi_dbm, flags, firmware, reset_cause, open_alarms, lost_edges):
    """14 bytes; numbers that do not fit are sent as the nearest that does. firmware: (major, minor, patch)."""
    small = [limited(value, 0, 0xFF) for value in tuple(firmware) + (reset_cause, open_alarms, lost_edges)]
    return struct.pack(
        HEARTBEAT_LAYOUT,
        limited(uptime_s, 0, _U32),
        limited(battery_mv or 0, 0, UNKNOWN_U16),
        limited(rssi_dbm or 0, -128, 127),
        flags,
        *small,
    )


def pack_cancel(activation, age_ms=0, flags=0):
    """9 bytes. age_ms: since the hold was long enough, at the moment of sealing."""
    need_u32(activation, "activation", "bad-body")
    return struct.pack(CANCEL_LAYOUT, activation, limited(age_ms, 0, _U32), flags)


def pack_trouble(kind, flags=0, age_s=0, value=0):
    """10 bytes. age_s: since it began (or ended), at the moment of sealing. value: see CONTRACT.md, by kind."""
    value = limited(value, -0x80000000, 0x7FFFFFFF)
    return struct.pack(TROUBLE_LAYOUT, limited(kind, 0, 0xFF), flags, limited(age_s, 0, _U32), value)


def pack_report(kind, code=0, ref=0, content=b""):
    """96 bytes; of content what fits. code, ref: see CONTRACT.md, by kind."""
    content = content[:REPORT_TEXT_BYTES]
    head = struct.pack(REPORT_LAYOUT, limited(kind, 0, 0xFF), limited(code, 0, 0xFF), ref & _U32)
    return head + content + bytes(REPORT_TEXT_BYTES - len(content))


def status_activation(body):
    """The activation that a status speaks of; 0 when it answers a frame that is of no alarm."""
    need_body(body, STATUS)
    return struct.unpack(">I", body)[0]


def unpack_command(body):
    """(code, content) of a COMMAND body; content without the zeros at its end, but for SET_TIME's."""
    need_body(body, COMMAND)
    content = body[1:]
    return body[0], content if body[0] == SET_TIME else content.rstrip(b"\0")


def unpack_time(content):
    """(unix_ms, epoch, counter): the time, and the uplink frame that it answers."""
    return struct.unpack(TIME_LAYOUT, content[:16])
