"""The compact form of frames, for LoRa (CONTRACT.md, section 10): what a button seals, and what it opens.

At most 24 bytes: what the region's dwell time leaves at SF10. The gateway's side is in compact_open.py.
"""

import struct

from panic_wire.bodies import ALARM_LAYOUT, NO_FIX, UNKNOWN_U16, is_position, limited
from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.header import CANCEL, HEARTBEAT, STATUS, TROUBLE, VERSION

COMPACT = 10  # types of section 10
STATUSES = 11
HEADER_BYTES = 8
TAG_BYTES = 6
STATUS_BYTES = 9
COUNTER_MASK = 0xFFFFF
STATUS_MASK = 31  # of the counter, in a status
_COMPACT_NONCE = 8

NO_LAT = 0x7FFFFF
ACCURACY_M = (5, 10, 20, 50, 100, 500)
FIX_AGE_S = (10, 60, 600)
MOST_AGE = 255  # code of an age: that much or more


def _class(value, bounds, unknown):
    if value is None:
        return unknown
    for place, bound in enumerate(bounds):
        if value <= bound:
            return place
    return len(bounds)


def age_code(age_ms):
    """8 bits: tenths of a second, four of them exact, never more than it is."""
    tenths = max(age_ms, 0) // 100
    exponent = 0
    while tenths >> exponent > 31:
        exponent += 1
    if tenths < 16:
        return tenths
    return min((exponent + 1) << 4 | (tenths >> exponent) & 15, MOST_AGE)


def pack_alarm(activation, gesture, flags, age_ms, position):
    """10 bytes; always packs. position: (lat_e7, lon_e7, accuracy_m or None, fix_age_s or None), or None."""
    lat, lon, accuracy, fix_age = NO_LAT, 0, 7, 3
    if position and is_position(position[0], position[1]):
        lat = ((position[0] + 900000000) * (NO_LAT - 1) + 900000000) // 1800000000
        lon = min(((position[1] + 1800000000) * 0x1000000 + 1800000000) // 3600000000, 0xFFFFFF)
        accuracy = _class(position[2], ACCURACY_M, 7)
        fix_age = _class(position[3], FIX_AGE_S, 3)
    head = (activation & 0xFFF) << 4 | (gesture & 3 if gesture < 4 else 0) << 2 | (flags & 63) >> 4
    # 16 bits, then 32, then 32: numbers that a chip need not allocate more than once.
    middle = (flags & 15) << 28 | age_code(age_ms) << 20 | lat >> 3
    return struct.pack(">HII", head, middle, (lat & 7) << 29 | lon << 5 | accuracy << 2 | fix_age)


def pack_heartbeat(body):
    """10 bytes of a full heartbeat's 14: without the WiFi's strength, and the uptime in hours."""
    uptime, battery, _, flags = struct.unpack(">IHbB", body[:8])
    return struct.pack(">HB", battery, flags) + body[8:14] + bytes((limited(uptime // 3600, 0, 255),))


def small_body(type, body):
    """What a full frame's body is in a compact one."""
    if type == HEARTBEAT:
        return pack_heartbeat(body)
    if type in (CANCEL, TROUBLE):
        return body
    activation, gesture, flags, age_ms, lat, lon, accuracy, fix_age, _ = struct.unpack(ALARM_LAYOUT, body)
    place = None if lat == NO_FIX else (lat, lon, _known(accuracy), _known(fix_age))
    return pack_alarm(activation, gesture, flags, age_ms, place)


def _known(value):
    return None if value == UNKNOWN_U16 else value


def seal_full(key, type, device, epoch, counter, body):
    """The compact frame of a full frame's body."""
    return seal_compact(key, type, device, epoch, counter, small_body(type, body))


def seal_compact(key, type, device, epoch, counter, body):
    """The frame's bytes. key: uplink_key. type: of the full frame. body: as small_body makes it."""
    low = type << 20 | counter & COUNTER_MASK
    head = struct.pack(">BIBH", VERSION << 4 | COMPACT, device, low >> 16, low & 0xFFFF)
    return head + ccm_seal(key, nonce(type, 0, device, epoch, counter), head, body, TAG_BYTES)


def nonce(type, stage, device, epoch, counter):
    """13 bytes, as a full frame's, with a bit that no full frame has."""
    return struct.pack(">BIII", type << 4 | _COMPACT_NONCE | stage, device, epoch, counter)


def seal_status(key, stage, device, epoch, counter):
    """9 bytes of one compact status. key: downlink_key. It has no text, so it may be said as often as wanted."""
    head = struct.pack(">HB", device & 0xFFFF, stage << 5 | counter & STATUS_MASK)
    return head + ccm_seal(key, nonce(STATUS, stage, device, epoch, counter), head, b"", TAG_BYTES)


def is_statuses(packet):
    """A packet of compact statuses."""
    return len(packet) > 1 and packet[0] == VERSION << 4 | STATUSES and (len(packet) - 1) % STATUS_BYTES == 0


def statuses(packet, device):
    """[(stage, low bits of the counter, the status)] that may be this device's in a packet of compact statuses: of its
    id the status has the lower half."""
    mine = struct.pack(">H", device & 0xFFFF)
    found = []
    for at in range(1, len(packet), STATUS_BYTES):
        if packet[at : at + 2] == mine:
            found.append((packet[at + 2] >> 5, packet[at + 2] & STATUS_MASK, bytes(packet[at : at + STATUS_BYTES])))
    return found


def is_status(key, status, stage, device, epoch, counter):
    """The status is authentic, and answers this frame of ours."""
    try:
        ccm_open(key, nonce(STATUS, stage, device, epoch, counter), status[:3], status[3:], TAG_BYTES)
    except TagError:
        return False
    return True
