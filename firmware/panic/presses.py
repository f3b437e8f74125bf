"""From raw edges of the contact to presses, activations and a stuck button.

Pure: it is fed with edges that carry their own time, so that an edge which is handled late (while flash is
erased, or a connection is made) still counts with the time at which it happened.
"""

from panic.ticks import ticks_add, ticks_diff

PRESS = "press"
ACTIVATION = "activation"
LONG = "long"
HELD = "held"
HOLD = "hold"
STUCK = "stuck"
FREED = "freed"
CHATTER = "chatter"
RESTED = "rested"

DEBOUNCE_MS = 30
WINDOW_MS = 2000
GAP_MS = 1000
LONG_MS = 5000
HELD_MS = 10000
HOLD_MS = 2000
STUCK_MS = 30000
CHATTER_MS = 1000
PRESSES = 3


class Presses:
    """Debounce and gesture of one button.

    edge(ticks, down) and poll(now, down) return a list of (kind, ticks): kind is PRESS, ACTIVATION, LONG (held for
    LONG_MS), HELD (for HELD_MS) or STUCK, ticks is when the contact closed; FREED when a stuck one opened. The
    activation comes with its third press DOWN; the next press begins a new gesture, so six presses are two
    activations. After each call, wait_ms(now) says when to poll again.

    hold_is_sos: HOLD instead of HELD, once the contact is closed for HOLD_MS: the same SOS; not after an activation
    of the same press. counted(...) takes what the chip has counted while nothing could run. stuck: it is now.

    A worn contact may never rest while it is pressed. When it was closed for half of such an unrest, and long enough
    in all, that was a press. CHATTER: no rest for CHATTER_MS; RESTED: it has come to rest since.
    """

    def __init__(self, down=False, window_ms=WINDOW_MS, gap_ms=GAP_MS, debounce_ms=DEBOUNCE_MS, hold_is_sos=False):
        self._held_kind, self._held_ms = (HOLD, HOLD_MS) if hold_is_sos else (HELD, HELD_MS)
        self._window_ms = window_ms
        self._gap_ms = gap_ms
        self._debounce_ms = debounce_ms
        # A contact that is closed at power-up is no press and no hold: nobody saw it close. It can still be stuck.
        self._down = down
        self._down_since = None
        self._held = down
        self._long = down
        self.stuck = False
        self._raw = down
        self._raw_since = 0
        self._moved_at = 0
        self._closed_ms = 0
        self._chatters = False
        self._settling = False
        self._gesture = []

    def edge(self, ticks, down):
        """A raw edge: at `ticks` the contact was found closed (down True) or open."""
        out = self._settle(ticks)
        if not self._settling:
            self._settling = True
            self._moved_at = ticks
            self._closed_ms = 0
        elif self._raw:
            self._closed_ms += ticks_diff(ticks, self._raw_since)
        # The same level twice means that it moved in between: not quiet either.
        self._raw = down
        self._raw_since = ticks
        return out

    def poll(self, now, down):
        """Time has come to `now` and the contact is seen at `down`: makes good an edge that got lost."""
        if down != self._raw:
            return self.edge(now, down)
        out = self._settle(now)
        if self._down and self._down_since is None:
            self._down_since = now
        self._forget(now)
        if self._settling and not self._chatters and ticks_diff(now, self._moved_at) >= CHATTER_MS:
            self._chatters = True
            out.append((CHATTER, self._moved_at))
        held = ticks_diff(now, self._down_since) if self._down else 0
        if self._down and not self._long and held >= LONG_MS:
            self._long = True
            out.append((LONG, self._down_since))
        if self._down and not self._held and held >= self._held_ms:
            self._held = True
            if self._held_kind == HOLD:
                self._gesture = []
            out.append((self._held_kind, self._down_since))
        if self._down and not self.stuck and held >= STUCK_MS:
            self.stuck = True
            out.append((STUCK, self._down_since))
        return out

    def wait_ms(self, now):
        """Milliseconds until poll() is needed again without an edge; None when it is not."""
        times = []
        if self._settling:
            times.append(self._debounce_ms - ticks_diff(now, self._raw_since))
        if self._gesture:
            times.append(self._gap_ms + 1 + self._debounce_ms - ticks_diff(now, self._gesture[-1]))
        if self._down and not self.stuck:
            held = 0 if self._down_since is None else ticks_diff(now, self._down_since)
            times.append(self._next_hold_ms() - held)
        return max(0, min(times)) if times else None

    def _next_hold_ms(self):
        """How long it must be held for the next thing that a hold says."""
        waits = [STUCK_MS]
        if not self._held:
            waits.append(self._held_ms)
        if not self._long:
            waits.append(LONG_MS)
        return min(waits)

    def counted(self, closings, since, now, down):
        """The contact closed so often between `since` and `now`, and nobody saw when; now it is seen at `down`.

        Each closing is taken as a press, as far as debounce leaves room for so many. A contact that chatters makes one
        press look like several, and may so make an alarm of it; the other mistake would swallow an SOS. Three are one
        activation, however many more there were: nobody can tell where a second would begin.
        """
        presses = min(closings, ticks_diff(now, since) // (2 * self._debounce_ms) + 1)
        out = []
        if self._settling:  # what began before is not in the count; nobody can say any more how long it lasted
            self._raw_since = ticks_add(since, -self._debounce_ms)
            out = self._settle(since)
        self._raw = self._down = down
        self._raw_since = self._moved_at = self._down_since = now
        if self.stuck and closings:
            out.append((FREED, now))
        self._held = self._long = self.stuck = self._chatters = False
        self._closed_ms = 0
        self._forget(since)
        out += [(PRESS, now)] * presses
        if presses and len(self._gesture) + presses >= PRESSES:
            self._gesture = []
            self._held = self._held_kind == HOLD
            out.append((ACTIVATION, now))
        else:
            self._gesture += [now] * presses
        return out

    def _settle(self, now):
        """Take the raw level as real when it has been quiet for long enough."""
        if not self._settling or ticks_diff(now, self._raw_since) < self._debounce_ms:
            return []
        self._settling = False
        out = [(RESTED, self._raw_since)] if self._chatters else []
        self._chatters = False
        if self._raw == self._down:
            unrest = ticks_diff(self._raw_since, self._moved_at)
            if not self._down and self._closed_ms >= max(self._debounce_ms, unrest // 2):
                self._press(self._moved_at, out)
            return out
        self._down = self._raw
        if self.stuck:
            out.append((FREED, self._moved_at))
        self._held = self._long = self.stuck = False
        if self._down:
            self._down_since = self._moved_at
            self._press(self._moved_at, out)
        return out

    def _press(self, ticks, out):
        out.append((PRESS, ticks))
        self._forget(ticks)
        if self._gesture and ticks_diff(ticks, self._gesture[-1]) > self._gap_ms:
            self._gesture = []
        self._gesture.append(ticks)
        if len(self._gesture) == PRESSES:
            self._gesture = []
            if self._held_kind == HOLD:
                self._held = True  # it may be held on: that is no second SOS
            out.append((ACTIVATION, ticks))

    def _forget(self, now):
        """Drop presses that no gesture can use any more; else they would come back with the wrap of ticks."""
        if self._settling:
            # The press that is settling happened at _moved_at, and is to be judged against that.
            now = self._moved_at
        while self._gesture and ticks_diff(now, self._gesture[0]) > self._window_ms:
            self._gesture.pop(0)
        if self._gesture and ticks_diff(now, self._gesture[-1]) > self._gap_ms:
            self._gesture = []
