"""The SX1262 (and LLCC68), command by command as its datasheet has it (Semtech SX1261/2, rev. 2.1).

It knows nothing of who drives it. A wrong opcode or length, a transfer while BUSY is high, and parameters in an order
in which the chip would misread them, are Faults. Modelled besides:

- a board with a TCXO whose DIO3 was not set up has no oscillator: modes that need one are refused (13.3.6);
- a board that switches its antenna by DIO2 is nearly deaf and dumb until it was told (13.3.5): ANTENNA_OFF_DB;
- 15.2, antenna mismatch: without the clamp's bits the PA backs off by CLAMP_DB;
- 15.4, inverted IQ: with the polarity bit wrong, POLARITY_DB are lost on reception. The datasheet gives no figure.

GFSK, SF5 and SF6, duty-cycled reception and the test modes are not modelled, and say so.
"""

from __future__ import annotations

from collections.abc import Callable

from simulator.radio import sx126x_commands as c
from simulator.radio.air import Air, Heard
from simulator.radio.chip import Fault
from simulator.radio.modulation import Modulation, Packet
from simulator.radio.sx126x_setup import ORDER, Setup

_NO_LIMIT, _CONTINUOUS = 0x000000, 0xFFFFFF


class Sx126x(Setup):
    """tcxo: its oscillator is a TCXO fed by DIO3. dio2_switch: DIO2 turns the antenna."""

    def __init__(self, name: str, air: Air, tcxo: bool = False, dio2_switch: bool = False) -> None:
        super().__init__(name, air, dio2_switch)
        self._tcxo = tcxo
        self.stuck = False  # BUSY stays high
        self._held = False  # NRESET is low
        self._do: dict[str, Callable[[bytes], None]] = {
            each.name: getattr(self, "_" + each.name) for each in c.COMMANDS.values() if not each.reads
        }
        self._power_on()

    # The pins

    def reset(self, level: bool) -> None:
        """NRESET: while it is low the chip does nothing; when it rises everything is as after power-on (8.1)."""
        if not level and not self._held:
            self._held = True
            self.step()
            self.air.silence(self.name)
            self.air.listen(self.name, None)
            self.set_line(False)
        elif level and self._held:
            self._held = False
            self._power_on()

    @property
    def busy(self) -> bool:
        return self.stuck or self._held or self.mode == c.SLEEP or self.clock.now_us < self._busy_until_us

    @property
    def busy_us(self) -> int | None:
        """Microseconds until BUSY falls by itself; None when it is low, or stays high."""
        left_us = self._busy_until_us - self.clock.now_us
        return left_us if self.busy and left_us > 0 else None

    def transfer(self, sent: bytes) -> bytes:
        """One transaction; Fault for one that the chip would not do."""
        if self.gone or self._held:
            return bytes(len(sent))
        if self.mode == c.SLEEP:  # NSS low wakes it; the command is not read (8.2.2)
            self._wake()
            return bytes(len(sent))
        if not sent:
            raise Fault("SX126x: an empty transfer")
        if sent[0] in c.NOT_MODELLED:
            raise Fault(f"SX126x: {c.NOT_MODELLED[sent[0]]} is not modelled")
        command = c.COMMANDS.get(sent[0])
        if command is None:
            raise Fault(f"SX126x: there is no opcode {sent[0]:#04x} (section 11)")
        if self.busy:
            raise Fault(f"SX126x: {command.name} while BUSY is high (8.3.1)")
        given = sent[1:]
        if not command.least <= len(given) <= command.most:
            raise Fault(f"SX126x: {command.name} takes {command.least} bytes, not {len(given)} (section 11)")
        if command.reads:
            return self._read(command.name, given, len(sent))
        self._command_status = 0
        self._do[command.name](given)
        return bytes([self._status()] * len(sent))

    # What the air tells

    def preamble(self) -> None:
        self._raise(c.PREAMBLE)
        if self._stop_on_preamble:
            self._timer_on = False

    def header(self, packet: Packet) -> None:
        if packet.explicit_header != self._explicit:
            return
        self._raise(c.SYNC | c.HEADER_VALID)
        self._timer_on = False  # it stops at a valid header (13.1.5)

    def failed(self) -> None:
        self._raise(c.SYNC | c.HEADER_ERROR)

    def received(self, heard: Heard) -> None:
        if heard.packet.explicit_header != self._explicit:
            return
        length = len(heard.payload)
        intact = heard.intact and heard.packet.low_data_rate == self._modulation[3]
        for at, byte in enumerate(heard.payload):
            self._buffer[(self._rx_next + at) % 256] = byte
        self._rx_status = (length, self._rx_next)
        self._packet_status = (_rssi(heard.rssi_dbm), round(heard.snr_db * 4) & 0xFF, _rssi(heard.rssi_dbm))
        self._stats[0] += 1
        bad_crc = heard.packet.crc and not intact
        self._stats[1] += bad_crc
        if self._continuous:
            self._rx_next = (self._rx_next + length) % 256
        else:
            self._go(self._fallback)
        self._command_status = c.DATA_AVAILABLE
        self._raise(c.RX_DONE | (c.CRC_ERROR if bad_crc else 0))

    # Modes

    def _power_on(self) -> None:
        self.step()
        self._forget_setup()
        self._irq = self._irq_mask = self._dio1_mask = 0
        self._errors = c.XOSC_START_ERROR if self._tcxo else 0  # the first calibration finds no oscillator
        self._command_status = 0
        self._rx_next = 0
        self._rx_status, self._packet_status = (0, 0), (0, 0, 0)
        self._stats = [0, 0, 0]
        self._fallback = c.STDBY_RC
        self._stop_on_preamble = self._timer_on = self._continuous = False
        self._tcxo_us = 0
        self._warm = False
        self.mode = c.STDBY_RC
        self._busy_until_us = self.clock.now_us + c.COLD_START_US

    def _wake(self) -> None:
        if self._warm:
            self.mode = c.STDBY_RC
            self._busy_until_us = self.clock.now_us + c.WARM_START_US
        else:
            self._power_on()

    def _go(self, mode: int) -> None:
        """Another mode; what went on in the old one ends."""
        self.step()
        if self.mode == c.TX:
            self.air.silence(self.name)
        if mode != c.RX:
            self.air.listen(self.name, None)
        settle_us = c.BUSY_US.get(mode, 0)
        if mode >= c.STDBY_XOSC and self.mode <= c.STDBY_RC:
            settle_us += self._tcxo_us
        self.mode = mode
        self._busy_until_us = self.clock.now_us + settle_us

    def _need_oscillator(self) -> bool:
        if self._tcxo and not self._tcxo_us:
            self._errors |= c.XOSC_START_ERROR
            self._command_status = c.FAILED
            return False
        return True

    def _start(self, command: str, mode: int, *more: str) -> int | None:
        """A mode that uses the radio, given what must be set before; microseconds until it is there. None: refused."""
        self._need(command, *ORDER, *more)
        if not self._need_oscillator():
            return None
        self._go(mode)
        return self._busy_until_us - self.clock.now_us

    def _SetSleep(self, given: bytes) -> None:
        if self.mode not in (c.STDBY_RC, c.STDBY_XOSC):
            raise Fault("SX126x: SetSleep from other than a standby mode (13.1.1)")
        self._warm = bool(given[0] & 4)
        self._go(c.SLEEP)

    def _SetStandby(self, given: bytes) -> None:
        if given[0] == 0 or self._need_oscillator():
            self._go(c.STDBY_XOSC if given[0] else c.STDBY_RC)

    def _SetFs(self, given: bytes) -> None:
        if self._need_oscillator():
            self._go(c.FS)

    def _SetTx(self, given: bytes) -> None:
        settled_us = self._start("SetTx", c.TX, "transmit power")
        if settled_us is None:
            return
        packet = self._outgoing()
        limit_us = round(int.from_bytes(given, "big") * c.STEP_US)
        self.plan(settled_us, lambda: self.air.send(self.name, packet))
        self.plan(settled_us + packet.airtime_us, self._sent)
        if limit_us and limit_us < packet.airtime_us:
            self.plan(settled_us + limit_us, self._timed_out)

    def _SetRx(self, given: bytes) -> None:
        settled_us = self._start("SetRx", c.RX)
        if settled_us is None:
            return
        limit = int.from_bytes(given, "big")
        self._continuous = limit == _CONTINUOUS
        self._rx_next = self._rx_base
        self._timer_on = limit not in (_NO_LIMIT, _CONTINUOUS)
        self.plan(settled_us, lambda: self.air.listen(self.name, self._tuning()))
        if self._timer_on:
            self.plan(settled_us + round(limit * c.STEP_US), self._rx_timer)

    def _SetCad(self, given: bytes) -> None:
        settled_us = self._start("SetCad", c.RX, "CAD parameters")
        if settled_us is None:
            return
        tuning = self._tuning()
        # It looks during the symbols and computes for about half of one more (AN1200.48).
        self.plan(settled_us + round((self._cad[0] + 0.5) * tuning.symbol_us), lambda: self._cad_done(tuning))

    def _cad_done(self, tuning: Modulation) -> None:
        found = self.air.is_active(self.name, tuning)
        _, leave_to_rx, limit = self._cad
        self._go(self._fallback)
        if found and leave_to_rx:
            self._SetRx(limit.to_bytes(3, "big"))
        self._raise(c.CAD_DONE | (c.CAD_DETECTED if found else 0))

    def _sent(self) -> None:
        self._go(self._fallback)
        self._command_status = c.TX_ENDED
        self._raise(c.TX_DONE)

    def _rx_timer(self) -> None:
        if self._timer_on:
            self._timed_out()

    def _timed_out(self) -> None:
        self._go(self._fallback)
        self._command_status = c.TIMED_OUT
        self._raise(c.TIMEOUT)

    def _SetRegulatorMode(self, given: bytes) -> None:
        if self.mode not in (c.STDBY_RC, c.STDBY_XOSC):
            raise Fault("SX126x: SetRegulatorMode outside standby (13.1.11)")

    def _Calibrate(self, given: bytes) -> None:
        if self.mode != c.STDBY_RC:
            raise Fault("SX126x: Calibrate outside STDBY_RC (13.1.12)")
        self._need_oscillator()
        self._busy_until_us = self.clock.now_us + c.CALIBRATE_US + self._tcxo_us

    def _CalibrateImage(self, given: bytes) -> None:
        if given[0] > given[1]:
            raise Fault("SX126x: CalibrateImage from a higher to a lower frequency (13.1.13)")
        self._need_oscillator()

    def _SetRxTxFallbackMode(self, given: bytes) -> None:
        modes = {0x20: c.STDBY_RC, 0x30: c.STDBY_XOSC, 0x40: c.FS}
        if given[0] not in modes:
            raise Fault(f"SX126x: there is no fallback mode {given[0]:#04x} (13.1.15)")
        self._fallback = modes[given[0]]

    def _SetDioIrqParams(self, given: bytes) -> None:
        self._irq_mask, self._dio1_mask = (int.from_bytes(given[at : at + 2], "big") for at in (0, 2))
        self._raise(0)

    def _ClearIrqStatus(self, given: bytes) -> None:
        self._irq &= ~int.from_bytes(given, "big")
        self._raise(0)

    def _SetDIO3AsTcxoCtrl(self, given: bytes) -> None:
        if self.mode != c.STDBY_RC:
            raise Fault("SX126x: SetDIO3AsTcxoCtrl outside STDBY_RC (13.3.6)")
        if given[0] > 7:
            raise Fault(f"SX126x: there is no TCXO voltage {given[0]} (table 13-35)")
        self._tcxo_us = round(int.from_bytes(given[1:], "big") * c.STEP_US)

    def _ClearDeviceErrors(self, given: bytes) -> None:
        self._errors = 0

    def _ResetStats(self, given: bytes) -> None:
        self._stats = [0, 0, 0]

    def _StopTimerOnPreamble(self, given: bytes) -> None:
        self._stop_on_preamble = bool(given[0])

    def _raise(self, bits: int) -> None:
        self._irq |= bits & self._irq_mask
        self.set_line(bool(self._irq & self._dio1_mask))

    # What is read

    def _read(self, name: str, given: bytes, length: int) -> bytes:
        status = bytes([self._status()])
        if name == "GetStatus":
            answer = status * 2
        elif name == "ReadRegister":
            first = int.from_bytes(given[:2], "big")
            answer = status * 4 + bytes(self._register(at) for at in range(first, first + len(given) - 3))
        elif name == "ReadBuffer":
            answer = status * 3 + bytes(self._buffer[(given[0] + at) % 256] for at in range(len(given) - 2))
        else:
            answer = status * 2 + self._answer(name)
        return answer[:length]

    def _answer(self, name: str) -> bytes:
        if name == "GetIrqStatus":
            return self._irq.to_bytes(2, "big")
        if name == "GetPacketType":
            return bytes([1 if "packet type" in self._set else 0])
        if name == "GetRxBufferStatus":
            return bytes(self._rx_status)
        if name == "GetPacketStatus":
            return bytes(self._packet_status)
        if name == "GetRssiInst":
            receives = self.mode == c.RX and "modulation" in self._set
            return bytes([_rssi(self.air.rssi_dbm(self.name, self._tuning())) if receives else 0xFF])
        if name == "GetDeviceErrors":
            return self._errors.to_bytes(2, "big")
        return b"".join(min(each, 0xFFFF).to_bytes(2, "big") for each in self._stats)

    def _status(self) -> int:
        return self.mode << 4 | self._command_status << 1


def _rssi(dbm: float) -> int:
    return min(max(round(-2 * dbm), 0), 255)
