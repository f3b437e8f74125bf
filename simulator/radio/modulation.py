"""A LoRa packet on the air: its length in time, and how weak it may arrive. From Semtech's datasheets.

SX1276/77/78/79 rev. 7, section 4.1.1.7 (time on air; the SX1262's 6.1.4 is the same for SF7 to SF12) and table 13
(the SNR that a demodulator needs).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SPREADING_FACTORS = range(7, 13)
BANDWIDTHS_HZ = (7_810, 10_420, 15_630, 20_830, 31_250, 41_670, 62_500, 125_000, 250_000, 500_000)
SNR_LIMIT_DB = {7: -7.5, 8: -10.0, 9: -12.5, 10: -15.0, 11: -17.5, 12: -20.0}
NOISE_FIGURE_DB = 6.0
HEADER_SYMBOLS = 8  # the first block of the payload, in which the explicit header is
SYNC_SYMBOLS = 4.25
LONG_SYMBOL_US = 16_000  # above it the low data rate optimisation is mandated


@dataclass(frozen=True)
class Modulation:
    """What two radios must have in common to hear each other. sync_word: the SX1276's one byte (0x12 private)."""

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int = 125_000
    iq_inverted: bool = False
    sync_word: int = 0x12

    def __post_init__(self) -> None:
        if self.spreading_factor not in SPREADING_FACTORS:
            raise ValueError(f"SF{self.spreading_factor} is not modelled: SF7 to SF12 are")
        if self.bandwidth_hz not in BANDWIDTHS_HZ:
            raise ValueError(f"LoRa has no bandwidth of {self.bandwidth_hz} Hz")

    @property
    def symbol_us(self) -> float:
        return (1 << self.spreading_factor) * 1e6 / self.bandwidth_hz

    @property
    def is_slow(self) -> bool:
        """The low data rate optimisation is mandated (SX1276, 4.1.1.6)."""
        return self.symbol_us > LONG_SYMBOL_US

    @property
    def noise_dbm(self) -> float:
        """Thermal noise in this bandwidth, with the receiver's own."""
        return -174.0 + 10 * math.log10(self.bandwidth_hz) + NOISE_FIGURE_DB

    @property
    def sensitivity_dbm(self) -> float:
        """The weakest that is received where nothing disturbs."""
        return self.noise_dbm + SNR_LIMIT_DB[self.spreading_factor]

    def meets(self, other: Modulation) -> bool:
        """One receives the other: their frequencies may differ by a quarter of the bandwidth (SX1276, 4.1.5)."""
        return (
            abs(self.frequency_hz - other.frequency_hz) <= self.bandwidth_hz // 4
            and self.spreading_factor == other.spreading_factor
            and self.bandwidth_hz == other.bandwidth_hz
            and self.iq_inverted == other.iq_inverted
        )

    def overlaps(self, other: Modulation) -> bool:
        """Their bands touch, so that one disturbs the other."""
        return abs(self.frequency_hz - other.frequency_hz) * 2 < self.bandwidth_hz + other.bandwidth_hz


@dataclass(frozen=True)
class Packet:
    """One transmission. coding_rate: 1 to 4, for 4/5 to 4/8. power_dbm: at the antenna."""

    payload: bytes
    modulation: Modulation
    power_dbm: float
    preamble_symbols: int = 8
    coding_rate: int = 1
    explicit_header: bool = True
    crc: bool = True
    low_data_rate: bool = False

    @property
    def preamble_us(self) -> int:
        """To the end of the sync word and the start of the payload's first symbol."""
        return round((self.preamble_symbols + SYNC_SYMBOLS) * self.modulation.symbol_us)

    @property
    def header_us(self) -> int:
        """To the end of the block that holds the header."""
        return self.preamble_us + round(HEADER_SYMBOLS * self.modulation.symbol_us)

    @property
    def airtime_us(self) -> int:
        return self.preamble_us + round(self._payload_symbols() * self.modulation.symbol_us)

    def _payload_symbols(self) -> int:
        factor = self.modulation.spreading_factor
        bits = 8 * len(self.payload) - 4 * factor + 28 + 16 * self.crc - 20 * (not self.explicit_header)
        blocks = math.ceil(bits / (4 * (factor - 2 * self.low_data_rate)))
        return HEADER_SYMBOLS + max(blocks, 0) * (self.coding_rate + 4)
