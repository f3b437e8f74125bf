"""A second encoder of contract v1, written from CONTRACT.md without panic_wire.

A mistake there and a mistake here have to be the same mistake to go unseen.
"""

from __future__ import annotations

import struct

from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ALARM, UPDATE, CANCEL, TEST, HEARTBEAT, TROUBLE, REPORT, STATUS, COMMAND = 1, 2, 3, 4, 5, 6, 7, 8, 9
STAGES = {1: "receipt", 2: "accepted", 3: "acknowledged", 4: "dispatched", 5: "on_scene", 6: "closed"}
U32 = 0xFFFFFFFF

ROOT = bytes(range(16))
OTHER_ROOT = bytes.fromhex("8f1d4ac03be97755a1620c9be4d7f312")
DEVICE = 0x0000A1B2
EPOCH = 0x5E1F00D5

ALARM_DEFAULTS = {
    "activation": 1,
    "gesture": 1,
    "silent": False,
    "fixed_site": False,
    "age_is_minimum": False,
    "repeated": False,
    "moved": False,
    "doubtful": False,
    "age_ms": 0,
    "lat_e7": None,
    "lon_e7": None,
    "accuracy_m": None,
    "fix_age_s": None,
    "battery_mv": 0,
}
HEARTBEAT_DEFAULTS = {
    "uptime_s": 0,
    "battery_mv": 0,
    "rssi_dbm": 0,
    "silent": False,
    "fixed_site": False,
    "has_fix": False,
    "clock_known": False,
    "test_mode": False,
    "firmware": [0, 0, 0],
    "reset_cause": 0,
    "open_alarms": 0,
    "lost_edges": 0,
}


def derive(root: bytes, label: bytes, device: int, length: int = 16) -> bytes:
    return HKDF(SHA256(), length, salt=b"sigap v1", info=label + struct.pack(">I", device)).derive(root)


def clamp(value: int, low: int, high: int) -> int:
    return max(low, min(high, value))


def alarm_body(f: dict) -> bytes:
    flags = f["silent"] | f["fixed_site"] << 1 | f["age_is_minimum"] << 2 | f["repeated"] << 3
    flags |= f["moved"] << 4 | f["doubtful"] << 5
    if f["lat_e7"] is None:
        where = struct.pack(">iiHH", -(2**31), -(2**31), 0xFFFF, 0xFFFF)
    else:
        rest = [0xFFFF if f[k] is None else min(f[k], 0xFFFE) for k in ("accuracy_m", "fix_age_s")]
        where = struct.pack(">iiHH", f["lat_e7"], f["lon_e7"], *rest)
    head = struct.pack(">IBBI", f["activation"], f["gesture"], flags, clamp(f["age_ms"], 0, U32))
    return head + where + struct.pack(">H", clamp(f["battery_mv"], 0, 0xFFFF))


def heartbeat_body(f: dict) -> bytes:
    flags = f["silent"] | f["fixed_site"] << 1 | f["has_fix"] << 2
    flags |= f["clock_known"] << 3 | f["test_mode"] << 4
    small = [clamp(v, 0, 255) for v in (*f["firmware"], f["reset_cause"], f["open_alarms"], f["lost_edges"])]
    first = (clamp(f["uptime_s"], 0, U32), clamp(f["battery_mv"], 0, 0xFFFF), clamp(f["rssi_dbm"], -128, 127))
    return struct.pack(">IHbB6B", *first, flags, *small)


def cancel_body(f: dict) -> bytes:
    return struct.pack(">IIB", f["activation"], clamp(f["age_ms"], 0, U32), f["duress"] | f["repeated"] << 1)


def trouble_body(f: dict) -> bytes:
    value = clamp(f["value"], -(2**31), 2**31 - 1)
    return struct.pack(">BBIi", f["kind"], f["ended"], clamp(f["age_s"], 0, U32), value)


def report_body(f: dict) -> bytes:
    return struct.pack(">BBI", f["kind"], f["code"], f["ref"]) + bytes.fromhex(f["content"])[:90].ljust(90, b"\0")


def command_body(f: dict) -> bytes:
    return bytes([f["code"]]) + bytes.fromhex(f["content"]).ljust(95, b"\0")


def status_body(f: dict) -> bytes:
    return struct.pack(">I", f["activation"])


def header_bytes(kind: int, stage: int, device: int, epoch: int, counter: int, *, version: int = 1) -> bytes:
    return bytes([version * 16 + kind, stage]) + struct.pack(">III", device, epoch, counter)


def nonce_bytes(kind: int, stage: int, device: int, epoch: int, counter: int) -> bytes:
    return bytes([kind * 16 + (stage & 15)]) + struct.pack(">III", device, epoch, counter)


def key_for(root: bytes, kind: int, device: int) -> bytes:
    return derive(root, b"downlink" if kind in (STATUS, COMMAND) else b"uplink", device)


def sealed(head: bytes, body: bytes, root: bytes = ROOT, key: bytes | None = None) -> bytes:
    """Any header and body sealed correctly, also ones that the contract forbids."""
    kind, stage = head[0] & 15, head[1] & 15
    device = int.from_bytes(head[2:6], "big")
    nonce = bytes([kind * 16 + stage]) + head[2:14]
    return head + AESCCM(key or key_for(root, kind, device), 8).encrypt(nonce, body, head)
