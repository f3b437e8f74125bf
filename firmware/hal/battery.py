"""The battery's voltage at an ADC pin behind a divider."""

from machine import ADC, Pin

_SAMPLES = 16  # the ESP32's ADC is noisy: ESP-IDF's own advice is to take the mean of many


class Battery:
    """top_ohm: towards the battery; bottom_ohm: to ground."""

    def __init__(self, pin, top_ohm, bottom_ohm):
        self._adc = ADC(Pin(pin), atten=ADC.ATTN_11DB)  # to 2450 mV
        self._top_ohm = top_ohm
        self._bottom_ohm = bottom_ohm

    def battery_mv(self):
        """Of the battery itself."""
        at_pin_uv = sum(self._adc.read_uv() for _ in range(_SAMPLES)) // _SAMPLES
        return at_pin_uv * (self._top_ohm + self._bottom_ohm) // self._bottom_ohm // 1000
