"""The power chip AXP192 of the T-Beam v1.1: supplies, charging, battery. Register by its datasheet (X-Powers, v1.1)."""

from machine import I2C, Pin

_ADDRESS = 0x34


class Axp192:
    """Each call raises OSError when the chip does not answer."""

    def __init__(self, sda, scl, outputs, gps, lora, voltages, charge):
        self._i2c = I2C(0, sda=Pin(sda), scl=Pin(scl), freq=400000)
        self._gps = gps
        self._lora = lora
        if self._read(0x03) != 0x03:  # REG 03H, IC type
            raise OSError(19)  # ENODEV
        self._write(0x28, voltages)  # REG 28H, LDO2 and LDO3: 1.8 V and 100 mV a step
        self._write(0x12, outputs)  # REG 12H, outputs; bit 1 is DCDC3, the ESP32's own: never 0
        self._write(0x82, 0x80)  # REG 82H, ADC: the battery's voltage; no thermistor is wired to TS
        self._write(0x33, charge)  # REG 33H, charging: on, 4.2 V, current
        self.quiet()

    def _read(self, register):
        return self._i2c.readfrom_mem(_ADDRESS, register, 1)[0]

    def _write(self, register, value):
        self._i2c.writeto_mem(_ADDRESS, register, bytes((value,)))

    def battery_mv(self):
        """0 without a battery."""
        if not self._read(0x01) & 0x20:  # REG 01H bit 5: a battery is there
            return 0
        high, low = self._i2c.readfrom_mem(_ADDRESS, 0x78, 2)  # REG 78H: upper 8 bits, REG 79H: lower 4; 1.1 mV a step
        return (high << 4 | low & 0x0F) * 11 // 10

    def on_mains(self):
        """USB or another supply is there."""
        return bool(self._read(0x00) & 0xA0)  # REG 00H bit 7: ACIN is there, bit 5: VBUS is

    def gps(self, on):
        """Give the GPS receiver its supply, or take it."""
        self._switch(self._gps, on)

    def lora(self, on):
        """Give the LoRa radio its supply, or take it."""
        self._switch(self._lora, on)

    def _switch(self, bits, on):
        outputs = self._read(0x12)
        self._write(0x12, outputs | bits if on else outputs & ~bits)

    def quiet(self):
        """No interrupt is wanted, none is pending: before sleep, or the line stays low and wakes the chip at once."""
        for register in (0x40, 0x41, 0x42, 0x43, 0x4A):  # REG 40H-43H, 4AH: which interrupts are on
            self._write(register, 0x00)
        for register in (0x44, 0x45, 0x46, 0x47, 0x4D):  # REG 44H-47H, 4DH: pending ones, a 1 clears
            self._write(register, 0xFF)
