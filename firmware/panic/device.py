"""The button as one pure thing: activations go in, frames come down, alarms live, lights follow. No asyncio.

app.py feeds it and carries what it makes.
"""

import os
import struct

from panic.alarm import SENDING, Alarm, Alarms
from panic.counter import Counter
from panic.journal import CAPACITY, Entry, Journal
from panic.lights import Lights
from panic.position import Position
from panic.sender import Sender
from panic.supervision import Supervision
from panic.ticks import Elapsed, ticks_add, ticks_diff
from panic_wire.bodies import THREE_PRESSES, status_activation
from panic_wire.header import CLOSED, RECEIPT, STAGE_NAMES, STATUS, FrameError
from panic_wire.seal import open_frame

TEST_MODE_MS = 120000


def random_u32():
    """From the system's source of randomness (on an ESP32 the hardware's)."""
    return struct.unpack(">I", os.urandom(4))[0]


class Device:
    """settings: panic.settings.Settings. files: panic.files.Files. Resumes the journal's alarms."""

    def __init__(self, settings, files, now, log=print, random_u32=random_u32):
        self._settings = settings
        self._log = log
        self._journal = Journal(files, log)
        self._counter = Counter(files, random_u32, self._journal.highest(), log)
        self._up_since = Elapsed(now)
        self.alarms = Alarms()
        self.lights = Lights(settings.silent)
        self.position = Position()
        self.supervision = Supervision(settings.heartbeat_s, random_u32)
        self.sender = Sender(settings, self._counter, self.alarms, random_u32)
        self.refused_frames = 0
        self._test_until = None
        for entry in self._journal.entries():
            stage = RECEIPT if entry.receipted else SENDING
            self.alarms.add(Alarm(entry.activation, Elapsed(now), entry.gesture, entry.position, stage, resumed=True))
            log("alarm %d resumed: %s" % (entry.activation, STAGE_NAMES.get(stage, "sending")))
        self._show(now, quietly=True)

    def begin_test(self, now):
        """Held while idle: for TEST_MODE_MS, three presses are a test alarm. While an alarm is open, nothing."""
        if self._test_until is None and len(self.alarms):
            self._log("no test mode: an alarm is open")
            return
        self._test_until = ticks_add(now, TEST_MODE_MS)
        self._log("test mode")
        self._show(now)

    def test_wait_ms(self, now):
        """Milliseconds until test mode ends by itself, and its alarms with it; None when it is not on."""
        if self._test_until is None:
            return None
        left = ticks_diff(self._test_until, now)
        if left > 0:
            return left
        self._test_until = None
        self.alarms.remove_tests()
        self._log("test mode ends")
        self._show(now)
        return None

    def activate(self, pressed_at, now, gesture=THREE_PRESSES):
        """An SOS, made at ticks pressed_at (the third press). When this returns the alarm is on flash and due.

        In test mode it is a test alarm, in RAM; the third press decides.
        """
        if self._test_until is not None and ticks_diff(self._test_until, pressed_at) > 0:
            return self._activate_test(pressed_at, now, gesture)
        if self._test_until is not None:
            self.test_wait_ms(now)
        if self._is_full():
            newest = self.alarms.newest()
            newest.must_announce = True
            newest.tries = 0
            self._log("alarm %d takes one more activation in: the journal is full" % newest.activation)
            return newest
        activation = self._counter.take_activation()
        position = self.position.current(now)
        try:
            gone = self._journal.add(Entry(activation, gesture, position))
            if gone is not None:
                self.alarms.remove(gone)
        except OSError as error:
            # A flash that fails must not keep an SOS back: it goes out from RAM.
            self._log("journal: cannot write alarm %d: %s" % (activation, error))
        alarm = Alarm(activation, Elapsed(pressed_at), gesture, position)
        self.alarms.add(alarm)
        self._log("alarm %d" % activation)
        self._show(now)
        return alarm

    def _activate_test(self, pressed_at, now, gesture):
        self.alarms.remove_tests()
        activation = self._counter.take_activation()
        alarm = Alarm(activation, Elapsed(pressed_at), gesture, self.position.current(now), test=True)
        self.alarms.add(alarm)
        self._log("test alarm %d" % activation)
        self._show(now)
        return alarm

    def _is_full(self):
        # The journal, or RAM when flash no longer takes anything.
        if self._journal.is_full():
            return self.alarms.newest() is not None
        waiting = [alarm for alarm in self.alarms if alarm.is_unreceipted()]
        return len(waiting) >= CAPACITY

    def take_frame(self, frame, now):
        """A frame that came down. True when a stage changed. What is not authentic is counted, not obeyed."""
        try:
            header, body = open_frame(self._settings.downlink_key, frame)
            if header.type != STATUS:
                raise FrameError("bad-header", "only status frames come down")
            if header.device != self._settings.device or not self._counter.used(header.epoch, header.counter):
                raise FrameError("bad-header", "a status frame that answers no frame of ours")
            activation = status_activation(body)
        except FrameError as error:
            self.refused_frames += 1
            self._log("frame refused: %s" % error)
            return False
        if activation == 0:
            self.supervision.receipted()
            return False
        alarm = self.alarms.find(activation)
        if alarm is None:
            return False
        was_unreceipted = alarm.is_unreceipted()
        if not alarm.advance(header.stage):
            return False
        self._log("alarm %d: %s" % (activation, STAGE_NAMES[header.stage]))
        try:
            if alarm.test:
                pass  # the journal does not know it
            elif header.stage == CLOSED:
                self._journal.close(activation)
            elif was_unreceipted:
                self._journal.receipt(activation)
        except OSError as error:
            # It stays in the journal as it was; after a reboot it is sent again, which does no harm.
            self._log("journal: cannot note the stage of alarm %d: %s" % (activation, error))
        if header.stage == CLOSED:
            self.alarms.remove(activation)
        self._show(now)
        return True

    def _show(self, now, quietly=False):
        newest = self.alarms.newest()
        self.lights.show(newest.stage if newest else None, now, quietly, self._test_until is not None)

    def came_up(self):
        """A bearer came up: announce every open alarm again, and a heartbeat."""
        self.sender.announce_all()
        self.supervision.up()

    def alarm_frame(self, alarm, now, battery_mv=0):
        """The sealed frame of one attempt."""
        return self.sender.alarm_frame(alarm, now, self.position.current(now), battery_mv)

    def heartbeat_frame(self, board, now):
        """The sealed heartbeat; also keeps every age from being overtaken by the wrap of ticks."""
        self.touch(now)
        heartbeat = self.supervision.heartbeat(
            self._settings,
            board,
            self._up_since.ms(now) // 1000,
            self.position.has_fix(now),
            len(self.alarms),
        )
        self.supervision.sent(now)
        return self.sender.heartbeat_frame(heartbeat)

    def touch(self, now):
        """Look at every age: needed at least every six days (ticks.Elapsed)."""
        self._up_since.ms(now)
        self.position.has_fix(now)
        for alarm in self.alarms:
            alarm.age.ms(now)
