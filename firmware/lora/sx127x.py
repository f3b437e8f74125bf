"""The SX1276 and RFM95 (Semtech, SX1276/77/78/79 data sheet, rev. 7; numbers in brackets are its sections)."""

import asyncio

from lora.radio import PREAMBLE_SYMBOLS, SYNC_WORD, Radio, RadioError, is_slow

_SLEEP, _STANDBY, _TX, _RX, _CAD = 0x80, 0x81, 0x83, 0x85, 0x87  # RegOpMode with LongRangeMode (4.1.6)
_CAD_FOUND, _CAD_DONE, _TX_DONE, _CRC_ERROR, _RX_DONE, _RX_TIMEOUT = 1, 4, 8, 32, 64, 128  # RegIrqFlags (6.4, 12H)
_OP_MODE, _IRQ, _VERSION = 1, 0x12, 0x42


class Sx127x(Radio):
    _masks = (_TX_DONE | _RX_DONE | _CAD_DONE, _RX_TIMEOUT, _CRC_ERROR, _CAD_FOUND)

    async def _begin(self):
        await asyncio.sleep(0.006)  # 5 ms after the reset (7.2.2)
        if self._read(_VERSION) != 0x12:
            raise RadioError("absent")
        self._write(_OP_MODE, 0)  # LongRangeMode changes in sleep only (4.1.3)
        self._write(_OP_MODE, _SLEEP)
        if self._read(_OP_MODE) != _SLEEP:
            raise RadioError("silent")
        self._write(_OP_MODE, _STANDBY)
        self._write(0x0E, 0)  # all of the FIFO for what is sent, or received (4.1.2.3)
        self._write(0x0F, 0)
        self._write(0x0C, 0x23)  # LNA: most gain, boosted (6.4, 0CH)
        self._write(0x39, SYNC_WORD)
        # Errata 2.3, spurious reception: the intermediate frequency is set by hand below 500 kHz.
        self._write(0x31, self._read(0x31) & 0x7F)
        self._write(0x2F, 0x40)
        self._write(0x30, 0)
        self._write(0x20, 0)
        self._write(0x21, PREAMBLE_SYMBOLS)

    async def _tune(self, frequency_hz, factor, power_dbm, inverted):
        self._write(_OP_MODE, _STANDBY)
        steps = (frequency_hz << 8) // 15625  # of 32 MHz / 2^19 (4.1.4)
        self._write(0x06, steps >> 16)
        self._write(0x07, steps >> 8 & 255)
        self._write(0x08, steps & 255)
        self._write(0x1D, 0x72)  # 125 kHz, 4/5, explicit header (6.4)
        self._write(0x1E, factor << 4 | 4)  # CRC
        self._write(0x26, 8 * is_slow(factor) | 4)  # low data rate; automatic gain
        # 33H and 3BH: inverted on reception, and on transmission by the bit that is set when it is not (6.4).
        self._write(0x33, 0x66 if inverted else 0x27)
        self._write(0x3B, 0x19 if inverted else 0x1D)
        power_dbm = min(max(power_dbm, 2), 20)
        self._write(0x4D, 0x87 if power_dbm > 17 else 0x84)  # 20 dBm on PA_BOOST (5.4.3)
        self._write(0x0B, 0x31 if power_dbm > 17 else 0x2B)  # over-current: 140 mA, or 100 (5.4.4)
        self._write(0x09, 0x80 | power_dbm - (5 if power_dbm > 17 else 2))

    async def _send(self, payload, airtime):
        self._write(0x40, 0x40)  # DIO0: sent (table 18)
        self._write(0x0D, 0)
        self._bus.transfer(b"\x80" + payload)
        self._write(0x22, len(payload))
        self._write(_OP_MODE, _TX)

    async def _listen(self):
        self._write(0x40, 0)  # DIO0: received
        self._write(0x0D, 0)
        self._write(_OP_MODE, _RX)

    async def _look(self):
        self._write(0x40, 0x80)  # DIO0: looked
        self._write(_OP_MODE, _CAD)

    async def standby(self):
        """It neither sends nor receives."""
        self._write(_OP_MODE, _STANDBY)

    async def _sleep(self):
        self._write(_OP_MODE, _SLEEP)

    async def wake(self):
        """After sleep(): a millisecond for the oscillator (table 7)."""
        self._write(_OP_MODE, _STANDBY)
        await asyncio.sleep(0.001)

    async def _irq(self):
        return self._read(_IRQ)

    async def _packet(self):
        length = self._read(0x13)
        self._write(0x0D, self._read(0x10))
        data = self._bus.transfer(bytes(1 + length))
        snr = self._read(0x19)
        snr_db = (snr - 256 if snr > 127 else snr) // 4
        rssi_dbm = self._read(0x1A) - 157 + min(snr_db, 0)  # (5.5.5)
        return bytes(data[1:]), rssi_dbm, snr_db

    async def _clear(self):
        self._write(_IRQ, 255)

    def _read(self, address):
        return self._bus.transfer(bytes((address, 0)))[1]

    def _write(self, address, value):
        self._bus.transfer(bytes((address | 0x80, value)))
