"""What a case sends: which devices, how many alarms, when each is meant to be sent; and their valid sealed frames."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import asdict, dataclass

from panic_wire import topics
from panic_wire.frames import ALARM, RECEIPT, STATUS, Alarm, Header
from panic_wire.keys import uplink_key
from panic_wire.seal import seal
from sigap.bench import wire

EPOCH = 0xBE7C
FIRST_ID = 0x10000000
LAT_E7, LON_E7 = -69_905_000, 1_104_203_000


@dataclass(frozen=True)
class Load:
    """Alarms 0 to count-1; alarm i is of device first_id + i % devices, and is meant to be sent i / per_s after the
    start. No two loads share devices: each device's counters and activations begin at 1."""

    first_id: int
    devices: int
    per_s: float
    count: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def intended_ns(self, index: int) -> int:
        """After the start."""
        return round(index * 1e9 / self.per_s)

    def index_of(self, payload: bytes, status: int | None = RECEIPT) -> int | None:
        """Which alarm a frame speaks of; None for another load's. status: the stage that a status frame must have,
        None for the alarm's own frame."""
        if len(payload) < 14:
            return None
        first, stage, device, epoch, counter = struct.unpack(">BBIII", payload[:14])
        if epoch != EPOCH or (status is not None and (first & 15 != STATUS or stage != status)):
            return None
        offset = device - self.first_id
        index = (counter - 1) * self.devices + offset
        return index if 0 <= offset < self.devices and 0 <= index < self.count else None

    def packet(self, index: int, packet_id: int) -> bytes:
        """The PUBLISH of an alarm, its age of press 0 as sealed."""
        turn, offset = divmod(index, self.devices)
        device, counter = self.first_id + offset, turn + 1
        alarm = Alarm(
            counter, lat_e7=LAT_E7 + offset, lon_e7=LON_E7 + offset, accuracy_m=8, fix_age_s=3, battery_mv=3900
        )
        frame = seal(uplink_key(root_key(device), device), Header(ALARM, 0, device, EPOCH, counter), alarm.pack())
        return wire.publish(topics.up(topics.device_name(device)), frame, packet_id)


def root_key(device: int) -> bytes:
    """The same in every process, also in node_red/settings.js. For the bench's own stores only."""
    return hashlib.sha256(b"sigap bench %d" % device).digest()[:16]
