"""The gateway's side of compact frames (CONTRACT.md, section 10); a button does not load it."""

import struct

from panic_wire.ccm import TagError, ccm_open
from panic_wire.compact import (
    ACCURACY_M,
    COMPACT,
    FIX_AGE_S,
    HEADER_BYTES,
    MOST_AGE,
    NO_LAT,
    TAG_BYTES,
    nonce,
)
from panic_wire.header import ALARM, ALARM_UPDATE, CANCEL, HEARTBEAT, TEST, TROUBLE, VERSION, FrameError, Header
from panic_wire.records import Alarm, Heartbeat, named_flags, unpack_cancel, unpack_trouble

BODY_BYTES = {ALARM: 10, ALARM_UPDATE: 10, TEST: 10, CANCEL: 9, HEARTBEAT: 10, TROUBLE: 10}
MOST_EPOCHS = 4  # newest epochs of a device that are tried


def is_compact(frame):
    """It says of itself that it is one."""
    return len(frame) > 0 and frame[0] == VERSION << 4 | COMPACT


def unpack_head(frame):
    """(type, device, the counter's low 20 bits). FrameError for another length than its type has; no tag is checked."""
    if len(frame) < HEADER_BYTES + TAG_BYTES:
        raise FrameError("too-short", "a compact frame is %d bytes; the shortest has 23" % len(frame))
    _, device, high, low = struct.unpack(">BIBH", frame[:HEADER_BYTES])
    type = high >> 4
    if type not in BODY_BYTES:
        raise FrameError("reserved-type", "type %d has no compact form" % type)
    wanted = HEADER_BYTES + BODY_BYTES[type] + TAG_BYTES
    if len(frame) != wanted:
        raise FrameError("bad-length", "a compact frame of type %d is %d bytes; it has %d" % (type, len(frame), wanted))
    return type, device, (high & 15) << 16 | low


def nearest(low, bits, near):
    """The number with these low bits that is nearest to `near`, and not below 0."""
    size = 1 << bits
    found = near & ~(size - 1) | low
    if found - near > size // 2 and found >= size:
        return found - size
    return found + size if near - found > size // 2 else found


def open_compact(key, frame, seen):
    """(Header, body bytes) of an authentic frame; FrameError otherwise. seen: [(epoch, greatest counter)] that the
    gateway has of this device, the newest epoch first."""
    frame = bytes(frame)
    type, device, low = unpack_head(frame)
    for epoch, highest in seen[:MOST_EPOCHS]:
        counter = nearest(low, 20, highest)
        if counter > 0xFFFFFFFF:
            continue
        try:
            body = ccm_open(
                key, nonce(type, 0, device, epoch, counter), frame[:HEADER_BYTES], frame[HEADER_BYTES:], TAG_BYTES
            )
        except TagError:
            continue
        return Header(type, 0, device, epoch, counter), body
    raise FrameError("bad-tag", "bad tag in each of %d epochs that this device has" % min(len(seen), MOST_EPOCHS))


def unpack_body(type, body, activation=0):
    """The record of a compact body. activation: the greatest that is known of the device; 0 when none is."""
    if type == CANCEL:
        return unpack_cancel(body)
    if type == TROUBLE:
        return unpack_trouble(body)
    if type == HEARTBEAT:
        battery, flags, major, minor, patch, cause, alarms, edges, hours = struct.unpack(">H8B", body)
        return Heartbeat(
            3600 * hours,
            battery,
            0,
            firmware=(major, minor, patch),
            reset_cause=cause,
            open_alarms=alarms,
            lost_edges=edges,
            **named_flags(flags, Heartbeat.FLAGS),
        )
    return _alarm(body, activation)


def age_ms(code):
    """Milliseconds of an age's code; the least that it can mean."""
    exponent, mantissa = code >> 4, code & 15
    return 100 * (mantissa if not exponent else (16 + mantissa) << (exponent - 1))


def _alarm(body, activation):
    head, middle, last = struct.unpack(">HII", body)
    flags = (head & 3) << 4 | middle >> 28
    named = named_flags(flags, Alarm.FLAGS)
    code = middle >> 20 & 0xFF
    named["age_is_minimum"] = named["age_is_minimum"] or code == MOST_AGE
    lat = (middle & 0xFFFFF) << 3 | last >> 29
    where = {}
    if lat != NO_LAT:
        accuracy, fix_age = last >> 2 & 7, last & 3
        where = {
            "lat_e7": lat * 1800000000 // (NO_LAT - 1) - 900000000,
            "lon_e7": (last >> 5 & 0xFFFFFF) * 3600000000 // 0x1000000 - 1800000000,
            "accuracy_m": ACCURACY_M[accuracy] if accuracy < len(ACCURACY_M) else 0xFFFE if accuracy == 6 else None,
            "fix_age_s": FIX_AGE_S[fix_age] if fix_age < len(FIX_AGE_S) else None,
        }
    return Alarm(max(nearest(head >> 4, 12, activation), 1), head >> 2 & 3, age_ms=age_ms(code), **where, **named)
