"""The SX1262 and LLCC68 (Semtech, SX1261/2 data sheet, rev. 2.1; numbers in brackets are its sections)."""

import asyncio

from lora.radio import BANDWIDTH_HZ, PREAMBLE_SYMBOLS, SYNC_WORD, Radio, RadioError, is_slow

# IRQ bits (13.3.1)
_TX_DONE, _RX_DONE, _HEADER_ERROR, _CRC_ERROR, _CAD_DONE, _CAD_FOUND, _TIMEOUT = 1, 2, 32, 64, 128, 256, 512
_ALL = 0x03FF
_XOSC_START_ERROR = 0x20
_TCXO_DELAY = 320  # of 15.625 us: 5 ms for the TCXO to settle
_BUSY_MS = 50  # the longest that is waited for BUSY; the slowest, a calibration, takes 3.5 ms and the TCXO's delay
# Detection peak by factor 7 to 12, for two symbols (AN1200.48, table 1)
_PEAK = b"\x16\x16\x18\x19\x1a\x1b"


class Sx126x(Radio):
    """tcxo: None, or the code of its voltage on DIO3 (13.3.6): 2 is 1.8 V. dio2: DIO2 switches the antenna."""

    _masks = (_TX_DONE | _RX_DONE | _CAD_DONE, _TIMEOUT, _CRC_ERROR | _HEADER_ERROR, _CAD_FOUND)

    def __init__(self, bus, tcxo=None, dio2=False):
        super().__init__(bus)
        self._tcxo, self._dio2 = tcxo, dio2

    async def _begin(self):
        await self._command(0x80, 0)  # SetStandby RC (13.1.2)
        if await self._read(0x0740, 2) != b"\x14\x24":  # the sync word after a reset (12)
            raise RadioError("absent")
        if self._tcxo is not None:
            await self._command(0x97, self._tcxo, 0, _TCXO_DELAY >> 8, _TCXO_DELAY & 255)  # SetDIO3AsTcxoCtrl (13.3.6)
        await self._command(0x07, 0, 0)  # ClearDeviceErrors: without its TCXO the first calibration failed (13.6.2)
        await self._command(0x89, 0x7F)  # Calibrate, all blocks (13.1.12)
        await self._command(0x98, 0xE1, 0xE9)  # CalibrateImage 902-928 MHz (9.2.1)
        if await self._error():
            raise RadioError("oscillator")
        await self._command(0x96, 1)  # SetRegulatorMode: DC-DC (13.1.11)
        if self._dio2:
            await self._command(0x9D, 1)  # SetDIO2AsRfSwitchCtrl (13.3.5)
        await self._command(0x8A, 1)  # SetPacketType: LoRa (13.4.2)
        await self._command(0x8F, 0, 0)  # SetBufferBaseAddress: all for what is sent, or received (13.4.8)
        await self._change(0x08D8, 0x1E, 0x1E)  # errata 15.2: PA clamping when the antenna does not match
        await self._write(0x08AC, 0x96)  # boosted reception (9.6)
        await self._write(0x0740, SYNC_WORD & 0xF0 | 4, (SYNC_WORD << 4) & 0xF0 | 4)
        await self._command(0x08, _ALL >> 8, _ALL & 255, 3, 0xE3, 0, 0, 0, 0)  # SetDioIrqParams: DIO1 (13.3.1)

    async def _tune(self, frequency_hz, factor, power_dbm, inverted):
        await self._command(0x80, 0)
        steps = (frequency_hz << 14) // 15625  # of 32 MHz / 2^25, without numbers beyond 64 bits (13.4.1)
        await self._command(0x86, steps >> 24, steps >> 16 & 255, steps >> 8 & 255, steps & 255)
        # SetModulationParams: 125 kHz, 4/5 (13.4.5)
        await self._command(0x8B, factor, 4, 1, 1 if is_slow(factor) else 0)
        self._inverted = 1 if inverted else 0
        await self._packet_params(255)
        await self._change(0x0736, 4, 0 if inverted else 4)  # errata 15.4: inverted IQ
        await self._command(0x95, 4, 7, 0, 1)  # SetPaConfig of the SX1262 (13.1.14)
        await self._command(0x8E, min(max(power_dbm, -9), 22) & 255, 4)  # SetTxParams, ramp 200 us (13.4.4)
        # SetCadParams: two symbols, then standby (13.4.7)
        await self._command(0x88, 1, _PEAK[factor - 7], 10, 0, 0, 0, 0)

    async def _send(self, payload, airtime):
        await self._packet_params(len(payload))
        await self._transfer(b"\x0e\0" + payload)  # WriteBuffer (13.2.3)
        limit = (2 * airtime) << 6
        await self._command(0x83, limit >> 16, limit >> 8 & 255, limit & 255)  # SetTx (13.1.4)

    async def _listen(self):
        await self._packet_params(255)
        await self._command(0x82, 255, 255, 255)  # SetRx, continuous (13.1.5)

    async def _look(self):
        await self._command(0xC5)  # SetCad (13.1.8)

    async def standby(self):
        """It neither sends nor receives."""
        await self._command(0x80, 0)

    async def _sleep(self):
        await self._command(0x84, 4)  # SetSleep: warm start (13.1.1)

    async def wake(self):
        """After sleep()."""
        self._bus.transfer(b"\xc0\0")  # a falling NSS wakes it (8.2.2); BUSY is high until then
        await self._command(0x80, 0)

    async def _irq(self):
        answer = await self._transfer(b"\x12\0\0\0")  # GetIrqStatus (13.3.3)
        return answer[2] << 8 | answer[3]

    async def _packet(self):
        answer = await self._transfer(b"\x13\0\0\0")  # GetRxBufferStatus (13.5.2)
        length, begin = answer[2], answer[3]
        status = await self._transfer(b"\x14\0\0\0\0")  # GetPacketStatus (13.5.3)
        data = await self._transfer(bytes((0x1E, begin, 0)) + bytes(length))  # ReadBuffer (13.2.4)
        snr = status[3]
        return bytes(data[3:]), -(status[2] // 2), (snr - 256 if snr > 127 else snr) // 4

    async def _clear(self):
        await self._command(0x02, _ALL >> 8, _ALL & 255)  # ClearIrqStatus (13.3.4)

    async def _packet_params(self, length):
        # SetPacketParams: explicit header, CRC (13.4.6)
        await self._command(0x8C, 0, PREAMBLE_SYMBOLS, 0, length, 1, self._inverted)

    async def _error(self):
        return (await self._transfer(b"\x17\0\0\0"))[3] & _XOSC_START_ERROR  # GetDeviceErrors (13.6.1)

    async def _read(self, address, count):
        return (await self._transfer(bytes((0x1D, address >> 8, address & 255, 0)) + bytes(count)))[4:]

    async def _write(self, address, *values):
        await self._command(0x0D, address >> 8, address & 255, *values)

    async def _change(self, address, mask, bits):
        value = (await self._read(address, 1))[0]
        await self._write(address, value & ~mask | bits)

    async def _command(self, *given):
        await self._transfer(bytes(given))

    async def _transfer(self, sent):
        """One transaction, once BUSY is low (8.3.1)."""
        for _ in range(_BUSY_MS):
            if not self._bus.busy():
                return self._bus.transfer(sent)
            await asyncio.sleep(0.001)
        raise RadioError("busy")


assert BANDWIDTH_HZ == 125000  # what the codes above say
