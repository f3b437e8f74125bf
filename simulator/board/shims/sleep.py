"""Sleep of the virtual board: machine.lightsleep, deepsleep, wake_reason, esp32.wake_on_ext0.

As ports/esp32/modmachine.c and ESP-IDF's sleep modes have it: the timer and one RTC pin's level wake; while asleep pins
move and nobody is told, UARTs lose what comes, PCNT stands still, and a WiFi that was left on has lost its association.
Deep sleep ends this run; the world starts the next, with RTC memory and calendar as they were.
"""

from .. import clock
from . import network

PIN_WAKE, TIMER_WAKE = 2, 4  # ESP_SLEEP_WAKEUP_EXT0, _TIMER
# ESP32 data sheet, 2.2: the pins of the RTC
WAKE_PINS = (0, 2, 4, 12, 13, 14, 15, 25, 26, 27, 32, 33, 34, 35, 36, 37, 38, 39)

_link = None
_wake = None  # (Pin, level)
_reason = 0


def wake_on_ext0(pin=None, level=None):
    global _wake
    if pin is None:
        _wake = None
        return
    if pin._id not in WAKE_PINS:
        raise ValueError("invalid pin")
    _wake = (pin, 1 if level else 0)


def _is_met():
    return _wake is not None and _wake[0].value() == _wake[1]


def lightsleep(ms=None):
    global _reason
    if network._station:
        network._station.disconnect()
    _link.asleep = True  # before the world hears of it, and moves a pin
    _link.send('{"cpu":"light"}')
    by_pin = _link.doze(ms, _is_met)
    _link.send('{"cpu":"awake"}')
    _reason = PIN_WAKE if by_pin else TIMER_WAKE


def deepsleep(ms=None):
    wake = "null" if _wake is None else "[%d,%d]" % (_wake[0]._id, _wake[1])
    _link.stop()
    _link.send(
        '{"reset":"deepsleep","sleep_ms":%s,"wake":%s,"clock_s":%d}'
        % ("null" if ms is None else ms, wake, clock.time())
    )
    _link.end()


def wake_reason():
    return _reason


def install(link, reason, machine):
    """reason: wake_reason(), 0 when it was no sleep that ended. machine: what gets the functions and constants."""
    global _link, _reason
    _link, _reason = link, reason
    machine.lightsleep, machine.deepsleep, machine.wake_reason = lightsleep, deepsleep, wake_reason
    machine.PIN_WAKE = machine.EXT0_WAKE = PIN_WAKE
    machine.TIMER_WAKE = TIMER_WAKE
