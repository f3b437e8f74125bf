"""What a region allows on the air, as data, and a watcher that writes down each transmission that breaks it.

AS923-2 is LoRaWAN's name for Indonesia (RP002-1.0.4, 2.11). The Indonesian limits (Kepmen Kominfo 5/2024: 20 dBm
EIRP for a device, 250 kHz, a duty cycle of 1 %) are second-hand: check them before production.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from simulator.radio.modulation import Modulation, Packet

HOUR_US = 3_600_000_000


@dataclass(frozen=True)
class Region:
    """channels_hz: what goes up, the first of them LoRaWAN's own. answers_hz: kept for what comes down.

    duty: the share of any hour that one radio may send. dwell_us: the longest single transmission.
    """

    name: str
    band_hz: tuple[int, int]
    channels_hz: tuple[int, ...]
    answers_hz: tuple[int, ...]
    dwell_us: int
    duty: float
    device_dbm: float
    base_dbm: float
    widest_hz: int

    def airtime_us(self, length: int, factor: int) -> int:
        """Of a packet of so many bytes on the region's first channel."""
        modulation = Modulation(self.channels_hz[0], factor)
        return Packet(bytes(length), modulation, self.device_dbm, low_data_rate=modulation.is_slow).airtime_us

    def most_bytes(self, factor: int) -> int:
        """What the dwell time leaves; 0: nothing fits."""
        return max((length for length in range(1, 256) if self.airtime_us(length, factor) <= self.dwell_us), default=0)


AS923_2 = Region(
    name="AS923-2",
    band_hz=(920_000_000, 923_000_000),
    channels_hz=tuple(
        kilohertz * 1000 for kilohertz in (921_400, 921_600, 921_200, 921_800, 922_000, 922_200, 922_400, 921_000)
    ),
    answers_hz=tuple(khz * 1000 for khz in (922_600, 922_800, 920_800, 920_600, 920_400, 920_200)),
    dwell_us=400_000,
    duty=0.01,
    device_dbm=20.0,
    base_dbm=26.0,
    widest_hz=250_000,
)


@dataclass
class Inspector:
    """An air's watcher. broken: one sentence for each transmission that the region forbids."""

    region: Region
    bases: frozenset[str] = frozenset()
    broken: list[str] = field(default_factory=list)
    airtime_us: dict[str, int] = field(default_factory=dict)
    _hour: dict[str, deque[tuple[int, int]]] = field(default_factory=dict)

    def __call__(self, sender: str, packet: Packet, begin_us: int) -> None:
        region, modulation, airtime_us = self.region, packet.modulation, packet.airtime_us
        low, high = region.band_hz
        half_hz = modulation.bandwidth_hz // 2
        limit_dbm = region.base_dbm if sender in self.bases else region.device_dbm
        sent = self._hour.setdefault(sender, deque())
        end_us = begin_us + airtime_us
        while sent and sent[0][0] + sent[0][1] <= end_us - HOUR_US:
            sent.popleft()
        sent.append((begin_us, airtime_us))
        share = sum(min(each, begin + each - (end_us - HOUR_US)) for begin, each in sent) / HOUR_US
        self.airtime_us[sender] = self.airtime_us.get(sender, 0) + airtime_us
        for is_broken, what in (
            (not low <= modulation.frequency_hz - half_hz, f"below {low} Hz"),
            (not modulation.frequency_hz + half_hz <= high, f"above {high} Hz"),
            (modulation.bandwidth_hz > region.widest_hz, f"wider than {region.widest_hz} Hz"),
            (airtime_us > region.dwell_us, f"{airtime_us} us, longer than {region.dwell_us}"),
            (packet.power_dbm > limit_dbm, f"{packet.power_dbm} dBm, more than {limit_dbm}"),
            (share > region.duty, f"{share:.2%} of an hour, more than {region.duty:.0%}"),
        ):
            if is_broken:
                self.broken.append(f"{region.name}: {sender} at {begin_us} us: {what}")
