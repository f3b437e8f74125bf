"""The SX126x's opcodes: names and lengths of their parameters, from the datasheet (SX1261/2 rev. 2.1, section 11)."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """least and most: parameter bytes after the opcode. reads: bytes come back, and none of them need be taken."""

    name: str
    least: int
    most: int
    reads: bool = False


COMMANDS = {
    # 11.1: operational modes
    0x84: Command("SetSleep", 1, 1),
    0x80: Command("SetStandby", 1, 1),
    0xC1: Command("SetFs", 0, 0),
    0x83: Command("SetTx", 3, 3),
    0x82: Command("SetRx", 3, 3),
    0x9F: Command("StopTimerOnPreamble", 1, 1),
    0xC5: Command("SetCad", 0, 0),
    0x96: Command("SetRegulatorMode", 1, 1),
    0x89: Command("Calibrate", 1, 1),
    0x98: Command("CalibrateImage", 2, 2),
    0x95: Command("SetPaConfig", 4, 4),
    0x93: Command("SetRxTxFallbackMode", 1, 1),
    # 11.2: registers and buffer; an address, then data
    0x0D: Command("WriteRegister", 3, 258),
    0x1D: Command("ReadRegister", 4, 258, True),
    0x0E: Command("WriteBuffer", 2, 257),
    0x1E: Command("ReadBuffer", 3, 258, True),
    # 11.3: DIO and IRQ
    0x08: Command("SetDioIrqParams", 8, 8),
    0x12: Command("GetIrqStatus", 3, 3, True),
    0x02: Command("ClearIrqStatus", 2, 2),
    0x9D: Command("SetDIO2AsRfSwitchCtrl", 1, 1),
    0x97: Command("SetDIO3AsTcxoCtrl", 4, 4),
    # 11.4: RF, modulation, packets. What a LoRa packet has no use for may be sent as zeros (tables 13-47, 13-66).
    0x86: Command("SetRfFrequency", 4, 4),
    0x8A: Command("SetPacketType", 1, 1),
    0x11: Command("GetPacketType", 2, 2, True),
    0x8E: Command("SetTxParams", 2, 2),
    0x8B: Command("SetModulationParams", 4, 8),
    0x8C: Command("SetPacketParams", 6, 9),
    0x88: Command("SetCadParams", 7, 7),
    0x8F: Command("SetBufferBaseAddress", 2, 2),
    0xA0: Command("SetLoRaSymbNumTimeout", 1, 1),
    # 11.5: status
    0xC0: Command("GetStatus", 0, 1, True),
    0x15: Command("GetRssiInst", 2, 2, True),
    0x13: Command("GetRxBufferStatus", 3, 3, True),
    0x14: Command("GetPacketStatus", 4, 4, True),
    0x17: Command("GetDeviceErrors", 2, 3, True),
    0x07: Command("ClearDeviceErrors", 2, 2),
    0x10: Command("GetStats", 7, 7, True),
    0x00: Command("ResetStats", 6, 6),
}
NOT_MODELLED = {0x94: "SetRxDutyCycle", 0xD1: "SetTxContinuousWave", 0xD2: "SetTxInfinitePreamble"}

# Registers (section 12) with their values after a reset.
REGISTERS = {
    0x0736: 0x0D,  # IQ polarity setup
    0x0740: 0x14, 0x0741: 0x24,  # LoRa sync word
    0x0889: 0x01,  # TX modulation
    0x08AC: 0x94,  # RX gain
    0x08D8: 0xC8,  # TX clamp configuration
    0x08E7: 0x38,  # over-current protection
    0x0902: 0x00, 0x0944: 0x00,  # RTC control, event mask
    0x0911: 0x05, 0x0912: 0x05,  # XTA and XTB trim
    0x029F: 0x00, 0x02A0: 0x00, 0x02A1: 0x00,  # retention list
}  # fmt: skip
RANDOM = range(0x0819, 0x081D)

BANDWIDTH_HZ = {
    0x00: 7_810, 0x08: 10_420, 0x01: 15_630, 0x09: 20_830, 0x02: 31_250, 0x0A: 41_670, 0x03: 62_500,
    0x04: 125_000, 0x05: 250_000, 0x06: 500_000,
}  # fmt: skip
# SetPaConfig and SetTxParams of the SX1262: (paDutyCycle, hpMax) to the most that comes out, in dBm (table 13-21).
PA_DBM = {(4, 7): 22, (3, 5): 20, (2, 3): 17, (2, 2): 14}
CAD_SYMBOLS = (1, 2, 4, 8, 16)

# IRQ bits (table 13-29)
TX_DONE, RX_DONE, PREAMBLE, SYNC, HEADER_VALID, HEADER_ERROR, CRC_ERROR, CAD_DONE, CAD_DETECTED, TIMEOUT = (
    1 << bit for bit in range(10)
)
# Device errors (table 13-86)
XOSC_START_ERROR = 0x20
# Status byte (table 13-76): chip mode in bits 6:4, command status in bits 3:1
SLEEP, STDBY_RC, STDBY_XOSC, FS, RX, TX = 1, 2, 3, 4, 5, 6
DATA_AVAILABLE, TIMED_OUT, NOT_PROCESSED, FAILED, TX_ENDED = 2, 3, 4, 5, 6

# How long BUSY is high (table 8-2), in microseconds
COLD_START_US, WARM_START_US, CALIBRATE_US = 3_500, 340, 3_500
BUSY_US = {STDBY_RC: 1, STDBY_XOSC: 31, FS: 50, RX: 83, TX: 126}
STEP_US = 15.625  # of time-outs and of the TCXO's delay
