"""What only a gateway does with bodies: unpacking what buttons send. Import these names from panic_wire.frames."""

import struct

from panic_wire.bodies import (
    ALARM_LAYOUT,
    HEARTBEAT_LAYOUT,
    HOLD,
    THREE_PRESSES,
    UNKNOWN_U16,
    Alarm,
    Heartbeat,
    is_position,
    need_body,
)
from panic_wire.header import ALARM, HEARTBEAT

GESTURE_NAMES = {THREE_PRESSES: "three presses", HOLD: "hold"}


def alarm_id(device, activation):
    """The alarm's identity as text: device as eight hex digits, activation in decimal ("0000a1b2-7")."""
    return "%08x-%u" % (device, activation)


def unpack_alarm(body):
    """An Alarm from 24 bytes. No content is refused, lest an authentic alarm be lost over a detail:

    unknown gestures stay numbers, unknown flags are ignored, a position outside the globe is no position.
    """
    need_body(body, ALARM)
    activation, gesture, flags, age_ms, lat, lon, accuracy, fix_age, battery_mv = struct.unpack(ALARM_LAYOUT, body)
    fix = is_position(lat, lon)
    return Alarm(
        activation,
        gesture,
        bool(flags & 1),
        bool(flags & 2),
        bool(flags & 4),
        bool(flags & 8),
        age_ms,
        lat if fix else None,
        lon if fix else None,
        accuracy if fix and accuracy != UNKNOWN_U16 else None,
        fix_age if fix and fix_age != UNKNOWN_U16 else None,
        battery_mv,
    )


def unpack_heartbeat(body):
    """A Heartbeat from 14 bytes; unknown flags are ignored."""
    need_body(body, HEARTBEAT)
    uptime, battery, rssi, flags, major, minor, patch, cause, alarms, edges = struct.unpack(HEARTBEAT_LAYOUT, body)
    return Heartbeat(
        uptime,
        battery,
        rssi,
        bool(flags & 1),
        bool(flags & 2),
        bool(flags & 4),
        (major, minor, patch),
        cause,
        alarms,
        edges,
    )
