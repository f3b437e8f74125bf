"""machine.Pin and machine.PWM of the virtual board. Levels from outside come from the world.

What the board drives goes to it.
"""

import sys

from .. import clock
from ..parts import Part, lacking

INPUT_ONLY = (34, 35, 36, 37, 38, 39)  # ESP32 datasheet, section 2.2: no driver, no pull
FLASH_PINS = (6, 7, 8, 9, 10, 11)
MISSING_PINS = (20, 24, 28, 29, 30, 31)

_link = None
_pins = {}
_outside = {}
_counters = {}
asked = []  # pins of which the world must say at once what follows: a radio's reset raises its BUSY


def _report(pin, value):
    _link.send('{"pin": %d, "value": %d, "t_ms": %d, "t_us": %d}' % (pin, value, clock.ticks_ms(), clock.host_us()))


class Pin(Part):
    """One pin; Pin(27) gives the same object every time, as on the ESP32.

    The handler runs scheduled, not hard.
    """

    _kind = "machine.Pin"
    IN, OUT, OPEN_DRAIN = 1, 3, 7
    PULL_DOWN, PULL_UP = 1, 2
    IRQ_RISING, IRQ_FALLING, WAKE_LOW, WAKE_HIGH = 1, 2, 4, 5
    DRIVE_0, DRIVE_1, DRIVE_2, DRIVE_3 = 0, 1, 2, 3

    def __new__(cls, id, *arguments, **settings):
        if isinstance(id, Pin):
            return id
        if id not in _pins:
            if not isinstance(id, int) or not 0 <= id < 40 or id in FLASH_PINS or id in MISSING_PINS:
                raise ValueError("invalid pin")
            pin = object.__new__(cls)
            pin._id, pin._mode, pin._pull, pin._level, pin._handler, pin._trigger = (
                id,
                cls.IN,
                None,
                0,
                None,
                0,
            )
            _pins[id] = pin
        return _pins[id]

    def __init__(self, id, mode=-1, pull=-1, value=None, drive=None, hold=None):
        if mode != -1 or pull != -1 or value is not None:
            self.init(mode, pull, value)

    def init(self, mode=-1, pull=-1, value=None, drive=None, hold=None):
        if self._id in INPUT_ONLY and (mode in (self.OUT, self.OPEN_DRAIN) or pull not in (-1, None)):
            raise ValueError("pin can only be input")
        if pull != -1:
            self._pull = pull
        if mode not in (-1, None):
            self._mode = mode
            if mode == self.OUT:
                self._drive(self._level if value is None else value, True)
                return
        if value is not None:
            self._drive(value)

    def _drive(self, value, always=False):
        value = 1 if value else 0
        changed = value != self._level
        self._level = value
        if self._mode == self.OUT and (changed or always):
            if self._id in asked:
                for number, moved in _link.call('{"line": [%d, %d]}' % (self._id, value), "line"):
                    level({"pin": number, "value": moved})
            else:
                _report(self._id, value)

    def value(self, value=None):
        if value is not None:
            return self._drive(value)
        if self._mode == self.OUT:
            return self._level
        if self._id in _outside:
            return _outside[self._id]
        return 1 if self._pull == self.PULL_UP else 0

    __call__ = value

    def on(self):
        self._drive(1)

    def off(self):
        self._drive(0)

    def toggle(self):
        self._drive(not self._level)

    def irq(self, handler=None, trigger=IRQ_RISING | IRQ_FALLING, wake=None, hard=False):
        self._handler, self._trigger = handler, trigger
        return self

    def _edge(self, before, value, moment_us):
        """The world moved the pin at `moment_us` of the host's monotonic clock."""
        handler = self._handler
        if handler is None or before == value:
            return
        if not self._trigger & (self.IRQ_RISING if value else self.IRQ_FALLING):
            return
        clock.at_edge(moment_us)
        try:
            handler(self)
        except Exception as error:  # as the scheduler does: printed, and the program goes on
            sys.print_exception(error)
        finally:
            clock.at_edge(0)

    def __repr__(self):
        return "Pin(%d)" % self._id


def _move(message):
    number, value = message["pin"], message["value"]
    pin = _pins.get(number)
    before = pin.value() if pin else None
    if value is None:
        _outside.pop(number, None)
    else:
        _outside[number] = value
    if number in _counters and not _link.asleep:
        _counters[number]._see(before, pin.value())
    return pin, before


def _on_pin(message):
    pin, before = _move(message)
    if pin:
        pin._edge(before, pin.value(), message["t_us"])


def level(message):
    """The pin moves, and its interrupt has to wait; or there was none yet, as the board was starting."""
    _move(message.get("level") or message)


def _on_edge(message):
    """The interrupt that waited: it finds the pin as it is now, and the clock too."""
    pin = _pins.get(message["pin"])
    if pin:
        pin._edge(1 - message["value"], message["value"], 0)


class PWM(Part):
    """machine.PWM: starts at 5 kHz and half duty when not told otherwise, as the ESP32 does."""

    _kind = "machine.PWM"

    def __init__(self, pin, freq=5000, duty=None, duty_u16=None, **other):
        if other:
            raise lacking("machine.PWM(%s=)" % next(iter(other)), "pins")
        self._pin = pin if isinstance(pin, Pin) else Pin(pin)
        if self._pin._id in INPUT_ONLY:
            raise ValueError("invalid pin")
        self._freq = freq
        self._duty = 0
        self._set(32768 if duty is None and duty_u16 is None else duty_u16 if duty is None else duty * 64, True)

    def _set(self, duty_u16, always=False):
        if not 0 <= duty_u16 <= 65536:
            raise ValueError("duty out of range")
        if duty_u16 != self._duty or always:
            self._duty = duty_u16
            _link.send(
                '{"pwm": %d, "freq": %d, "duty": %d, "t_ms": %d, "t_us": %d}'
                % (self._pin._id, self._freq, min(1023, duty_u16 // 64), clock.ticks_ms(), clock.host_us())
            )

    def init(self, freq=None, duty=None, duty_u16=None):
        if freq is not None:
            self._freq = freq
        self._set(self._duty if duty is None and duty_u16 is None else duty_u16 if duty is None else duty * 64, True)

    def deinit(self):
        self._set(0)

    def freq(self, hertz=None):
        if hertz is None:
            return self._freq
        if not 1 <= hertz <= 40000000:
            raise ValueError("frequency out of range")
        self._freq = hertz
        self._set(self._duty, True)

    def duty(self, duty=None):
        if duty is None:
            return min(1023, self._duty // 64)
        self._set(duty * 64)

    def duty_u16(self, duty=None):
        if duty is None:
            return self._duty
        self._set(duty)


class Counter(Part):
    """machine.Counter: the chip's PCNT. It sees every edge, whatever keeps the processor, but none in light sleep."""

    _kind = "machine.Counter"
    RISING, FALLING = 1, 2
    UP, DOWN = 1, 2

    def __init__(self, id, src, edge=RISING, direction=UP, filter_ns=0):
        if not 0 <= id < 8:
            raise ValueError("invalid id")
        if not 0 <= filter_ns <= 12787:  # 1023 cycles of 80 MHz; the world's contacts do not chatter so fast
            raise ValueError("filter_ns out of range")
        self._edge, self._step, self._count = edge, 1 if direction == self.UP else -1, 0
        _counters[src._id] = self

    def _see(self, before, now):
        if before != now and self._edge == (self.RISING if now else self.FALLING):
            self._count += self._step

    def value(self, value=None):
        count = self._count
        if value is not None:
            self._count = value
        return count


def install(link, outside):
    global _link
    _link = link
    for number, value in outside.items():
        _outside[int(number)] = value
    link.on("pin", _on_pin)
    link.on("level", level)
    link.on("edge", _on_edge)
