"""What the button shows, sounds and shakes. Pure: ask led(now) and buzzer(now), again after the wait they give.

The person learns the truth and only the truth: sending, received, police have seen it, help is coming; and, a minute
after the press, that it has not been received and is still being tried. A silent device says nothing, but in test mode;
a setting lets it shake once, shortly, when the alarm was received.
"""

from panic.ticks import ticks_diff

# What there is to say. 0 to 6 are an alarm's stages (panic.alarm.SENDING, then those of panic_wire).
IDLE = 6  # closed, or nothing open
NOT_RECEIVED = 7
CANCELLED = 8
TEST_IDLE = 9
TEST_SENDING = 10
TEST_RECEIVED = 11

# on, off, on, off ... in ms, repeating; () is off and STEADY is on, both without end.
OFF = ()
STEADY = (-1,)
FAST = (80, 170)
SLOW = (1000, 1000)
TWICE = (200, 200, 200, 1000)
LONG = (600, 200)
PAIR = (100, 100, 100, 700)
# In test mode everything is another, so that nobody takes a test for help that comes.
BLINK = (60, 940)
HALVES = (500, 500)
THRICE = (300, 150, 300, 150, 300, 900)

# A colour LED blinks like the LED, in a colour as 0xRRGGBB. Tones and shakes are counted; each is TONE_MS long.
WHITE = 0x202020
RED = 0x400000
BLUE = 0x000040
GREEN = 0x004000
YELLOW = 0x302000

# LED, colour, tones, shakes
TABLE = (
    (FAST, RED, 0, 0),  # sending
    (SLOW, BLUE, 1, 1),  # receipt
    (SLOW, BLUE, 1, 1),  # accepted
    (TWICE, BLUE, 2, 2),  # acknowledged
    (STEADY, GREEN, 3, 3),  # dispatched
    (STEADY, GREEN, 3, 3),  # on scene
    (OFF, 0, 0, 0),  # idle
    (LONG, RED, 0, 0),  # not received, still trying
    (PAIR, YELLOW, 1, 1),  # cancelled
    (BLINK, WHITE, 1, 0),  # test mode
    (HALVES, WHITE, 0, 0),  # a test is being sent
    (THRICE, WHITE, 4, 1),  # test received
)
TONE_MS = 200
TONE_HZ = 2000


class Lights:
    """show(what, now) when what is to be said changes. settings: silent and vibrate_on_receipt are looked at."""

    def __init__(self, settings):
        self._settings = settings
        self._pattern = OFF
        self._since = 0
        self._told = IDLE
        self._tones_since = 0
        self._tones = 0
        self._shakes = 0
        self.colour = 0

    def show(self, what, now, quietly=False):
        """Say it. quietly: after a reboot, with no tones for what the person has heard before."""
        pattern, self.colour, tones, shakes = TABLE[what]
        if self._settings.silent and what < TEST_IDLE:
            hears = self._settings.vibrate_on_receipt and 0 < what < IDLE and self._told in (0, NOT_RECEIVED)
            pattern, self.colour, tones, shakes = OFF, 0, 0, 1 if hears else 0
        if pattern != self._pattern:
            # A lit light that goes on being lit would look like the steady one: what starts anew begins dark then.
            begins_dark = what in (0, CANCELLED) and pattern != OFF and self.led(now)[0]
            self._pattern = pattern
            self._since = (now - pattern[0]) & 0x3FFFFFFF if begins_dark else now
        if TABLE[what] != TABLE[self._told]:
            self._tones_since = now
            self._tones = 0 if quietly else tones
            self._shakes = 0 if quietly else shakes
        self._told = what

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
        return self._pulse(self._tones, now)

    def shaker(self, now):
        """(shaking, ms until it changes or None), as the buzzer."""
        return self._pulse(self._shakes, now)

    def _pulse(self, count, now):
        if not count:
            return False, None
        place = ticks_diff(now, self._tones_since)
        step = place // TONE_MS
        if step >= 2 * max(self._tones, self._shakes) - 1:
            self._tones = self._shakes = 0
        if step >= 2 * count - 1:
            return False, None
        return step % 2 == 0, TONE_MS - place % TONE_MS
