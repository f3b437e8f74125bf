"""Which alarm is to be sent now, and the sealed frame for it. Pure: bearers.py carries what this makes.

Each attempt is sealed anew, with a counter of its own and the age as of now. An unreceipted alarm is sent
again without end; a receipted one is announced after each reconnect, so that the gateway says its stage.
"""

from panic.retry import retry_ms
from panic.ticks import least, ticks_add, ticks_diff
from panic_wire.bodies import AGE_IS_MINIMUM, REPEATED, pack_alarm
from panic_wire.header import ALARM, ALARM_UPDATE, REPORT, TEST, Header
from panic_wire.seal import seal

KEPT = 4  # frames of an alarm that a compact status may answer


class Sender:
    """settings: panic.settings.Settings. counter: panic.counter.Counter. alarms: panic.alarm.Alarms.

    last: (epoch, counter) of the frame that was sealed last.
    """

    def __init__(self, settings, counter, alarms, random_u32):
        self._settings = settings
        self._counter = counter
        self._alarms = alarms
        self._random_u32 = random_u32
        self.last = None
        self.known = None  # (epoch, activation or 0) of what was answered last: the gateway can open compact frames
        self.seal_small = None  # panic_wire.compact.seal_full while a compact frame is to be made
        self.keeps = False  # compact statuses may come

    def announce_all(self):
        """A bearer came up: every alarm that is not closed is due now."""
        for alarm in self._alarms:
            alarm.announce()

    def due(self, now):
        """The newest alarm to send now, or None."""
        due = None
        for alarm in self._alarms:
            if alarm.attempt is None and _wait_ms(alarm, now) == 0:
                due = alarm
        return due

    def wait_ms(self, now):
        """Milliseconds until the next alarm is due; None when none waits for time."""
        return least([_wait_ms(alarm, now) for alarm in self._alarms if alarm.attempt is None])

    def alarm_frame(self, alarm, now, position=None, battery_mv=0, flags=0, aside=False):
        """The sealed frame of this attempt. position now: (lat_e7, lon_e7, accuracy_m, fix_age_s) or None. aside: for
        a bearer with a schedule of its own."""
        frame = self._frame(TEST if alarm.test else ALARM, alarm, now, position, battery_mv, flags)
        alarm.repeated = True
        if self.keeps:
            alarm.frames = alarm.frames[1 - KEPT :] + (self.last,)
        if aside:
            return frame
        alarm.must_announce = False
        alarm.tries += 1
        alarm.next_try = ticks_add(now, retry_ms(alarm.tries, self._random_u32))
        return frame

    def update_frame(self, alarm, now, position, battery_mv, flags):
        """Where the person is now; nobody waits for an answer to it."""
        return self._frame(ALARM_UPDATE, alarm, now, position, battery_mv, flags)

    def _frame(self, type, alarm, now, position, battery_mv, flags):
        age_ms = alarm.age.ms(now)
        if position is None and alarm.position:
            lat, lon, accuracy, fix_age = alarm.position
            if alarm.age_is_minimum:
                fix_age = None  # after a power cut nobody can say how old the fix is
            elif fix_age is not None:
                fix_age += age_ms // 1000
            position = (lat, lon, accuracy, fix_age)
        flags |= (AGE_IS_MINIMUM if alarm.age_is_minimum else 0) | (REPEATED if alarm.repeated else 0)
        return self.seal(type, pack_alarm(alarm.activation, alarm.gesture, flags, age_ms, position, battery_mv))

    def seal(self, type, body):
        """The sealed frame of a packed body, under the next counter."""
        counter = self._counter.take_counter()
        # The epoch is read after the counter: taking one may begin a new epoch.
        self.last = (self._counter.epoch, counter)
        if self.seal_small and type != REPORT:
            settings = self._settings
            return self.seal_small(settings.uplink_key, type, settings.device, self.last[0], counter, body)
        header = Header(type, 0, self._settings.device, self._counter.epoch, counter)
        return seal(self._settings.uplink_key, header, body)


def _wait_ms(alarm, now):
    if alarm.must_announce:
        return 0
    if not alarm.is_unreceipted():
        return None
    if alarm.next_try is None:
        return 0
    return max(0, ticks_diff(alarm.next_try, now))
