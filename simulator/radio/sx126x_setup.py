"""What a program has set an SX126x up to be, and the packets that this makes; the rest is sx126x.py's."""

from __future__ import annotations

from simulator.radio import sx126x_commands as c
from simulator.radio.air import Air
from simulator.radio.chip import Chip, Fault
from simulator.radio.modulation import Modulation, Packet

ANTENNA_OFF_DB, CLAMP_DB, POLARITY_DB = 40.0, 5.0, 3.0
ORDER = ("packet type", "frequency", "modulation", "packet")


class Setup(Chip):
    """dio2_switch: DIO2 turns the antenna."""

    def __init__(self, name: str, air: Air, dio2_switch: bool) -> None:
        super().__init__(name, air)
        self._dio2_switch = dio2_switch
        self._forget_setup()

    def _forget_setup(self) -> None:
        self._registers = dict(c.REGISTERS)
        self._buffer = bytearray(256)
        self._set: set[str] = set()
        self._modulation = (0, 0, 0, False)  # SF, bandwidth, coding rate, low data rate
        self._tx_base = self._rx_base = 0
        self._frequency_hz = 0
        self._dio2_on = False
        self._pa, self._power = (4, 7), 14
        self._explicit, self._crc, self._inverted = True, True, False
        self._preamble, self._length = 8, 0
        self._cad = (2, 0, 0)

    def _need(self, command: str, *what: str) -> None:
        for each in what:
            if each not in self._set:
                raise Fault(f"SX126x: {command} before the {each} was set (14.2, 14.3)")

    def _SetPaConfig(self, given: bytes) -> None:
        if given[3] != 1 or given[2] != 0:
            raise Fault("SX126x: SetPaConfig with a deviceSel or paLut that an SX1262 does not have (13.1.14)")
        if given[0] > 4 or given[1] > 7:
            raise Fault("SX126x: SetPaConfig above 0x04, 0x07 destroys the chip (13.1.14)")
        self._pa = (given[0], given[1])

    def _WriteRegister(self, given: bytes) -> None:
        address = int.from_bytes(given[:2], "big")
        for at, value in enumerate(given[2:], address):
            self._known(at)
            self._registers[at] = value

    def _WriteBuffer(self, given: bytes) -> None:
        for at, value in enumerate(given[1:], given[0]):
            self._buffer[at % 256] = value

    def _SetDIO2AsRfSwitchCtrl(self, given: bytes) -> None:
        self._dio2_on = bool(given[0])

    def _SetRfFrequency(self, given: bytes) -> None:
        self._frequency_hz = round(int.from_bytes(given, "big") * 32_000_000 / (1 << 25))
        self._set.add("frequency")

    def _SetPacketType(self, given: bytes) -> None:
        if given[0] != 1:
            raise Fault("SX126x: only LoRa is modelled (13.4.2)")
        self._set.discard("modulation")
        self._set.discard("packet")
        self._set.add("packet type")

    def _SetTxParams(self, given: bytes) -> None:
        power = given[0] - 256 if given[0] > 127 else given[0]
        if not -9 <= power <= 22 or given[1] > 7:
            raise Fault(f"SX126x: no transmit power of {power} dBm, or ramp {given[1]} (13.4.4)")
        self._power = power
        self._set.add("transmit power")

    def _SetModulationParams(self, given: bytes) -> None:
        self._need("SetModulationParams", "packet type")
        factor, bandwidth, rate, low_data_rate = given[:4]
        if any(given[4:]) or bandwidth not in c.BANDWIDTH_HZ or not 1 <= rate <= 4 or low_data_rate > 1:
            raise Fault(f"SX126x: LoRa has no modulation {given.hex()} (13.4.5.2)")
        if not 7 <= factor <= 12:
            raise Fault(f"SX126x: SF{factor} is not modelled")
        self._modulation = (factor, c.BANDWIDTH_HZ[bandwidth], rate, bool(low_data_rate))
        self._set.add("modulation")

    def _SetPacketParams(self, given: bytes) -> None:
        self._need("SetPacketParams", "packet type")
        preamble = int.from_bytes(given[:2], "big")
        if any(given[6:]) or given[2] > 1 or given[4] > 1 or given[5] > 1 or not preamble:
            raise Fault(f"SX126x: LoRa has no packet {given.hex()} (13.4.6.2)")
        self._preamble, self._length = preamble, given[3]
        self._explicit, self._crc, self._inverted = not given[2], bool(given[4]), bool(given[5])
        self._set.add("packet")

    def _SetCadParams(self, given: bytes) -> None:
        if given[0] >= len(c.CAD_SYMBOLS) or given[3] not in (0, 1):
            raise Fault(f"SX126x: no channel activity detection {given.hex()} (13.4.7)")
        self._cad = (c.CAD_SYMBOLS[given[0]], given[3], int.from_bytes(given[4:], "big"))
        self._set.add("CAD parameters")

    def _SetBufferBaseAddress(self, given: bytes) -> None:
        self._tx_base, self._rx_base = given

    def _SetLoRaSymbNumTimeout(self, given: bytes) -> None:
        if given[0]:
            raise Fault("SX126x: a limit in symbols is not modelled (13.4.9)")

    def _register(self, address: int) -> int:
        self._known(address)
        return self._registers.get(address, self.clock.now_us * 2654435761 >> 8 & 0xFF)

    def _known(self, address: int) -> None:
        if address not in self._registers and address not in c.RANDOM:
            raise Fault(f"SX126x: no register {address:#06x} that the datasheet lets a program use (section 12)")

    def _sync_word(self) -> int:
        return self._registers[0x0740] & 0xF0 | self._registers[0x0741] >> 4

    def _tuning(self) -> Modulation:
        factor, bandwidth_hz, _, _ = self._modulation
        return Modulation(self._frequency_hz, factor, bandwidth_hz, self._inverted, self._sync_word())

    def _antenna_db(self) -> float:
        return ANTENNA_OFF_DB if self._dio2_switch and not self._dio2_on else 0.0

    def loss_db(self) -> float:
        """What its set-up costs a packet that it receives."""
        right = (self._registers[0x0736] >> 2 & 1) == (not self._inverted)
        return self._antenna_db() + (0.0 if right else POLARITY_DB)

    def _outgoing(self) -> Packet:
        clamped_db = 0.0 if self._registers[0x08D8] & 0x1E == 0x1E else CLAMP_DB
        most = c.PA_DBM.get(self._pa, 22)
        # With the settings of table 13-21 the register says 22 and `most` comes out.
        power_dbm = self._power - (22 - most) - clamped_db - self._antenna_db()
        payload = bytes(self._buffer[(self._tx_base + at) % 256] for at in range(self._length))
        _, _, rate, low_data_rate = self._modulation
        return Packet(
            payload, self._tuning(), power_dbm, self._preamble, rate, self._explicit, self._crc, low_data_rate
        )
