"""A second encoder of the contract's compact form, written from CONTRACT.md, section 10, without panic_wire."""

from __future__ import annotations

import struct
from typing import Any

from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from wire_encoder import ALARM, CANCEL, DEVICE, EPOCH, HEARTBEAT, ROOT, TEST, TROUBLE, UPDATE, derive

FLAGS = ("silent", "fixed_site", "age_is_minimum", "repeated", "moved", "doubtful")
ACCURACY, FIX_AGE = (5, 10, 20, 50, 100, 500), (10, 60, 600)


def age_code(age_ms: int) -> int:
    """By looking for the greatest code that says no more than it is."""
    tenths = age_ms // 100
    value = lambda code: code if code < 16 else (16 + code % 16) << (code // 16 - 1)  # noqa: E731
    return max(code for code in range(256) if value(code) <= tenths)


def classed(value: int | None, bounds: tuple[int, ...], unknown: int) -> int:
    return unknown if value is None else sum(value > bound for bound in bounds)


def alarm_bits(fields: dict[str, Any]) -> bytes:
    """As a text of binary digits, field by field."""
    lat, lon = fields.get("lat_e7"), fields.get("lon_e7")
    bits = f"{fields['activation'] % 4096:012b}"
    bits += f"{fields.get('gesture', 1) if fields.get('gesture', 1) < 4 else 0:02b}"
    bits += f"{sum(1 << place for place, name in enumerate(FLAGS) if fields.get(name)):06b}"
    bits += f"{age_code(fields.get('age_ms', 0)):08b}"
    if lat is None or lon is None:
        bits += f"{0x7FFFFF:023b}" + "0" * 24 + "111" + "11"
    else:
        bits += f"{round((lat + 900000000) / 1800000000 * 0x7FFFFE):023b}"
        bits += f"{min(round((lon + 1800000000) / 3600000000 * 0x1000000), 0xFFFFFF):024b}"
        bits += f"{classed(fields.get('accuracy_m'), ACCURACY, 7):03b}"
        bits += f"{classed(fields.get('fix_age_s'), FIX_AGE, 3):02b}"
    return int(bits, 2).to_bytes(10, "big")


def heartbeat_bits(fields: dict[str, Any]) -> bytes:
    names = ("silent", "fixed_site", "has_fix", "clock_known", "test_mode")
    flags = sum(1 << place for place, name in enumerate(names) if fields.get(name))
    more = (fields["reset_cause"], fields["open_alarms"], fields["lost_edges"], min(fields["uptime_s"] // 3600, 255))
    return struct.pack(">HB3B4B", fields["battery_mv"], flags, *fields["firmware"], *more)


def compact(kind: int, counter: int, body: bytes, *, device: int = DEVICE, epoch: int = EPOCH) -> bytes:
    key = derive(ROOT, b"uplink", device)
    head = bytes((0x1A,)) + device.to_bytes(4, "big") + (kind << 20 | counter % (1 << 20)).to_bytes(3, "big")
    nonce = struct.pack(">BIII", kind * 16 + 8, device, epoch, counter)
    return head + AESCCM(key, 6).encrypt(nonce, body, head)


def status(stage: int, counter: int, *, device: int = DEVICE, epoch: int = EPOCH) -> bytes:
    key = derive(ROOT, b"downlink", device)
    head = (device % 65536).to_bytes(2, "big") + bytes((stage * 32 + counter % 32,))
    nonce = struct.pack(">BIII", 8 * 16 + 8 + stage, device, epoch, counter)
    return head + AESCCM(key, 6).encrypt(nonce, b"", head)


PLACE = {"lat_e7": -69932000, "lon_e7": 1104203000, "accuracy_m": 5, "fix_age_s": 2}


def cases() -> list[dict[str, Any]]:
    """{"name", "type", "epoch", "counter", "seen": [epoch, greatest], "near": activation, "body", "frame"}."""
    beat = {
        "battery_mv": 3987, "flags": 0, "firmware": [0, 1, 0], "reset_cause": 1, "open_alarms": 2, "lost_edges": 3,
        "uptime_s": 90_000, "clock_known": True,
    }  # fmt: skip
    turn = 1 << 20
    far = {"activation": 0x11002, "age_ms": 10**9, "gesture": 2, "accuracy_m": 501, "fix_age_s": 601}
    far |= {"lat_e7": -900000000, "lon_e7": 1800000000}
    made = [
        ("alarm", ALARM, 64, 63, 1, alarm_bits({"activation": 1, "age_ms": 1234, **PLACE})),
        ("alarm without a fix", ALARM, 65, 64, 0, alarm_bits({"activation": 7, "age_ms": 0, "silent": True})),
        ("alarm far off", ALARM, 66, 64, 0x10F00, alarm_bits(far)),
        ("update", UPDATE, turn + 3, turn - 5, 4095, alarm_bits({"activation": 4097, "moved": True, **PLACE})),
        ("test", TEST, 0xFFFFFFFF, 0xFFFFFF00, 3, alarm_bits({"activation": 4, "repeated": True})),
        ("cancel", CANCEL, 70, 66, 0, struct.pack(">IIB", 1, 2500, 0)),
        ("heartbeat", HEARTBEAT, 71, 70, 0, heartbeat_bits(beat)),
        ("trouble", TROUBLE, 72, 71, 0, struct.pack(">BBIi", 1, 0, 60, 3400)),
    ]  # fmt: skip
    return [
        {
            "name": name,
            "root_key": ROOT.hex(),
            "device": DEVICE,
            "type": kind,
            "epoch": EPOCH,
            "counter": counter,
            "seen": highest,
            "near": near,
            "body": body.hex(),
            "frame": compact(kind, counter, body).hex(),
        }
        for name, kind, counter, highest, near, body in made
    ]


def statuses() -> list[dict[str, Any]]:
    """Of each stage, the status that answers one counter."""
    return [
        {
            "root_key": ROOT.hex(),
            "device": DEVICE,
            "stage": stage,
            "epoch": EPOCH,
            "counter": 60 + stage,
            "status": status(stage, 60 + stage).hex(),
        }
        for stage in range(1, 7)
    ]
