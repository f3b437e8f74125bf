"""machine.ADC of the virtual board: what the world says is at the pin, as far as the ESP32's converter reaches."""

from ..parts import Part, lacking

ADC1 = range(32, 40)  # ESP32 datasheet; ADC2 cannot be read while WiFi is on
_LIMIT_UV = (950000, 1250000, 1750000, 2450000)  # MicroPython's documentation, by attenuation

_uv = {}
_number = int


class ADC(Part):
    """One channel. read_uv() in microvolts, read_u16() of the attenuation's range."""

    _kind = "machine.ADC"
    ATTN_0DB, ATTN_2_5DB, ATTN_6DB, ATTN_11DB = 0, 1, 2, 3

    def __init__(self, pin, atten=0, **other):
        self._pin = _number(pin)
        if self._pin not in ADC1:
            raise lacking("machine.ADC on GPIO%d" % self._pin, "adc")
        if other:
            raise lacking("machine.ADC(%s=)" % next(iter(other)), "adc")
        self._atten = atten

    def read_uv(self):
        return min(_uv.get(self._pin, 0), _LIMIT_UV[self._atten])

    def read_u16(self):
        return self.read_uv() * 65535 // _LIMIT_UV[self._atten]


def _on_adc(message):
    _uv[message["adc"]] = message["uv"]


def install(link, number, volts):
    """volts: {"34": microvolts} at the start."""
    global _number
    _number = number
    for pin, uv in volts.items():
        _uv[int(pin)] = uv
    link.on("adc", _on_adc)
