"""What a base station says of a frame that it heard, and the frame. Pure."""

from __future__ import annotations

import struct
from dataclasses import dataclass

from panic_wire.base_line import HELD_AT_LEAST, UP_LAYOUT

UP_BYTES = struct.calcsize(UP_LAYOUT)


@dataclass(frozen=True, slots=True)
class Hearing:
    """base: its id. held_ms: how long it had the frame; more, with held_at_least. rssi_dbm, snr_db: as it claims."""

    base: int
    held_ms: int
    held_at_least: bool
    rssi_dbm: int
    snr_db: int
    frame: bytes


def hearing(base: int, payload: bytes) -> Hearing | None:
    """Of an UP's payload; None for one that is too short to be one."""
    if len(payload) <= UP_BYTES:
        return None
    _, held_ms, rssi_dbm, snr_db, flags = struct.unpack(UP_LAYOUT, payload[:UP_BYTES])
    frame = payload[UP_BYTES:]
    return Hearing(base, held_ms, bool(flags & HELD_AT_LEAST), rssi_dbm, snr_db, frame)
