"""The SX1276 (RFM95) in its LoRa mode, register by register as its datasheet has it (Semtech SX1276/77/78/79, rev. 7).

It knows nothing of who drives it. A register that LoRa mode does not have, the FIFO in sleep, and what is not modelled
(FSK, the low band, implicit headers of a received packet, frequency hopping, SF6) are Faults. Modelled besides:

- LongRangeMode changes in sleep only (4.1.3, note 1): elsewhere the bit stays as it was, as on the chip;
- erratum 2.3, spurious reception (Semtech's errata note, rev. 1.2): what it does to reception has no figures there and
  is not modelled; `spurious` says whether the program left it open.
"""

from __future__ import annotations

from simulator.radio.air import Air, Heard
from simulator.radio.chip import Chip, Fault
from simulator.radio.modulation import BANDWIDTHS_HZ, Modulation, Packet

SLEEP, STANDBY, FS_TX, TX, FS_RX, RX_CONTINUOUS, RX_SINGLE, CAD = range(8)
LONG_RANGE = 0x80
# RegIrqFlags (table 41, 12H)
CAD_DETECTED, HOP, CAD_DONE, TX_DONE, VALID_HEADER, CRC_ERROR, RX_DONE, RX_TIMEOUT = (1 << bit for bit in range(8))
FIFO, OP_MODE, FIFO_PTR, TX_BASE, RX_BASE, RX_CURRENT, IRQ_MASK, IRQ = 0x00, 0x01, 0x0D, 0x0E, 0x0F, 0x10, 0x11, 0x12
RX_BYTES, STATUS, SNR, PACKET_RSSI, RSSI = 0x13, 0x18, 0x19, 0x1A, 0x1B
CONFIG_1, CONFIG_2, SYMBOL_LIMIT, PAYLOAD_LENGTH, MAX_LENGTH, CONFIG_3 = 0x1D, 0x1E, 0x1F, 0x22, 0x23, 0x26
SYNC_WORD, MAPPING_1, VERSION = 0x39, 0x40, 0x42

# What can be written in LoRa mode, with its value after a reset (table 41 and section 6.4).
WRITABLE = {
    0x06: 0x6C, 0x07: 0x80, 0x08: 0x00,  # frequency
    0x09: 0x4F, 0x0A: 0x09, 0x0B: 0x2B, 0x0C: 0x20,  # PA, ramp, over-current protection, LNA
    FIFO_PTR: 0x00, TX_BASE: 0x80, RX_BASE: 0x00, IRQ_MASK: 0x00,
    CONFIG_1: 0x72, CONFIG_2: 0x70, SYMBOL_LIMIT: 0x64, 0x20: 0x00, 0x21: 0x08,
    PAYLOAD_LENGTH: 0x01, MAX_LENGTH: 0xFF, 0x24: 0x00, CONFIG_3: 0x04, 0x27: 0x00,
    0x2F: 0x20, 0x30: 0x00, 0x31: 0xC3, 0x33: 0x27, 0x36: 0x03, 0x37: 0x0A, SYNC_WORD: 0x12, 0x3A: 0x20, 0x3B: 0x1D,
    MAPPING_1: 0x00, 0x41: 0x00, 0x4B: 0x09, 0x4D: 0x84, 0x61: 0x13, 0x62: 0x0E, 0x63: 0x5B, 0x64: 0xDB,
}  # fmt: skip
READ_ONLY = {
    RX_CURRENT: 0, RX_BYTES: 0, 0x14: 0, 0x15: 0, 0x16: 0, 0x17: 0, STATUS: 0x10, SNR: 0, PACKET_RSSI: 0, RSSI: 0,
    0x1C: 0, 0x25: 0, 0x28: 0, 0x29: 0, 0x2A: 0, 0x2C: 0, VERSION: 0x12, 0x5B: 0,
}  # fmt: skip
# RegDioMapping1, bits 7:6: which flag DIO0 shows (table 18)
DIO0 = (RX_DONE, TX_DONE, CAD_DONE, 0)
RSSI_OFFSET = -157  # above 779 MHz (5.5.5)
OSCILLATOR_START_US, START_US = 250, 120  # TS_OSC; the PLL and the receiver (table 7)


class Sx127x(Chip):
    def __init__(self, name: str, air: Air) -> None:
        super().__init__(name, air)
        self._held = False
        self._power_on()

    def reset(self, level: bool) -> None:
        """NRESET: low for 100 us, then 5 ms until the chip is ready (7.2.2)."""
        if not level and not self._held:
            self._held = True
            self._stop()
            self.set_line(False)
        elif level and self._held:
            self._held = False
            self._power_on()
            self._ready_us = self.clock.now_us + 5_000

    def transfer(self, sent: bytes) -> bytes:
        """One transaction: an address, then bytes from there on (of the FIFO: all of them); Fault for a wrong one."""
        if self.gone or self._held:
            return bytes(len(sent))
        if not sent:
            raise Fault("SX127x: an empty transfer")
        if self.clock.now_us < self._ready_us:
            raise Fault("SX127x: a transfer within 5 ms of the reset (7.2.2)")
        address, answer = sent[0] & 0x7F, bytearray(1)
        for value in sent[1:]:
            answer.append(self._read(address))
            if sent[0] & 0x80:
                self._write(address, value)
            address += address != FIFO
        return bytes(answer)

    # What the air tells

    def preamble(self) -> None:
        self._heard_preamble = True

    def header(self, packet: Packet) -> None:
        if packet.explicit_header:
            self._raise(VALID_HEADER)

    def failed(self) -> None:
        """Nothing: the chip looks for the next preamble."""

    def received(self, heard: Heard) -> None:
        if not heard.packet.explicit_header or self._registers[CONFIG_1] & 1:
            return
        begin, length = self._write_at, len(heard.payload)
        if length > self._registers[MAX_LENGTH]:
            return
        intact = heard.intact and heard.packet.low_data_rate == bool(self._registers[CONFIG_3] & 8)
        for at, byte in enumerate(heard.payload):
            self._fifo[(begin + at) % 256] = byte
        self._write_at = (begin + length) % 256
        snr = round(heard.snr_db * 4)
        below_db = min(heard.snr_db, 0.0)  # the register shows the packet's strength above the noise (5.5.5)
        self._readable.update(
            {
                RX_CURRENT: begin,
                RX_BYTES: length,
                SNR: snr & 0xFF,
                PACKET_RSSI: min(max(round(heard.rssi_dbm - below_db - RSSI_OFFSET), 0), 255),
            }
        )
        flags = RX_DONE | (CRC_ERROR if heard.packet.crc and not intact else 0)
        if self.mode == RX_SINGLE:
            self._enter(STANDBY)
        self._raise(flags)

    def loss_db(self) -> float:
        """Nothing: the antenna is switched by the module."""
        return 0.0

    # Registers

    def _power_on(self) -> None:
        self.step()
        self._registers = dict(WRITABLE)
        self._readable = dict(READ_ONLY)
        self._fifo = bytearray(256)
        self._irq = 0
        self._write_at = 0
        self._ready_us = 0
        self._heard_preamble = False
        self._op_mode = 0x09  # FSK, standby, low band
        self.set_line(False)

    @property
    def mode(self) -> int:
        return self._op_mode & 7

    @property
    def spurious(self) -> bool:
        """Below 500 kHz AutomaticIFOn must be off, and the intermediate frequency be set by hand (erratum 2.3)."""
        return self._tuning().bandwidth_hz < 500_000 and bool(
            self._registers[0x31] & 0x80 or self._registers[0x2F] == 0x20 or self._registers[0x30]
        )

    def _read(self, address: int) -> int:
        if address == FIFO:
            self._need_fifo()
            pointer = self._registers[FIFO_PTR]
            self._registers[FIFO_PTR] = (pointer + 1) % 256
            return self._fifo[pointer]
        if address == OP_MODE:
            return self._op_mode
        if address == IRQ:
            return self._irq
        if address == RSSI and self.mode in (RX_CONTINUOUS, RX_SINGLE):
            return min(max(round(self.air.rssi_dbm(self.name, self._tuning()) - RSSI_OFFSET), 0), 255)
        if address in self._registers:
            return self._registers[address]
        if address in self._readable:
            return self._readable[address]
        raise Fault(f"SX127x: LoRa mode has no register {address:#04x} (table 41)")

    def _write(self, address: int, value: int) -> None:
        if address == FIFO:
            self._need_fifo()
            # _read has moved the pointer already: a FIFO access moves it once.
            self._fifo[(self._registers[FIFO_PTR] - 1) % 256] = value
        elif address == OP_MODE:
            self._set_mode(value)
        elif address == IRQ:
            self._irq &= ~value  # a 1 clears
            self._show()
        elif address in self._registers:
            if address == CONFIG_2 and not 7 <= value >> 4 <= 12:
                raise Fault(f"SX127x: SF{value >> 4} is not modelled")
            if address == 0x24 and value:
                raise Fault("SX127x: frequency hopping is not modelled (4.1.1.8)")
            self._registers[address] = value
            self._show()
        else:
            raise Fault(f"SX127x: register {address:#04x} cannot be written (table 41)")

    def _need_fifo(self) -> None:
        if not self._op_mode & LONG_RANGE:
            raise Fault("SX127x: FSK is not modelled")
        if self.mode == SLEEP:
            raise Fault("SX127x: the FIFO cannot be reached in sleep (4.1.2.3)")

    # Modes

    def _set_mode(self, value: int) -> None:
        if self.mode != SLEEP:  # 4.1.3: LongRangeMode stays outside sleep
            value = value & ~LONG_RANGE | self._op_mode & LONG_RANGE
        mode = value & 7
        if mode not in (SLEEP, STANDBY) and not value & LONG_RANGE:
            raise Fault("SX127x: FSK is not modelled")
        if mode in (TX, RX_CONTINUOUS, RX_SINGLE, CAD) and value & 8 and self._frequency_hz() > 779e6:
            raise Fault("SX127x: LowFrequencyModeOn above 779 MHz (table 41, 01H)")
        from_sleep = self.mode == SLEEP
        if mode == self.mode:
            self._op_mode = value
            return
        self._op_mode = value
        self._enter(mode, OSCILLATOR_START_US if from_sleep else 0)

    def _enter(self, mode: int, late_us: int = 0) -> None:
        self._stop()
        self._op_mode = self._op_mode & ~7 | mode
        begin_us = late_us + START_US
        if mode == TX:
            packet = self._outgoing()
            self.plan(begin_us, lambda: self.air.send(self.name, packet))
            self.plan(begin_us + packet.airtime_us, self._sent)
        elif mode in (RX_CONTINUOUS, RX_SINGLE):
            self._write_at = self._registers[RX_BASE]
            self._heard_preamble = False
            tuning = self._tuning()
            self.plan(begin_us, lambda: self.air.listen(self.name, tuning))
            if mode == RX_SINGLE:
                symbols = (self._registers[CONFIG_2] & 3) << 8 | self._registers[SYMBOL_LIMIT]
                self.plan(begin_us + round(symbols * tuning.symbol_us), self._nobody)
        elif mode == CAD:
            tuning = self._tuning()
            # A symbol and 32 samples to look, and as long to compute (4.1.6).
            self.plan(begin_us + round(2 * tuning.symbol_us), lambda: self._looked(tuning))

    def _stop(self) -> None:
        self.step()
        self.air.silence(self.name)
        self.air.listen(self.name, None)

    def _sent(self) -> None:
        self._enter(STANDBY)
        self._raise(TX_DONE)

    def _nobody(self) -> None:
        if not self._heard_preamble:
            self._enter(STANDBY)
            self._raise(RX_TIMEOUT)

    def _looked(self, tuning: Modulation) -> None:
        found = self.air.is_active(self.name, tuning)
        self._enter(STANDBY)
        self._raise(CAD_DONE | (CAD_DETECTED if found else 0))

    def _raise(self, flags: int) -> None:
        self._irq |= flags & ~self._registers[IRQ_MASK]
        self._show()

    def _show(self) -> None:
        self.set_line(bool(self._irq & DIO0[self._registers[MAPPING_1] >> 6]))

    # What goes to the air

    def _frequency_hz(self) -> int:
        steps = int.from_bytes(bytes(self._registers[at] for at in (0x06, 0x07, 0x08)), "big")
        return round(steps * 32_000_000 / (1 << 19))

    def _tuning(self, sends: bool = False) -> Modulation:
        bandwidth = self._registers[CONFIG_1] >> 4
        if bandwidth >= len(BANDWIDTHS_HZ):
            raise Fault(f"SX127x: there is no bandwidth {bandwidth} (table 41, 1DH)")
        # 33H: bit 6 inverts what is received, bit 0 leaves what is sent as it is.
        inverted = not self._registers[0x33] & 1 if sends else bool(self._registers[0x33] & 0x40)
        return Modulation(
            self._frequency_hz(),
            self._registers[CONFIG_2] >> 4,
            BANDWIDTHS_HZ[bandwidth],
            inverted,
            self._registers[SYNC_WORD],
        )

    def _outgoing(self) -> Packet:
        length, base = self._registers[PAYLOAD_LENGTH], self._registers[TX_BASE]
        first = self._registers[CONFIG_1]
        rate = first >> 1 & 7
        if not 1 <= rate <= 4:
            raise Fault(f"SX127x: there is no coding rate {rate} (table 41, 1DH)")
        if not length:
            raise Fault("SX127x: a packet of no bytes (table 41, 22H)")
        return Packet(
            bytes(self._fifo[(base + at) % 256] for at in range(length)),
            self._tuning(sends=True),
            self._power_dbm(),
            self._registers[0x20] << 8 | self._registers[0x21],
            rate,
            not first & 1,
            bool(self._registers[CONFIG_2] & 4),
            bool(self._registers[CONFIG_3] & 8),
        )

    def _power_dbm(self) -> float:
        """5.4.2, 5.4.3."""
        config = self._registers[0x09]
        power = config & 15
        if config & 0x80:
            return 17.0 - (15 - power) + (3.0 if self._registers[0x4D] & 7 == 7 else 0.0)
        return 10.8 + 0.6 * (config >> 4 & 7) - (15 - power)
