"""LED, colour LED, buzzer on PWM, vibration motor: what the board has. None is touched before it is first asked for."""

from machine import PWM, Pin

_HALF = 32768


class Lamp:
    """led(on); colour(0xRRGGBB), 0 dark; tone(hz), 0 silence; shake(on). What a board does not have does nothing.

    Pins are numbers, or None. rgb_pin: one WS2812. shake_pin: high runs the motor, through a transistor.
    """

    def __init__(self, led_pin, buzzer_pin=None, active_high=True, rgb_pin=None, shake_pin=None):
        self._on = 1 if active_high else 0
        self._led = Pin(led_pin, Pin.OUT, value=1 - self._on)
        self._lit = False
        self._buzzer_pin = buzzer_pin
        self._pwm = None
        self._rgb_pin = rgb_pin
        self._pixel = None
        self._rgb = 0
        self._motor = None if shake_pin is None else Pin(shake_pin, Pin.OUT, value=0)

    def led(self, on):
        """Light it or put it out; writes the pin only on a change."""
        if on != self._lit:
            self._lit = on
            self._led.value(self._on if on else 1 - self._on)

    def colour(self, rgb):
        """The colour LED; written only on a change."""
        if self._rgb_pin is None or rgb == self._rgb:
            return
        if self._pixel is None:
            from neopixel import NeoPixel  # frozen into MicroPython for the ESP32

            self._pixel = NeoPixel(Pin(self._rgb_pin, Pin.OUT), 1)
        self._rgb = rgb
        self._pixel[0] = (rgb >> 16, rgb >> 8 & 0xFF, rgb & 0xFF)
        self._pixel.write()

    def shake(self, on):
        """The vibration motor."""
        if self._motor:
            self._motor.value(1 if on else 0)

    def tone(self, hz):
        """Sound at hz until told otherwise."""
        if self._buzzer_pin is None or (hz > 0) == (self._pwm is not None):
            return
        if hz:
            self._pwm = PWM(Pin(self._buzzer_pin, Pin.OUT, value=0), freq=hz, duty_u16=_HALF)
        else:
            self._pwm.duty_u16(0)
            self._pwm.deinit()
            self._pwm = None
            # After deinit the pin is nobody's: hold it low, or the transistor may half conduct.
            Pin(self._buzzer_pin, Pin.OUT, value=0)
