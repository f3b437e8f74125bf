"""The power chip AXP192, register by register as its datasheet (X-Powers, v1.1) has it.

It knows nothing of who drives it. A register that the datasheet does not have, a write to one that can only be read,
and a way of writing that is not modelled are Faults: the program on the board gets an exception that names them.
"""

from __future__ import annotations

from collections.abc import Mapping

ADDRESS = 0x34
IC_TYPE = 0x03
OUTPUTS = {"dcdc1": 0, "dcdc3": 1, "ldo2": 2, "ldo3": 3, "dcdc2": 4, "exten": 6}  # bits of REG 12H

# What can be written, with its value after power-on. REG 12H starts with DCDC3 alone: which outputs come up by
# themselves is burnt in for each customer, so a driver must not count on more.
WRITABLE = {
    **dict.fromkeys(range(0x06, 0x0C), 0x00),  # data buffer
    0x12: 1 << OUTPUTS["dcdc3"],
    0x23: 0x16, 0x25: 0x00, 0x26: 0x68, 0x27: 0x68, 0x28: 0xCF,  # voltages
    0x30: 0x60, 0x31: 0x44, 0x32: 0x46, 0x33: 0x40, 0x34: 0x45, 0x35: 0x22, 0x36: 0x5D, 0x37: 0x08,
    0x38: 0xA5, 0x39: 0x1F, 0x3A: 0x68, 0x3B: 0x5F, 0x3C: 0xFC, 0x3D: 0x16,
    0x40: 0xD8, 0x41: 0xFF, 0x42: 0x3B, 0x43: 0xC1, 0x4A: 0x00,  # interrupts that are on
    0x44: 0x00, 0x45: 0x00, 0x46: 0x00, 0x47: 0x00, 0x4D: 0x00,  # interrupts that are pending; a 1 clears
    0x80: 0xE0, 0x82: 0x83, 0x83: 0x80, 0x84: 0x32, 0x85: 0x00, 0x86: 0xFF, 0x87: 0x00,
    0x8A: 0x00, 0x8B: 0x00, 0x8F: 0x01,
    0x90: 0x07, 0x91: 0xA5, 0x92: 0x07, 0x93: 0x07, 0x94: 0x00, 0x95: 0x00, 0x96: 0x00, 0x97: 0x00,
    0x98: 0x00, 0x99: 0x16, 0x9A: 0x0B, 0x9B: 0x00, 0x9C: 0x16, 0x9D: 0x0B, 0x9E: 0x00,
    0xB8: 0x00,
}  # fmt: skip
READ_ONLY = frozenset([0x00, 0x01, 0x02, 0x03, 0x04, *range(0x56, 0x80), *range(0xB0, 0xB8)])
ENABLE_OF = {0x44: 0x40, 0x45: 0x41, 0x46: 0x42, 0x47: 0x43, 0x4D: 0x4A}


class Fault(Exception):
    """The program does what the chip does not have."""


class Nak(Exception):
    """Nobody acknowledges."""


class Axp192:
    """rails: {output: what it feeds}. battery_mv (0: none is in) and usb are the world's to set, by `surround`."""

    def __init__(self, rails: Mapping[str, str], battery_mv: int, usb: bool) -> None:
        self._rails = dict(rails)
        self._pointer = 0
        self.battery_mv, self.usb = battery_mv, usb
        self.power_on()

    def power_on(self) -> None:
        """The supply came: everything is as after power-on, and says what is there."""
        self.registers = dict(WRITABLE)
        if self.battery_mv:
            self.registers[0x45] |= 0x80  # battery connected
        if self.usb:
            self.registers[0x44] |= 0x08  # VBUS connected

    def surround(self, battery_mv: int | None = None, usb: bool | None = None) -> None:
        """The battery's voltage changes, a plug comes or goes."""
        if battery_mv is not None:
            if bool(battery_mv) != bool(self.battery_mv):
                self.registers[0x45] |= 0x80 if battery_mv else 0x40
            self.battery_mv = battery_mv
        if usb is not None and usb != self.usb:
            self.registers[0x44] |= 0x08 if usb else 0x04
            self.usb = usb

    @property
    def irq(self) -> bool:
        """The IRQ pin is pulled low: something that is on is pending."""
        return any(self.registers[status] & self.registers[enable] for status, enable in ENABLE_OF.items())

    def feeds(self, part: str) -> bool:
        """What feeds that is on."""
        outputs = self.registers[0x12]
        return any(outputs >> OUTPUTS[rail] & 1 for rail, fed in self._rails.items() if fed == part)

    @property
    def charge_ma(self) -> int:
        """REG 33H: the current that it charges with, 0 when it does not."""
        control = self.registers[0x33]
        steps = (100, 190, 280, 360, 450, 550, 630, 700, 780, 880, 960, 1000, 1080, 1160, 1240, 1320)
        return steps[control & 0x0F] if control & 0x80 and self.usb and self.battery_mv else 0

    def transfer(self, address: int, written: bytes, count: int) -> bytes:
        """One transfer on the bus: bytes to the chip, then so many from it. Raises Nak or Fault."""
        if address != ADDRESS:
            raise Nak
        if written:
            self._pointer = written[0]
            if len(written) == 2:
                self._write(written[0], written[1])
            elif len(written) > 2:
                raise Fault(
                    f"AXP192: {len(written) - 1} bytes written at once to REG {written[0]:02X}H are not modelled"
                )
        return bytes(self._read(self._pointer + place) for place in range(count))

    def _write(self, register: int, value: int) -> None:
        if register in READ_ONLY:
            raise Fault(f"AXP192: REG {register:02X}H can only be read")
        if register not in self.registers:
            raise Fault(f"AXP192: there is no REG {register:02X}H")
        if register in ENABLE_OF:
            self.registers[register] &= ~value & 0xFF
        else:
            self.registers[register] = value

    def _read(self, register: int) -> int:
        if register in self.registers:
            return self.registers[register]
        if register not in READ_ONLY:
            raise Fault(f"AXP192: there is no REG {register:02X}H")
        battery, measured = bool(self.battery_mv), self.registers[0x82]
        if register == 0x00:  # VBUS there 0x20, usable 0x10; battery charging 0x04; started by VBUS 0x01
            return 0x31 | (0x04 if self.charge_ma else 0) if self.usb else 0x00
        if register == 0x01:  # charging 0x40, battery there 0x20
            return (0x40 if self.charge_ma else 0) | (0x20 if battery else 0)
        if register == 0x03:
            return IC_TYPE
        if register in (0x78, 0x79):  # 12 bits, 1.1 mV a step; 0 while REG 82H bit 7 does not have it measured
            steps = min(0xFFF, round(self.battery_mv / 1.1)) if measured & 0x80 else 0
            return steps >> 4 if register == 0x78 else steps & 0x0F
        if register in (0x5A, 0x5B):  # VBUS: 12 bits, 1.7 mV a step; REG 82H bit 3
            steps = round(5000 / 1.7) if self.usb and measured & 0x08 else 0
            return steps >> 4 if register == 0x5A else steps & 0x0F
        return 0  # what else it measures is not modelled, and reads as nothing
