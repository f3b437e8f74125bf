"""The frames of vectors.json: good ones with what they say, bad ones with why they are refused."""

from __future__ import annotations

import struct

from wire_encoder import (
    ALARM,
    ALARM_DEFAULTS,
    CANCEL,
    COMMAND,
    DEVICE,
    EPOCH,
    HEARTBEAT,
    HEARTBEAT_DEFAULTS,
    OTHER_ROOT,
    REPORT,
    ROOT,
    STAGES,
    STATUS,
    TEST,
    TROUBLE,
    U32,
    UPDATE,
    alarm_body,
    cancel_body,
    command_body,
    derive,
    header_bytes,
    heartbeat_body,
    nonce_bytes,
    report_body,
    sealed,
    status_body,
    trouble_body,
)

SIMPLE = {
    STATUS: status_body,
    CANCEL: cancel_body,
    TROUBLE: trouble_body,
    REPORT: report_body,
    COMMAND: command_body,
}


def golden(
    name: str,
    kind: int,
    counter: int,
    fields: dict,
    *,
    stage: int = 0,
    reads: dict | None = None,
    root: bytes = ROOT,
    device: int = DEVICE,
    epoch: int = EPOCH,
    body: bytes | None = None,
) -> dict:
    """reads: what a decoder gets where that differs; body: bytes that only a newer device makes."""
    if kind in SIMPLE:
        full, packed = dict(fields), SIMPLE[kind](fields)
    elif kind == HEARTBEAT:
        full = HEARTBEAT_DEFAULTS | fields
        packed = heartbeat_body(full)
    else:
        full = ALARM_DEFAULTS | fields
        packed = alarm_body(full)
    plain = body if body is not None else packed
    head = header_bytes(kind, stage, device, epoch, counter)
    return {
        "name": name,
        "root_key": root.hex(),
        "header": {"type": kind, "stage": stage, "device": device, "epoch": epoch, "counter": counter},
        "fields": None if body is not None else full,
        "reads": full | (reads or {}),
        "nonce": nonce_bytes(kind, stage, device, epoch, counter).hex(),
        "body": plain.hex(),
        "frame": sealed(head, plain, root).hex(),
    }


FIX = {"lat_e7": -69932000, "lon_e7": 1104203000, "accuracy_m": 5, "fix_age_s": 2}


def good() -> list[dict]:
    widest = {"age_ms": U32, "battery_mv": 0xFFFF, "accuracy_m": 0xFFFE, "fix_age_s": 0xFFFE}
    far = struct.pack(">IBBIiiHHH", 9, 1, 0, 5, 900000001, 0, 5, 2, 3700)
    half = struct.pack(">IBBIiiHHH", 9, 1, 0, 5, -69932000, -(2**31), 5, 2, 3700)
    newer = struct.pack(">IBBIiiHHH", 9, 77, 0xC1, 5, -69932000, 1104203000, 5, 2, 3700)
    none = {"activation": 9, "age_ms": 5, "battery_mv": 3700}
    return [
        golden("alarm with a fix", ALARM, 64, {"activation": 1, "age_ms": 1234, "battery_mv": 3987, **FIX}),
        golden("alarm without a fix", ALARM, 65, {"activation": 2, "age_ms": 40}),
        golden(
            "alarm, silent, at a fixed site",
            ALARM,
            66,
            {"activation": 0x7A310000, "silent": True, "fixed_site": True, "age_ms": 350},
        ),
        golden(
            "alarm by holding, repeated after a loss of power",
            ALARM,
            67,
            {"activation": 3, "gesture": 2, "age_is_minimum": True, "repeated": True, "age_ms": 95000},
        ),
        golden(
            "alarm, everything too great for its field",
            ALARM,
            68,
            {
                "activation": U32,
                "age_ms": U32 + 1,
                "lat_e7": 900000000,
                "lon_e7": -1800000000,
                "accuracy_m": 70000,
                "fix_age_s": 1000000,
                "battery_mv": 70000,
            },
            reads=widest,
        ),
        golden(
            "alarm, fix of unknown accuracy and age, other corner of the globe",
            ALARM,
            69,
            {"activation": 4, "lat_e7": -900000000, "lon_e7": 1800000000},
        ),
        golden(
            "alarm at the equator and the prime meridian, which is a fix",
            ALARM,
            70,
            {"activation": 5, "lat_e7": 0, "lon_e7": 0, "accuracy_m": 0, "fix_age_s": 0},
        ),
        golden(
            "alarm, greatest numbers of a header",
            ALARM,
            U32,
            {"activation": 6},
            device=U32,
            epoch=U32,
            root=OTHER_ROOT,
        ),
        golden("alarm, least numbers of a header", ALARM, 0, {"activation": 7}, device=0, epoch=0),
        golden("alarm update", UPDATE, 71, {"activation": 1, "age_ms": 31234, "battery_mv": 3980, **FIX}),
        golden("alarm of a mounted button that was moved", ALARM, 79, {"activation": 10, "moved": True, **FIX}),
        golden("alarm update, doubtful", UPDATE, 81, {"activation": 10, "doubtful": True, "age_ms": 9000, **FIX}),
        golden("test", TEST, 72, {"activation": 8, "age_ms": 12, **FIX}),
        golden("alarm, latitude outside the globe", ALARM, 73, none, body=far),
        golden("alarm, longitude missing", ALARM, 74, none, body=half),
        golden(
            "alarm of a newer device: unknown gesture and flags",
            ALARM,
            75,
            none | FIX,
            body=newer,
            reads={"gesture": 77, "silent": True},
        ),
        golden(
            "heartbeat",
            HEARTBEAT,
            76,
            {
                "uptime_s": 86400,
                "battery_mv": 4011,
                "rssi_dbm": -67,
                "has_fix": True,
                "firmware": [1, 2, 3],
                "reset_cause": 1,
            },
        ),
        golden(
            "heartbeat of a silent fixed site with troubles",
            HEARTBEAT,
            77,
            {
                "uptime_s": 1,
                "silent": True,
                "fixed_site": True,
                "firmware": [0, 1, 0],
                "reset_cause": 3,
                "open_alarms": 2,
                "lost_edges": 5,
            },
        ),
        golden(
            "heartbeat, everything too great for its field",
            HEARTBEAT,
            78,
            {
                "uptime_s": U32 + 1,
                "battery_mv": 65536,
                "rssi_dbm": -200,
                "firmware": [256, 300, 255],
                "reset_cause": 256,
                "open_alarms": 300,
                "lost_edges": 1000,
            },
            reads={
                "uptime_s": U32,
                "battery_mv": 0xFFFF,
                "rssi_dbm": -128,
                "firmware": [255, 255, 255],
                "reset_cause": 255,
                "open_alarms": 255,
                "lost_edges": 255,
            },
        ),
        golden("heartbeat, clock known, in test mode", HEARTBEAT, 82, {"clock_known": True, "test_mode": True}),
        golden("cancel", CANCEL, 83, {"activation": 1, "age_ms": 250, "duress": False, "repeated": False}),
        golden(
            "cancel under duress, repeated",
            CANCEL,
            84,
            {"activation": U32, "age_ms": U32 + 1, "duress": True, "repeated": True},
            reads={"age_ms": U32},
        ),
        golden("trouble, battery low", TROUBLE, 85, {"kind": 1, "ended": False, "age_s": 12, "value": 3320}),
        golden("trouble, battery low, ended", TROUBLE, 86, {"kind": 1, "ended": True, "age_s": 0, "value": 4100}),
        golden(
            "trouble of a newer device, numbers too great",
            TROUBLE,
            87,
            {"kind": 200, "ended": False, "age_s": U32 + 1, "value": -(2**40)},
            reads={"age_s": U32, "value": -(2**31)},
        ),
        golden("report, text of a crash", REPORT, 88, {"kind": 1, "code": 0, "ref": 0, "content": b"OSError: 5".hex()}),
        golden(
            "report, a command refused, text too long",
            REPORT,
            89,
            {"kind": 2, "code": 1, "ref": U32, "content": (b"x" * 95).hex()},
            reads={"content": (b"x" * 90).hex()},
        ),
        golden(
            "report, location",
            REPORT,
            90,
            {"kind": 3, "code": 0, "ref": 7, "content": struct.pack(">iiHH", -69932000, 1104203000, 5, 2).hex()},
        ),
        golden(
            "command set_time",
            COMMAND,
            5,
            {"code": 1, "content": struct.pack(">QII", 1_795_000_000_000, EPOCH, 76).hex()},
            epoch=1_795_000_000,
        ),
        golden("command set", COMMAND, 6, {"code": 2, "content": b"heartbeat_s=300".hex()}, epoch=1_795_000_000),
        golden("command locate", COMMAND, 7, {"code": 3, "content": ""}, epoch=1_795_000_000),
        *(golden(f"status {name}", STATUS, 64, {"activation": 1}, stage=stage) for stage, name in STAGES.items()),
        golden("status, receipt of a heartbeat", STATUS, 76, {"activation": 0}, stage=1),
    ]


def flipped(frame: bytes, index: int, bits: int = 1) -> bytes:
    changed = bytearray(frame)
    changed[index] ^= bits
    return bytes(changed)


def bad() -> list[dict]:
    alarm = alarm_body(ALARM_DEFAULTS)
    head = header_bytes(ALARM, 0, DEVICE, EPOCH, 80)
    frame = sealed(head, alarm)
    receipt = sealed(header_bytes(STATUS, 1, DEVICE, EPOCH, 80), status_body({"activation": 1}))
    other_device = derive(ROOT, b"uplink", DEVICE + 1)
    cases = [
        ("nothing", b"", "empty"),
        (
            "version 0",
            sealed(header_bytes(ALARM, 0, DEVICE, EPOCH, 80, version=0), alarm),
            "not-sigap-v1",
        ),
        (
            "version 2",
            sealed(header_bytes(ALARM, 0, DEVICE, EPOCH, 80, version=2), alarm),
            "not-sigap-v1",
        ),
        ("version 15, one byte: the version is looked at first", b"\xf1", "not-sigap-v1"),
        *(
            (
                f"type {n}, reserved",
                sealed(header_bytes(n, 0, DEVICE, EPOCH, 80), alarm),
                "reserved-type",
            )
            for n in (0, 10, 11, 12, 13, 14, 15)
        ),
        ("type 10, one byte: the type is looked at before the length", b"\x1a", "reserved-type"),
        ("alarm of one byte", frame[:1], "too-short"),
        ("alarm, header only", frame[:14], "too-short"),
        ("alarm of 21 bytes", frame[:21], "too-short"),
        ("alarm of 22 bytes", frame[:22], "bad-length"),
        ("alarm with its last byte missing", frame[:-1], "bad-length"),
        ("alarm with a byte too many", frame + b"\x00", "bad-length"),
        ("alarm of 118 bytes", frame + bytes(72), "bad-length"),
        ("alarm of 119 bytes", frame + bytes(73), "too-long"),
        ("alarm of 300 bytes", frame + bytes(254), "too-long"),
        (
            "status as long as an alarm",
            sealed(header_bytes(STATUS, 1, DEVICE, EPOCH, 80), alarm),
            "bad-length",
        ),
        (
            "authentic alarm with a reserved bit set",
            sealed(bytes([head[0], 0x10]) + head[2:], alarm),
            "bad-header",
        ),
        ("authentic alarm with a stage", sealed(bytes([head[0], 0x01]) + head[2:], alarm), "bad-header"),
        (
            "authentic status of stage 0",
            sealed(header_bytes(STATUS, 0, DEVICE, EPOCH, 80), bytes(4)),
            "bad-header",
        ),
        (
            "authentic status of stage 7",
            sealed(header_bytes(STATUS, 7, DEVICE, EPOCH, 80), bytes(4)),
            "bad-header",
        ),
        ("cancel as long as a trouble", sealed(header_bytes(CANCEL, 0, DEVICE, EPOCH, 80), bytes(10)), "bad-length"),
        ("report with a stage", sealed(header_bytes(REPORT, 1, DEVICE, EPOCH, 80), bytes(96)), "bad-header"),
        ("alarm turned into a test", bytes([0x14]) + frame[1:], "bad-tag"),
        ("device changed", flipped(frame, 5), "bad-tag"),
        ("epoch changed", flipped(frame, 9), "bad-tag"),
        ("counter changed", flipped(frame, 13), "bad-tag"),
        ("first byte of the body changed", flipped(frame, 14), "bad-tag"),
        ("last byte of the body changed", flipped(frame, 37, 0x80), "bad-tag"),
        ("first byte of the tag changed", flipped(frame, 38), "bad-tag"),
        ("last byte of the tag changed", flipped(frame, 45, 0x80), "bad-tag"),
        ("sealed with another root key", sealed(head, alarm, OTHER_ROOT), "bad-tag"),
        ("sealed with another device's key", sealed(head, alarm, key=other_device), "bad-tag"),
        (
            "alarm sealed with the downlink key",
            sealed(head, alarm, key=derive(ROOT, b"downlink", DEVICE)),
            "bad-tag",
        ),
        ("receipt turned into closed", bytes([receipt[0], 6]) + receipt[2:], "bad-tag"),
    ]
    return [{"name": n, "root_key": ROOT.hex(), "frame": f.hex(), "reason": r} for n, f, r in cases]
