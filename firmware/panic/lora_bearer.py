"""LoRa as a bearer: looks, sends, listens for the answer, and says it again, with a schedule of its own.

It races with WiFi for alarms: whichever is receipted first, the other stops. All else goes here only while WiFi has no
way. Every attempt is sealed anew, compact where the gateway knows our epoch (CONTRACT.md, section 10).
"""

import asyncio

from lora.ledger import Ledger
from lora.radio import RadioError, airtime_ms
from panic import drop
from panic.notices import NEXT, WITH_HEARTBEAT
from panic.position import metres
from panic.ticks import least, ticks_add, ticks_diff, ticks_ms
from panic_wire.bodies import RADIO
from panic_wire.header import CANCEL, VERSION

# Waits between two tries of an alarm: drawn from half of a bound to the bound, which doubles (docs/lora.md).
FIRST_MS, CAP_MS = 1500, 128000
BACK_MS = 600  # a busy channel is looked at again within so long, up to eight times as much,
LOOKS = 40  # and after so many looks it is sent all the same: who jams must not silence us by that alone
PER_ROW = 2  # tries with each row of the plan
ANSWER_MS = 6000  # so long it listens for the answer to what is no alarm
NEAR = 2048  # half of what 12 bits of an activation tell apart
UPDATE_MS, MOVED_M = 60000, 50
FULL_EVERY = 4  # each so many tries is a full frame: for a gateway that has lost our epoch
AGAIN_MS, AGAIN_MOST_MS = 1000, 60000  # a radio that fails is begun again
FIRST_BEAT_MS, BEAT_AGAIN_MS = 20000, 20000
REASONS = ("absent", "busy", "oscillator", "silent", "untuned")
FULL_BYTES, SMALL_BYTES = 46, 24
# Of panic_wire/compact.py, which is loaded only for a moment.
COMPACT, STATUSES, STATUS_BYTES = 0x1A, 0x1B, 9


class LoraBearer:
    """app: panic.app.App. radio: lora.radio.Radio."""

    name = "lora"

    def __init__(self, app, radio, settings, random_u32, log):
        self._app, self._radio, self._log = app, radio, log
        plan, self._power, self._beat_s = settings.lora
        # Those of one factor one after another, and each button begins with another of them.
        self._plan = []
        for factor in (7, 8, 9, 10):
            rows = [row for row in plan if row[1] == factor]
            at = settings.device % len(rows) if rows else 0
            self._plan += rows[at:] + rows[:at]
        self._me = settings.device.to_bytes(4, "big")
        self._random_u32 = random_u32
        app.device.sender.keeps = True
        self._ledger = Ledger()
        self._beat_at = ticks_add(ticks_ms(), random_u32() % FIRST_BEAT_MS)
        self._again_at = None
        self._beats = 0  # without an answer
        self._row = 0  # of what is no alarm
        self._told = self._told_at = None  # the position that was told last, and when
        self._asleep = False
        self._until = None  # listen for the answer of what is no alarm, until then
        self.up = False
        self.garbage = 0  # packets that are nothing of ours

    def hurry(self):
        """Something may be due."""
        self._radio.poke()

    async def run(self):
        """Never returns."""
        device, pause = self._app.device, AGAIN_MS
        while True:
            try:
                await self._radio.begin()
                self._asleep = False
                self.up = True
                device.trouble(RADIO, False, 0, ticks_ms())
                pause = AGAIN_MS
                await self._listen(self._plan[0])
                while True:
                    await self._step()
            except RadioError as error:
                self._log("lora: %s" % error)
                device.trouble(RADIO, True, REASONS.index(error.reason) + 1, ticks_ms())
                self._app.wake_sender.set()
            self.up = False
            await asyncio.sleep(pause / 1000)
            pause = min(2 * pause, AGAIN_MOST_MS)

    async def _step(self):
        now = ticks_ms()
        alarm = self._due(now)
        if alarm:
            await self._alarm(alarm)
            return
        others_ms = None
        if not self._app.bearer.up:
            others_ms = self._others_wait_ms(now)
            if others_ms == 0:
                await self._other(now)
                return
        wait_ms = least((self._alarms_wait_ms(now), others_ms))
        if not self._listens(now):
            if not self._asleep:
                await self._radio.sleep()
                self._asleep = True
            await self._radio.rest(wait_ms)
            await asyncio.sleep(0.001)  # a line that is high for no reason must not hold everything else up
            return
        until_ms = None if self._until is None else ticks_diff(self._until, now)
        if await self._radio.rest(least((wait_ms, until_ms, 60000))):
            packet = await self._radio.take(1)
            if packet and packet[0]:
                self._take(packet[0])

    # What is due

    def _due(self, now):
        found = None
        for alarm in self._app.device.alarms:
            if alarm.is_unreceipted() and _left(alarm.lora_at, now) == 0:
                found = alarm
        return found

    def _alarms_wait_ms(self, now):
        return least([_left(alarm.lora_at, now) for alarm in self._app.device.alarms if alarm.is_unreceipted()])

    def _others_wait_ms(self, now):
        """Cancels and troubles as they come, positions once a minute, a heartbeat once in heartbeat_s."""
        device = self._app.device
        return least((self._beat_ms(now), device.notices.wait_ms(now), self._update_ms(now)))

    def _beat_ms(self, now):
        if self._app.device.supervision.unanswered == 0:
            self._beats = 0
            self._again_at = None
        return least((_left(self._beat_at, now), None if self._again_at is None else _left(self._again_at, now)))

    def _listens(self, now):
        """Somebody may have something to tell us."""
        if self._until is not None and ticks_diff(self._until, now) <= 0:
            self._until = None
        return self._until is not None or len(self._app.device.alarms) > 0

    # Sending

    async def _alarm(self, alarm):
        row = self._plan[alarm.lora_tries // PER_ROW % len(self._plan)]
        small = self._is_small(row, alarm)
        wait_s = self._wait_s(row, SMALL_BYTES if small else FULL_BYTES, True)
        if wait_s:
            alarm.lora_at = ticks_add(ticks_ms(), wait_s * 1000)
            self._log("lora: alarm %d must wait %d s for airtime" % (alarm.activation, wait_s))
            return
        await self._clear(row)
        now = ticks_ms()
        if not alarm.is_unreceipted():  # the other bearer was faster
            await self._listen(row)
            return
        device = self._app.device
        frame = self._sealed(small, lambda: device.alarm_frame(alarm, now, self._app.board.battery_mv(), True))
        self._told, self._told_at = device.position.current(now), now
        alarm.lora_tries += 1
        bound = FIRST_MS
        for _ in range(1, alarm.lora_tries):
            bound = min(2 * bound, CAP_MS)
        try:
            await self._send(row, frame)
        finally:  # whatever the radio says
            alarm.lora_at = ticks_add(ticks_ms(), bound // 2 + self._random_u32() % (bound // 2))

    def _is_small(self, row, alarm):
        if airtime_ms(FULL_BYTES, row[1]) > self._ledger.dwell_ms:
            return True
        return alarm.lora_tries % FULL_EVERY != FULL_EVERY - 1 and self._is_known(alarm.activation)

    def _is_known(self, activation):
        """The gateway can tell epoch and activation (0: none) from the few bits of them in a compact frame."""
        known, epoch = self._app.device.sender.known, self._app.device.counter.epoch
        if known is None or known[0] != epoch:
            return False
        return activation == 0 or 0 <= activation - (known[1] or (epoch & 0xFFFF) << 16) < NEAR

    def _update_ms(self, now):
        """Until a position is due: a minute after the last, and only when the person has moved; None: there is none."""
        device = self._app.device
        alarm, place = device.alarms.newest(), device.position.current(now)
        if alarm is None or alarm.test or alarm.is_unreceipted() or place is None:
            return None
        told = self._told
        if told is None or metres(told[0], told[1], place[0], place[1]) >= MOVED_M:
            return 0 if self._told_at is None else _left(ticks_add(self._told_at, UPDATE_MS), now)
        return UPDATE_MS

    def _said(self, now):
        """What waits in the notices, else the position."""
        device = self._app.device
        frame = device.other_frame(now, 1)  # with so empty a battery it tells no positions
        if frame is None and self._update_ms(now) == 0:
            self._told, self._told_at = device.position.current(now), now
            place, flags = device.place(now)
            alarm = device.alarms.newest()
            frame = device.sender.update_frame(alarm, now, place, self._app.board.battery_mv(), flags)
        return frame

    async def _other(self, now):
        device, app = self._app.device, self._app
        row = self._plan[self._row // PER_ROW % len(self._plan)]
        small = self._is_known(0) or row[1] > 9
        if self._beat_ms(now) == 0:
            make, is_beat = lambda: device.heartbeat_frame(app.board, now), True
        else:
            make, is_beat = lambda: self._said(now), False
        length = SMALL_BYTES if small else FULL_BYTES
        wait_s = self._wait_s(row, length, device.notices.count(CANCEL) > 0)
        if wait_s:
            self._log("lora: %d s until there is airtime" % wait_s)
            self._beat_at, self._again_at = ticks_add(now, wait_s * 1000), None
            for entry in device.notices.open:
                if entry[NEXT] != WITH_HEARTBEAT:
                    entry[NEXT] = ticks_add(now, wait_s * 1000)
            return
        await self._clear(row)
        self._row += 1
        frame = self._sealed(small, make)
        if is_beat:
            whole = self._beat_s * 1000
            self._beat_at = ticks_add(now, whole - self._random_u32() % (whole // 10 + 1))
            # Without an answer: soon again with the next row, as we may be out of that one's reach; all rows once.
            self._beats += 1
            self._again_at = None
            if self._beats < PER_ROW * len(self._plan):
                self._again_at = ticks_add(now, BEAT_AGAIN_MS + self._random_u32() % BEAT_AGAIN_MS)
        if frame and airtime_ms(len(frame), row[1]) <= self._ledger.dwell_ms:
            await self._send(row, frame)
            self._until = ticks_add(ticks_ms(), ANSWER_MS)
        else:
            await self._listen(row)

    def _sealed(self, small, make):
        if not small:
            return make()
        sender = self._app.device.sender
        try:
            from panic_wire.compact import seal_full

            sender.seal_small = seal_full
            return make()
        finally:  # its RAM is worth more while it is not needed
            sender.seal_small = seal_full = None
            drop("panic_wire", "compact")

    def _wait_s(self, row, length, urgent):
        wait_s = self._ledger.wait_s(self._now_s(), airtime_ms(length, row[1]), urgent)
        return 3600 if wait_s is None else wait_s

    def _now_s(self):
        return self._app.device.up_since.ms(ticks_ms()) // 1000

    async def _clear(self, row):
        """The radio is tuned, and nobody else is heard there."""
        if self._asleep:
            await self._radio.wake()
            self._asleep = False
        await self._radio.tune(row[0], row[1], self._power)
        for look in range(LOOKS):
            if await self._radio.is_free():
                return
            # Longer each few looks: of many who wait, two who look at one moment both find it free.
            await asyncio.sleep((1 + self._random_u32() % (BACK_MS << min(look // 3, 3))) / 1000)

    async def _send(self, row, frame):
        self._ledger.sent(self._now_s(), await self._radio.send(frame))
        await self._listen(row)

    async def _listen(self, row):
        await self._radio.tune(row[2], row[1], self._power, True)
        await self._radio.listen()

    # What comes down

    def _take(self, packet):
        if packet[0] == STATUSES and len(packet) % STATUS_BYTES == 1:
            for at in range(1, len(packet), STATUS_BYTES):
                if packet[at : at + 2] == self._me[2:]:
                    self._app.down(self._app.device.rare("compact_down", "take", packet, ticks_ms()))
                    return
        elif packet[2:6] == self._me and packet[0] != COMPACT:
            self._app.frame_down(packet)
        elif packet[0] >> 4 != VERSION:
            self.garbage += 1


def _left(at, now):
    return 0 if at is None else max(0, ticks_diff(at, now))
