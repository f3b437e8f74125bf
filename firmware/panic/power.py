"""When may the board sleep, how long, and is the link wanted meanwhile. Pure: fed with ticks and facts."""

from panic.ticks import ticks_add, ticks_diff

CHECK_MS = 30000  # a check-in: connect, heartbeat, receipt; no longer than this without an answer
LINGER_MS = 500  # after the answer, for what else comes down
AGAIN_MS = 300000  # at least so long after a check-in without an answer
OPEN_MS = 300000  # with a receipted alarm open: look for its next stage so often
ALERT_MS = 1800000  # awake so long after an alarm or its last stage
ALERT_LOW_MS = 120000  # ... when the battery is nearly empty
RESERVE_MV = 3400


class Power:
    """link_wanted(...) and sleep_ms(...) with the facts of now; checks_in(), heard(), hurry(), alert() when so.

    heartbeat_ms: between two check-ins. The first is due at once.
    """

    def __init__(self, heartbeat_ms, now):
        self._heartbeat_ms = heartbeat_ms
        self._next = now  # when the next check-in is due
        self._not_before = None  # of one for what is no alarm
        self._check_until = None  # it is under way, until then
        self._alert_until = None

    def alert(self, now, battery_mv=0):
        """An alarm was made, or came to another stage: stay awake, its next one may come soon."""
        low = 0 < battery_mv < RESERVE_MV
        self._alert_until = ticks_add(now, ALERT_LOW_MS if low else ALERT_MS)

    def heard(self, now, next_ms):
        """The check-in was answered; the next heartbeat is due in next_ms."""
        if self._check_until is not None:
            self._check_until = ticks_add(now, min(LINGER_MS, self._left(self._check_until, now)))
            self._next = ticks_add(now, next_ms)

    def hurry(self, now):
        """Something is to be told that is no alarm: check in now, but no more often than each AGAIN_MS."""
        if self._check_until is None and self._not_before is None:
            self._next = now

    def checks_in(self, now):
        """True once when a check-in begins."""
        if self._check_until is not None or self._left(self._next, now):
            return False
        self._check_until = ticks_add(now, CHECK_MS)
        self._not_before = ticks_add(now, AGAIN_MS)
        # Should no answer come: again after a quarter of the heartbeat. An answer sets it anew.
        self._next = ticks_add(now, CHECK_MS + max(self._heartbeat_ms // 4, AGAIN_MS))
        return True

    def link_wanted(self, now, is_urgent, open_alarms):
        """The radio is to be on: something urgent is to be sent, an alarm is young, or a check-in is under way."""
        if self._alert_until is not None and not self._left(self._alert_until, now):
            self._alert_until = None
        if self._check_until is not None and not self._left(self._check_until, now):
            self._check_until = None
        if self._not_before is not None and not self._left(self._not_before, now):
            self._not_before = None
        if open_alarms and self._left(self._next, now) > OPEN_MS:
            self._next = ticks_add(now, OPEN_MS)
        alert = bool(open_alarms) and self._alert_until is not None
        return is_urgent or alert or self._check_until is not None

    def wait_ms(self, now):
        """Milliseconds until one of this object's own times has come."""
        times = [self._next, self._check_until, self._alert_until]
        return min([self._left(at, now) for at in times if at is not None])

    def sleep_ms(self, now, hurried=False):
        """How long it may sleep when nothing else keeps it awake: until the next check-in; hurried: until hurry() may
        have one."""
        if hurried and self._not_before is not None:
            return min(self._left(self._next, now), self._left(self._not_before, now))
        return self._left(self._next, now)

    def _left(self, at, now):
        return max(0, ticks_diff(at, now))
