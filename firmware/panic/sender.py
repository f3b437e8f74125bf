"""Which alarm is to be sent now, and the sealed frame for it. Pure: bearers.py carries what this makes.

Each attempt is sealed anew, with a counter of its own and the age as of now. An unreceipted alarm is sent
again without end; a receipted one is announced after each reconnect, so that the gateway says its stage.
"""

from panic.retry import RetryPolicy
from panic.ticks import ticks_add, ticks_diff
from panic_wire.bodies import AGE_IS_MINIMUM, FIXED_SITE, REPEATED, SILENT, pack_alarm
from panic_wire.header import ALARM, HEARTBEAT, TEST, Header
from panic_wire.seal import seal


class Sender:
    """settings: panic.settings.Settings. counter: panic.counter.Counter. alarms: panic.alarm.Alarms."""

    def __init__(self, settings, counter, alarms, random_u32, policy=None):
        self._settings = settings
        self._flags = (SILENT if settings.silent else 0) | (FIXED_SITE if settings.fixed_site else 0)
        self._counter = counter
        self._alarms = alarms
        self._random_u32 = random_u32
        self._policy = policy or RetryPolicy()

    def announce_all(self):
        """A bearer came up: every alarm that is not closed is due now."""
        for alarm in self._alarms:
            alarm.must_announce = True
            alarm.next_try = None
            alarm.tries = 0

    def due(self, now):
        """The newest alarm to send now, or None."""
        for alarm in reversed(list(self._alarms)):
            if alarm.attempt is None and self._wait_ms(alarm, now) == 0:
                return alarm
        return None

    def wait_ms(self, now):
        """Milliseconds until the next alarm is due; None when none waits for time."""
        waits = [self._wait_ms(alarm, now) for alarm in self._alarms if alarm.attempt is None]
        waits = [wait for wait in waits if wait is not None]
        return min(waits) if waits else None

    def _wait_ms(self, alarm, now):
        if alarm.must_announce:
            return 0
        if not alarm.is_unreceipted():
            return None
        if alarm.next_try is None:
            return 0
        return max(0, ticks_diff(alarm.next_try, now))

    def alarm_frame(self, alarm, now, position=None, battery_mv=0):
        """The sealed frame of this attempt. position now: (lat_e7, lon_e7, accuracy_m, fix_age_s) or None."""
        age_ms = alarm.age.ms(now)
        if position is None and alarm.position:
            lat, lon, accuracy, fix_age = alarm.position
            if alarm.age_is_minimum:
                fix_age = None  # after a power cut nobody can say how old the fix is
            elif fix_age is not None:
                fix_age += age_ms // 1000
            position = (lat, lon, accuracy, fix_age)
        flags = self._flags | (AGE_IS_MINIMUM if alarm.age_is_minimum else 0) | (REPEATED if alarm.repeated else 0)
        body = pack_alarm(alarm.activation, alarm.gesture, flags, age_ms, position, battery_mv)
        frame = self._seal(TEST if alarm.test else ALARM, body)
        alarm.repeated = True
        alarm.must_announce = False
        alarm.tries += 1
        alarm.next_try = ticks_add(now, self._policy.wait_ms(alarm.tries, self._random_u32))
        return frame

    def heartbeat_frame(self, body):
        """The sealed frame of a packed heartbeat."""
        return self._seal(HEARTBEAT, body)

    def _seal(self, type, body):
        counter = self._counter.take_counter()
        # The epoch is read after the counter: taking one may begin a new epoch.
        header = Header(type, 0, self._settings.device, self._counter.epoch, counter)
        return seal(self._settings.uplink_key, header, body)
