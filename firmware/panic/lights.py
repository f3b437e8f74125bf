"""What the one LED and the buzzer say. Pure: ask led(now) and buzzer(now), again after the wait they give.

The person learns the truth and only the truth: sending, received, police have seen it, help is coming.
"""

from panic.alarm import SENDING
from panic.ticks import ticks_diff
from panic_wire.header import ACCEPTED, ACKNOWLEDGED, CLOSED, DISPATCHED, ON_SCENE, RECEIPT

# on, off, on, off ... in ms, repeating; () is off and STEADY is on, both without end.
OFF = ()
STEADY = (-1,)
FAST = (80, 170)
SLOW = (1000, 1000)
TWICE = (200, 200, 200, 1000)

# What is told at each stage: (LED pattern, buzzer tones). None is idle: no open alarm.
LANGUAGE = {
    None: (OFF, 0),
    SENDING: (FAST, 0),
    RECEIPT: (SLOW, 1),
    ACCEPTED: (SLOW, 1),
    ACKNOWLEDGED: (TWICE, 2),
    DISPATCHED: (STEADY, 3),
    ON_SCENE: (STEADY, 3),
    CLOSED: (OFF, 0),
}
# The same in test mode, so that nobody takes a test for help that comes; a silent device shows it as well. None: test
# mode, no test yet.
BLINK = (60, 940)
HALVES = (500, 500)
THRICE = (300, 150, 300, 150, 300, 900)
TEST_LANGUAGE = {None: (BLINK, 1), SENDING: (HALVES, 0)}
TEST_RECEIVED = (THRICE, 4)
TONE_MS = 200
TONE_HZ = 2000


class Lights:
    """show(stage, now) when the newest open alarm's stage changes; None when there is none.

    A silent device shows nothing, but in test mode.
    """

    def __init__(self, silent=False):
        self._silent = silent
        self._pattern = OFF
        self._tones = 0
        self._since = 0
        self._tones_since = 0
        self._tones_left = 0

    def show(self, stage, now, quietly=False, test=False):
        """Say a stage. quietly: after a reboot, with no tones for what the person has heard before."""
        pattern, tones = TEST_LANGUAGE.get(stage, TEST_RECEIVED) if test else LANGUAGE[stage]
        if self._silent and not test:
            pattern, tones = OFF, 0
        if pattern != self._pattern:
            # A lit light that goes on being lit would look like the steady one: a new "sending" begins dark then.
            begins_dark = stage == SENDING and pattern != OFF and self.led(now)[0]
            self._pattern = pattern
            self._since = (now - pattern[0]) & 0x3FFFFFFF if begins_dark else now
        if tones != self._tones:
            self._tones = tones
            self._tones_since = now
            self._tones_left = 0 if quietly else tones

    def led(self, now):
        """(on, ms until it changes or None)."""
        pattern = self._pattern
        if pattern == OFF:
            return False, None
        if pattern == STEADY:
            return True, None
        whole = sum(pattern)
        elapsed = ticks_diff(now, self._since)
        if elapsed >= whole:
            # Keep the start near: ticks wrap, and a pattern may run for days.
            self._since = (now - elapsed % whole) & 0x3FFFFFFF
            elapsed %= whole
        on = True
        for length in pattern:
            if elapsed < length:
                return on, length - elapsed
            elapsed -= length
            on = not on
        return True, pattern[0]

    def buzzer(self, now):
        """(sounding, ms until it changes or None): tones of TONE_MS with as much silence between them."""
        if not self._tones_left:
            return False, None
        place = ticks_diff(now, self._tones_since)
        step = place // TONE_MS
        if step >= 2 * self._tones_left - 1:
            self._tones_left = 0
            return False, None
        return step % 2 == 0, TONE_MS - place % TONE_MS
