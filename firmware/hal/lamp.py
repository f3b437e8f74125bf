"""The LED, and the buzzer on PWM. Neither is touched before it is first asked for."""

from machine import PWM, Pin

_HALF = 32768


class Lamp:
    """led(on); tone(hz), 0 for silence."""

    def __init__(self, led_pin, buzzer_pin=None, active_high=True):
        self._on = 1 if active_high else 0
        self._led = Pin(led_pin, Pin.OUT, value=1 - self._on)
        self._lit = False
        self._buzzer_pin = buzzer_pin
        self._pwm = None

    def led(self, on):
        """Light it or put it out; writes the pin only on a change."""
        if on != self._lit:
            self._lit = on
            self._led.value(self._on if on else 1 - self._on)

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
