"""The button as one pure thing: activations go in, frames come down, alarms live, lights follow. No asyncio.

app.py feeds it and carries what it makes.
"""

import os
import struct

import panic
from panic import notices
from panic.alarm import SENDING, Alarm, Alarms
from panic.counter import Counter
from panic.journal import Journal
from panic.lights import CANCELLED, IDLE, NOT_RECEIVED, TEST_IDLE, TEST_RECEIVED, TEST_SENDING, Lights
from panic.notices import Notices
from panic.position import Position
from panic.presses import LONG_MS
from panic.sender import Sender
from panic.supervision import Supervision
from panic.ticks import Elapsed, least, ticks_add, ticks_diff
from panic_wire.bodies import (
    CLOCK_KNOWN,
    DOUBTFUL,
    DURESS,
    FIX_JUMPED,
    FIXED_SITE,
    HAS_FIX,
    MOVED,
    SILENT,
    SITE_MOVED,
    TEST_MODE,
    THREE_PRESSES,
    status_activation,
)
from panic_wire.header import (
    CANCEL,
    CLOSED,
    COMMAND,
    DISPATCHED,
    HEARTBEAT,
    RECEIPT,
    REPORT,
    STATUS,
    TROUBLE,
    FrameError,
)
from panic_wire.seal import open_frame

TEST_MODE_MS = 120000
CANCEL_MS = 30000
NOT_RECEIVED_MS = 60000
WATCH_MS = 240000  # with a heartbeat, and not with each of those that come faster
RAM_ALARMS = 4  # the rest waits on flash
# Where the person is, after an alarm: so often for so long, then less.
UPDATE_MS = 10000
CHASE_MS = 300000
SLOW_UPDATE_MS = 60000
STAGES = ("sending", "receipt", "accepted", "acknowledged", "dispatched", "on_scene", "closed")


def random_u32():
    """From the system's source of randomness (on an ESP32 the hardware's)."""
    return struct.unpack(">I", os.urandom(4))[0]


class Device:
    """settings: panic.settings.Settings. files: panic.files.Files. Resumes the journal's alarms."""

    def __init__(self, settings, files, now, log=print, random_u32=random_u32):
        self.settings = settings
        self.files = files
        self.log = log
        self._journal = Journal(files, log)
        self.counter = Counter(files, random_u32, self._journal.highest(), log)
        self.up_since = Elapsed(now)
        self.alarms = Alarms()
        self.lights = Lights(settings)
        self.position = Position(settings.site)
        self.supervision = Supervision(settings, random_u32)
        self.sender = Sender(settings, self.counter, self.alarms, random_u32)
        self.notices = Notices(random_u32)
        self.refused_frames = 0
        self.set_clock = None  # callable(Unix ms), or nobody wants to know the time
        self.clock_known = False
        self.answer = None  # the body of the report that answers the last command
        self.answer_due = False
        self.wants_restart = False  # once the answer is sent
        self.flash_error = 0
        self.watched = None  # since it was last looked whether something is wrong
        self._test_until = None
        self._updated = Elapsed(now)  # since a position was told
        self._told_fixes = 0
        self._cancelled = 0  # the activation that the person has cancelled and nobody is sent to
        self._pressed_s = {}  # uptime at the press of alarms that wait on flash and were made since the start
        self._fill(now)
        self.show(now, True)

    def _fill(self, now):
        """RAM holds the newest alarm, then those without receipt, then the others, the newest of each first."""
        unreceipted, receipted = self._journal.unreceipted, self._journal.receipted
        room = RAM_ALARMS - len([alarm for alarm in self.alarms if not alarm.on_flash])
        newest = receipted[-1:] if receipted and receipted[-1] > max(unreceipted[-1:] + [0]) else []
        wanted = (newest + unreceipted[::-1] + receipted[::-1])[: max(room, 1)]
        uptime_s = self.up_since.ms(now) // 1000
        for alarm in list(self.alarms):
            if alarm.on_flash and alarm.activation not in wanted and alarm.attempt is None:
                self.alarms.remove(alarm)
                if alarm.is_unreceipted() and not alarm.age_is_minimum:
                    self._pressed_s[alarm.activation] = uptime_s - alarm.age.ms(now) // 1000
        for activation in wanted:
            if self.alarms.find(activation) is None:
                gesture, position = self._journal.read(activation)
                pressed_s = self._pressed_s.pop(activation, None)
                # Made before the start: nobody knows how long the power was away.
                age = Elapsed(now, self.up_since.ms(now) if pressed_s is None else (uptime_s - pressed_s) * 1000)
                stage = SENDING if activation in unreceipted else RECEIPT
                self.alarms.add(Alarm(activation, age, gesture, position, stage, True, pressed_s is None))
                self.log("alarm %d resumed: %s" % (activation, STAGES[stage]))

    # What the thumb does

    def activate(self, pressed_at, now, gesture=THREE_PRESSES):
        """An SOS, made at ticks pressed_at (the third press). When this returns the alarm is on flash and due.

        In test mode it is a test alarm, in RAM; the third press decides.
        """
        test = self._test_until is not None and ticks_diff(self._test_until, pressed_at) > 0
        if test:
            self.alarms.remove_tests()
        else:
            self.test_wait_ms(now)
            if self._is_full():
                newest = self.alarms.newest()
                newest.announce()
                newest.lora_at = None
                self.log("alarm %d takes one more activation in: the journal is full" % newest.activation)
                return newest
        activation = self.counter.take_activation()
        position = self.position.current(now)
        alarm = Alarm(activation, Elapsed(pressed_at), gesture, position)
        alarm.test = test
        if not test:
            try:
                self._journal.add(activation, gesture, position)
                alarm.on_flash = True
            except OSError as error:
                # A flash that fails must not keep an SOS back: it goes out from RAM.
                self._flash_failed("write alarm %d" % activation, error)
        self.alarms.add(alarm)
        self._fill(now)
        self.log(("test alarm %d" if test else "alarm %d") % activation)
        self.show(now)
        return alarm

    def _is_full(self):
        # The journal, or RAM when flash no longer takes anything.
        if self._journal.is_full():
            return self.alarms.newest() is not None
        return len([alarm for alarm in self.alarms if alarm.is_unreceipted() and not alarm.on_flash]) >= RAM_ALARMS

    def cancel(self, since, now):
        """Held for LONG_MS since ticks `since`: a mistake, if that began within CANCEL_MS of the newest alarm.

        Tells the operator and changes nothing here but the light; RAM only, as no life hangs on it. The hold must begin
        after the third press: a hand that closes round the button and stays there cancels nothing. True when it did.
        """
        alarm = self.alarms.newest()
        if alarm is None or alarm.test or alarm.age_is_minimum:
            return False
        if not 0 < alarm.age.ms(now) - ticks_diff(now, since) <= CANCEL_MS:
            return False
        # On the button the two are the same in every way.
        flags = DURESS if self.settings.cancel_is_duress else 0
        self.notices.begin(CANCEL, alarm.activation, flags, ticks_add(since, LONG_MS))
        self._cancelled = alarm.activation
        self.log("alarm %d: cancel" % alarm.activation)
        self.show(now)
        return True

    def begin_test(self, now):
        """Held while idle: for TEST_MODE_MS, three presses are a test alarm. While an alarm is open, nothing."""
        if self._test_until is None and len(self.alarms):
            self.log("no test mode: an alarm is open")
            return False
        self._test_until = ticks_add(now, TEST_MODE_MS)
        self.log("test mode")
        self.show(now)
        return True

    def end_test(self, now):
        """Test mode and its alarms are over."""
        if self._test_until is not None:
            self._test_until = None
            self.alarms.remove_tests()
            self.log("test mode ends")
            self.show(now)

    def test_wait_ms(self, now):
        """Milliseconds until test mode ends by itself, and its alarms with it; None when it is not on."""
        if self._test_until is None:
            return None
        left = ticks_diff(self._test_until, now)
        if left > 0:
            return left
        self.end_test(now)
        return None

    # What comes down

    def take_frame(self, frame, now):
        """A frame that came down. True when a stage changed. What is not authentic is counted, not obeyed."""
        try:
            header, body = open_frame(self.settings.downlink_key, frame)
        except FrameError as error:
            self.refuse(error.reason)
            return False
        if header.device != self.settings.device:
            self.refuse("another's")
            return False
        if header.type == COMMAND:
            return self._obey(header, body, now)
        if header.type != STATUS or not self.counter.used(header.epoch, header.counter):
            self.refuse("it answers none of ours")
            return False
        return self.take_status(header.stage, (header.epoch, header.counter), status_activation(body), now)

    def take_status(self, stage, answered, activation, now):
        """An authentic status that answers our frame `answered`, (epoch, counter). True when a stage changed."""
        told = None
        known = self.sender.known
        before = known[1] if known and known[0] == answered[0] else 0
        self.sender.known = (answered[0], max(activation, before))  # pyright: ignore[reportAttributeAccessIssue]
        if stage == RECEIPT:
            told = self.notices.receipted(answered)
            if told and told[notices.TYPE] == REPORT:
                self.rare("crash", "told", now)
        if activation == 0:
            if answered[1] >= self.counter.first:
                self.supervision.receipted(answered)
            return told is not None
        return self._advance(activation, stage, now)

    def refuse(self, why):
        """A frame that came down is not obeyed: counted, and said."""
        self.refused_frames += 1
        self.log("frame refused: " + why)

    def _obey(self, header, body, now):
        self.rare("commands", "obey", header, body, now)
        return True

    def _advance(self, activation, stage, now):
        alarm = self.alarms.find(activation)
        if alarm is not None and stage <= alarm.stage:
            return False
        try:
            # What the journal does not know, it passes over: a test.
            if stage == CLOSED:
                self._journal.close(activation)
            else:
                self._journal.receipt(activation)
        except OSError as error:
            # It stays in the journal as it was; after a reboot it is sent again, which does no harm.
            self._flash_failed("note the stage of alarm %d" % activation, error)
        if alarm is None:
            return False
        alarm.stage = stage
        self.log("alarm %d: %s" % (activation, STAGES[stage]))
        if stage == CLOSED:
            self.alarms.remove(alarm)
            self.notices.drop(CANCEL, activation)
        self._fill(now)
        if stage >= DISPATCHED and activation == self._cancelled:
            self._cancelled = 0  # they come all the same, or it is over: that is what the light says then
        self.show(now)
        return True

    def came_up(self):
        """A bearer came up: announce every open alarm again, and a heartbeat."""
        self.sender.announce_all()
        self.notices.repeat()
        self.supervision.up()

    # What the person sees

    def show(self, now, quietly=False):
        newest = self.alarms.newest()
        if self._test_until is not None:
            what = TEST_IDLE if newest is None else TEST_SENDING if newest.is_unreceipted() else TEST_RECEIVED
        elif newest is None:
            what = IDLE
        elif newest.activation == self._cancelled:
            what = CANCELLED
        elif newest.is_unreceipted() and newest.age.ms(now) >= NOT_RECEIVED_MS:
            what = NOT_RECEIVED
        else:
            what = newest.stage
        self.lights.show(what, now, quietly)

    def late_wait_ms(self, now):
        """Milliseconds until the person must be told that nothing has been received; None when there is nothing."""
        newest = self.alarms.newest()
        if newest is None or newest.test or not newest.is_unreceipted():
            return None
        left = NOT_RECEIVED_MS - newest.age.ms(now)
        if left > 0:
            return left
        self.show(now)
        return None

    # What goes up

    def _flags(self):
        settings = self.settings
        return (SILENT if settings.silent else 0) | (FIXED_SITE if settings.fixed_site else 0)

    def place(self, now):
        """(position as of now, flags of an alarm); it counts as told."""
        position = self.position
        self._updated = Elapsed(now)
        self._told_fixes = position.fixes
        return position.current(now), self._flags() | (MOVED if position.moved_m else 0) | (
            DOUBTFUL if position.jump_m else 0
        )

    def alarm_frame(self, alarm, now, battery_mv=0, aside=False):
        """The sealed frame of one attempt. aside: see Sender.alarm_frame."""
        place, flags = self.place(now)
        return self.sender.alarm_frame(alarm, now, place, battery_mv, flags, aside)

    def _update_wait_ms(self, now, battery_mv=0):
        """Milliseconds until a position is to be told; None when there is no alarm, no fix or no power for it.

        Only of the newest alarm, after its receipt: before it, every retry says where the person is. Without news
        since the last that was told there is nothing to tell, and it is looked again after the same time.
        """
        alarm = self.alarms.newest()
        if alarm is None or alarm.test or alarm.is_unreceipted() or not self.position.fixes:
            return None
        if 0 < battery_mv < self.settings.battery_reserve_mv:
            return None
        every = UPDATE_MS if alarm.age.ms(now) < CHASE_MS else SLOW_UPDATE_MS
        left = every - self._updated.ms(now)
        if left > 0:
            return left
        return every if self.position.fixes == self._told_fixes else 0

    def other_frame(self, now, battery_mv=0):
        """The next sealed frame that is no alarm and no heartbeat, or None. An alarm that is due goes first."""
        entry = self.notices.due(now)
        if self.answer_due and (entry is None or entry[notices.TYPE] != CANCEL):
            self.answer_due = False
            return self.sender.seal(REPORT, self.answer)
        if entry:
            type = entry[notices.TYPE]
            if type == REPORT:
                body = self.rare("crash", "part", entry[notices.REF])
                if body is None:  # with the next heartbeat then
                    entry[notices.NEXT] = notices.WITH_HEARTBEAT
                    return None
            else:
                body = notices.pack(entry, now)
            frame = self.sender.seal(type, body)
            self.notices.sent(entry, self.sender.last, now)
            return frame
        if self._update_wait_ms(now, battery_mv) == 0:
            place, flags = self.place(now)
            return self.sender.update_frame(self.alarms.newest(), now, place, battery_mv, flags)
        return None

    def other_wait_ms(self, now, battery_mv=0):
        """Milliseconds until other_frame() may have one; None when none waits for time."""
        return least((self.notices.wait_ms(now), self._update_wait_ms(now, battery_mv)))

    def unreceipted(self):
        """How many alarms have no receipt."""
        in_ram = [alarm for alarm in self.alarms if alarm.is_unreceipted() and not alarm.test and not alarm.on_flash]
        return len(self._journal.unreceipted) + len(in_ram)

    def heartbeat_frame(self, board, now):
        """The sealed heartbeat; also keeps every age from being overtaken by the wrap of ticks."""
        self.touch(now)
        if self.watched is None or self.watched.ms(now) >= WATCH_MS:
            self.watched = Elapsed(now)
            self.rare("watch", "watch", board, now)
        flags = (
            self._flags() | (HAS_FIX if self.position.has_fix(now) else 0) | (CLOCK_KNOWN if self.clock_known else 0)
        )
        if self.test_wait_ms(now) is not None:
            flags |= TEST_MODE
        body = self.supervision.heartbeat(board, self.up_since.ms(now) // 1000, flags, self.unreceipted())
        self.notices.repeat()
        frame = self.sender.seal(HEARTBEAT, body)
        self.supervision.sent(now, self.sender.last)
        return frame

    # Troubles

    def trouble(self, kind, is_on, value, now):
        """It is so, or not (any more). Told once when it begins and once when it ends."""
        if is_on:
            if self.notices.begin(TROUBLE, kind, value, now):
                self.log("trouble %d: %d" % (kind, value))
        elif self.notices.end(kind, now):
            self.log("trouble %d is over" % kind)

    def take_sentence(self, sentence, now):
        """What the GPS receiver said."""
        position = self.position
        was_odd = position.jump_m or position.moved_m
        position.take(sentence, now)
        if was_odd or position.jump_m or position.moved_m:
            self.trouble(FIX_JUMPED, position.jump_m, position.jump_m, now)
            self.trouble(SITE_MOVED, position.moved_m, position.moved_m, now)

    def _flash_failed(self, what, error):
        self.log("journal: cannot %s: %s" % (what, error))
        self.flash_error = error.errno or 5

    def rare(self, module, job, *more):
        """Call job(this, ...) of a module that is loaded for it, then unloaded. None when RAM or flash fails."""
        try:
            return getattr(__import__("panic." + module, None, None, (job,)), job)(self, *more)
        except (MemoryError, OSError) as error:
            self.log("%s: %r" % (job, error))
            return None
        finally:
            panic.unload(module)

    def touch(self, now):
        """Look at every age: needed at least every six days (ticks.Elapsed)."""
        self.up_since.ms(now)
        self.position.touch(now)
        self._updated.ms(now)
        self.notices.touch(now)
        for alarm in self.alarms:
            alarm.age.ms(now)
