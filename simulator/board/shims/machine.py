"""The virtual board's `machine`: the parts of an ESP32 that Sigap's firmware uses, joined to the world.

Pin, PWM and UART live in pins.py and uart.py. Reset causes are those of the ESP32 port
(ports/esp32/modmachine.c): machine.reset() reads as HARD_RESET.
"""

from .. import clock
from ..parts import Module, Part
from . import pins, rtc, sleep, uart

PWRON_RESET, HARD_RESET, WDT_RESET, DEEPSLEEP_RESET, SOFT_RESET = 1, 2, 3, 4, 5

_link = None
_cause = PWRON_RESET
_unique_id = b""
_frequency = 160000000


def _leave(kind):
    """Tell the world, which ends this process: no `finally` of the firmware runs any more."""
    _link.stop()
    _link.send('{"reset": "%s"}' % kind)
    _link.end()


def reset():
    _leave("hard")


def soft_reset():
    _leave("soft")


def reset_cause():
    return _cause


def unique_id():
    return _unique_id


def freq(hertz=None):
    global _frequency
    if hertz is None:
        return _frequency
    _frequency = hertz


def idle():
    clock.sleep_ms(1)


class WDT(Part):
    """machine.WDT: the world resets the board when it is not fed within `timeout` ms. Cannot be stopped."""

    _kind = "machine.WDT"

    def __init__(self, id=0, timeout=5000):
        if id:
            raise ValueError("invalid WDT")
        if timeout <= 0:
            raise ValueError("WDT timeout too short")
        _link.watchdog(timeout)

    def feed(self):
        _link.feed()


class _Machine:
    pass


def install(modules, link, setup):
    """setup: "cause" (reset cause), "unique_id" (12 hex digits), "pins" {"27": level from outside}.

    With "i2c", "spi" or "adc" the board has chips on a bus, or a voltage at a pin; another board's heap is spared their
    shims.
    """
    global _link, _cause, _unique_id
    import binascii

    _link, _cause = link, setup["cause"]
    _unique_id = binascii.unhexlify(setup["unique_id"])
    pins.install(link, setup["pins"])
    uart.install(link)
    rtc.install(link, setup.get("rtc", ""))
    source = _Machine()
    sleep.install(link, setup.get("wake", 0), source)
    source.RTC = rtc.RTC
    source.Pin, source.PWM, source.UART, source.WDT = pins.Pin, pins.PWM, uart.UART, WDT
    source.Counter = pins.Counter
    number = lambda pin: pin._id if isinstance(pin, pins.Pin) else pin  # noqa: E731
    if "i2c" in setup:
        from . import i2c

        i2c.install(link, number)
        source.I2C = i2c.I2C
    if "adc" in setup:
        from . import adc

        adc.install(link, number, setup["adc"])
        source.ADC = adc.ADC
    if "spi" in setup:
        from . import spi

        spi.install(link, number, pins.level)
        pins.asked.append(setup["spi"])
        source.SPI = spi.SPI
    for function in (reset, soft_reset, reset_cause, unique_id, freq, idle):
        setattr(source, function.__name__, function)
    for name in ("PWRON_RESET", "HARD_RESET", "WDT_RESET", "DEEPSLEEP_RESET", "SOFT_RESET"):
        setattr(source, name, globals()[name])
    modules["machine"] = modules["umachine"] = Module("machine", source)
