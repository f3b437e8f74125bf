"""Composes the button with asyncio: a task for each thing that happens, and a reset when one of them crashes.

`board` is a hal.board.Board. It has: button (flag, take(), is_down(), began_down, lost), lamp (led(on),
colour(rgb), tone(hz), shake(on)), gps (async read()) or None, wifi (async run(networks,
keep_address, on_up), look(portal), answered(), trouble), set_clock(unix_ms), feed(), reset(),
battery_mv(), rssi_dbm(), reset_cause(); and sleep(deep) (hal.sleep.Sleep) where settings.power is "light" or "deep".
button also has mark(), counted(), is_quiet() (see hal/button.py).
"""

import asyncio

from mqtt.codec import MQTTError
from mqtt.flag import Flag
from panic import say
from panic.bearers import WifiBearer
from panic.device import Device, random_u32
from panic.lights import TONE_HZ
from panic.nmea import Nmea
from panic.presses import ACTIVATION, CHATTER, FREED, HELD, HOLD, HOLD_MS, LONG, RESTED, STUCK, STUCK_MS, Presses
from panic.ticks import Elapsed, least, ticks_add, ticks_ms
from panic.wait import print_exception, wait
from panic_wire.bodies import BUTTON_STUCK, EDGES_LOST, NETWORK, ON_BACKUP
from panic_wire.bodies import HOLD as HOLD_GESTURE

IN_FLIGHT = 2  # attempts at once; each takes some 2 kB of RAM while it lasts
FEED_MS = 10000
CRASH_MS = 1000
NO_WAY_MS = 60000  # so long without a way to the broker is trouble


class App:
    """run() does not return: it ends in board.reset(). make_bearer: what makes a bearer (panic.bearers)."""

    def __init__(self, board, settings, files, log=say, make_bearer=WifiBearer):
        self.board = board
        self._settings = settings
        self._log = log
        self.device = Device(settings, files, ticks_ms(), log)
        self._make_bearer = make_bearer
        self._in_flight = 0
        self.attempt = None  # the task that carries what is no alarm, while it does
        self._online_due = False
        self.lora = None  # panic.lora_bearer.LoraBearer where there is a radio
        self._lost = None  # how long there has been no way to the broker

    def run(self):
        """Start every task and stay."""
        asyncio.run(self.main())

    async def main(self):
        """Until a task crashes; then the board resets, and the alarms in the journal are resumed."""
        # Events belong to the loop that runs, so they are made here.
        self.wake_sender = Flag()
        self.wake_lights = Flag()
        self.wake_heartbeat = Flag()
        self.wake_power = Flag()
        self._failed = asyncio.Event()
        self.device.set_clock = self.board.set_clock
        self.device.rare("crash", "resume", self.board.reset_cause(), ticks_ms())
        self.bearer = self._make_bearer(self._settings, self.frame_down, self._bearer_up, self._log, self._go_dark)
        self.bearer.on_down = self._bearer_down  # pyright: ignore[reportAttributeAccessIssue]
        self.judge = Presses(
            self.board.button.began_down,
            self._settings.window_ms,
            self._settings.gap_ms,
            hold_is_sos=self._settings.hold_is_sos,
        )
        tasks = [
            ("button", self._watch_button()),
            ("lights", self._shine()),
            ("sender", self._send()),
            ("heartbeat", self._beat()),
            ("watchdog", self._feed()),
        ]
        tasks += self._supply()
        if self._settings.lora:
            from panic.lora_bearer import LoraBearer

            self.lora = LoraBearer(self, self.board.radio, self._settings, random_u32, self._log)
            tasks.append(("lora", self.lora.run()))
        if self.board.gps:
            tasks.append(("gps", self._listen_gps()))
        # Kept: CPython's loop holds tasks only weakly.
        running = [asyncio.create_task(self.guard(name, job)) for name, job in tasks]
        await self._failed.wait()
        await asyncio.sleep(CRASH_MS / 1000)
        self._log("%d tasks were running; reset" % len(running))
        self.board.reset()

    def _supply(self):
        """On mains the link is always up; else the sleeper turns it on and off. Only then is its RAM spent."""
        if self._settings.power in ("light", "deep"):
            from panic.sleeper import Sleeper

            deep = self._settings.power == "deep"
            return [("power", Sleeper(self, self.board, self._settings, self.bearer, deep, self._log).run())]
        return [("wifi", self.join()), ("mqtt", self.bearer.run())]

    def join(self):
        """What keeps the WiFi connected."""
        settings = self._settings
        return self.board.wifi.run(settings.wifi_networks, settings.wifi_keep_address, self.bearer.hurry)

    async def guard(self, name, job, may_end=False):
        """Run a task; one that crashes, or ends and may not, resets the board."""
        try:
            await job
            if may_end:
                return
            self._log("task %s ended" % name)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._crashed(name, error)
        self._failed.set()

    def _crashed(self, name, error):
        """Say it, and keep its last lines for the gateway."""
        self._log("task %s crashed" % name)
        print_exception(error)
        self.device.rare("crash", "keep", name, error)

    async def _watch_button(self):
        button = self.board.button
        presses = self.judge
        while True:
            counted = button.counted()
            if counted:
                # What waited in the ring is from before the count began.
                self._drain(button)
                self._presses(presses.counted(counted[0], counted[1], ticks_ms(), button.is_down()))
            self._drain(button)
            self._presses(presses.poll(ticks_ms(), button.is_down()))
            wait_ms = presses.wait_ms(ticks_ms())
            if wait_ms is None:
                self.wake_power.set()
            await wait(button.flag, wait_ms)

    def _drain(self, button):
        edge = button.take()
        while edge:
            self._presses(self.judge.edge(edge[0], edge[1]))
            edge = button.take()

    def _presses(self, found):
        for kind, ticks in found:
            if kind in (ACTIVATION, HOLD):
                if kind == HOLD:
                    self.device.activate(ticks_add(ticks, HOLD_MS), ticks_ms(), HOLD_GESTURE)
                else:
                    self.device.activate(ticks, ticks_ms())
                self._changed()
                self.bearer.hurry()
            elif kind == LONG:
                if self.device.cancel(ticks, ticks_ms()):
                    self._changed()
            elif kind == HELD:
                self.device.begin_test(ticks_ms())
                self._changed()
            elif kind in (STUCK, FREED):
                # Held for so long it is no wish for a test either: what is pressed after that is meant.
                self.device.end_test(ticks_ms())
                self.device.trouble(BUTTON_STUCK, kind == STUCK, STUCK_MS // 1000, ticks_ms())
                self._changed()
            elif kind in (CHATTER, RESTED):
                self.device.trouble(EDGES_LOST, kind == CHATTER, self.board.button.lost, ticks_ms())
                self.wake_sender.set()

    def _changed(self):
        self.wake_lights.set()
        self.wake_sender.set()
        self.wake_power.set()
        if self.lora:
            self.lora.hurry()

    def frame_down(self, frame):
        """A frame that came down."""
        self.down(self.device.take_frame(frame, ticks_ms()))

    def down(self, changed):
        """Something came down; changed: a stage did."""
        self.wake_power.set()
        if changed:
            self._changed()
            if self._settings.power == "later" and not len(self.device.alarms):
                self._failed.set()  # a reset, after which it sleeps (main.py)

    def _bearer_up(self):
        self.board.wifi.answered()
        self._lost = None
        self.device.trouble(NETWORK, self.bearer.client.on_backup, ON_BACKUP, ticks_ms())
        self.device.came_up()
        self._online_due = True
        self.wake_sender.set()
        self.wake_heartbeat.set()

    def _bearer_down(self, portal):
        self.board.wifi.look(portal)
        now = ticks_ms()
        if self._lost is None:
            self._lost = Elapsed(now)
        elif self._lost.ms(now) > NO_WAY_MS:
            self.device.rare("watch", "no_way", self.board.wifi, self.bearer.client.cause, now)

    def _go_dark(self):
        self.board.button.mark()
        # A light that stands still while a name is looked up would look like the steady one: dark says nothing.
        self.board.lamp.led(False)
        self.board.lamp.colour(0)
        self.board.lamp.tone(0)
        self.board.lamp.shake(False)
        self.wake_lights.set()

    async def _shine(self):
        lamp = self.board.lamp
        lights = self.device.lights
        while True:
            now = ticks_ms()
            waits = [self.device.test_wait_ms(now), self.device.late_wait_ms(now)]
            on, ms = lights.led(now)
            waits.append(ms)
            lamp.led(on)
            lamp.colour(lights.colour if on else 0)
            on, ms = lights.buzzer(now)
            waits.append(ms)
            lamp.tone(TONE_HZ if on else 0)
            on, ms = lights.shaker(now)
            waits.append(ms)
            lamp.shake(on)
            await self.wake_lights.wait(least(waits))

    async def _send(self):
        while True:
            now = ticks_ms()
            if not self.bearer.up:
                await self.wake_sender.wait()
                continue
            alarm = self.device.sender.due(now) if self._in_flight < IN_FLIGHT else None
            if alarm:
                self._in_flight += 1
                frame = self.device.alarm_frame(alarm, now, self.board.battery_mv())
                # Kept by the alarm, because CPython's loop would let it go.
                alarm.attempt = asyncio.create_task(self._attempt(alarm, frame))
                continue
            # One at a time, and only when no alarm is on its way: one that comes up meanwhile finds room beside it.
            other_ms = None
            if not self._in_flight:
                frame = self.device.other_frame(now, self.board.battery_mv())
                if frame:
                    self._in_flight += 1
                    self.attempt = asyncio.create_task(self._attempt(self, frame))
                    continue
                other_ms = self.device.other_wait_ms(now, self.board.battery_mv())
            alarm_ms = self.device.sender.wait_ms(now) if self._in_flight < IN_FLIGHT else None
            await self.wake_sender.wait(least((alarm_ms, other_ms)))

    async def _attempt(self, alarm, frame):
        """Carry a frame of an alarm, or of nothing in particular (then `alarm` is this App)."""
        try:
            await self._carry(frame)
        except Exception as error:
            self._crashed("attempt", error)
            self._failed.set()
        if alarm is self and self.device.wants_restart and not self.device.answer_due:
            self._failed.set()  # a command; its answer is sent
        alarm.attempt = None
        self._in_flight -= 1
        self.wake_sender.set()
        self.wake_power.set()

    async def _carry(self, frame):
        """One frame to the broker; a bearer that fails is no crash, the schedule goes on."""
        try:
            await self.bearer.send(frame)
        except (OSError, MQTTError, asyncio.TimeoutError) as error:
            self._log("%s: %s" % (self.bearer.name, error))

    async def _beat(self):
        supervision = self.device.supervision
        while True:
            now = ticks_ms()
            self.device.touch(now)
            if not self.bearer.up:
                await self.wake_heartbeat.wait()
                continue
            if self._online_due:
                self._online_due = False
                try:
                    await self.bearer.say_online()
                except (OSError, MQTTError, asyncio.TimeoutError) as error:
                    self._log("%s: %s" % (self.bearer.name, error))
            if supervision.wait_ms(now) == 0:
                await self._carry(self.device.heartbeat_frame(self.board, now))
                self.wake_sender.set()
                if supervision.unanswered > 3:
                    self._log("trouble: %d heartbeats without an answer" % supervision.unanswered)
            await self.wake_heartbeat.wait(supervision.wait_ms(ticks_ms()))

    async def _feed(self):
        while True:
            self.board.feed()
            await asyncio.sleep(FEED_MS / 1000)

    async def _listen_gps(self):
        nmea = Nmea()
        while True:
            data = await self.board.gps.read()
            now = ticks_ms()
            for sentence in nmea.feed(data):
                self.device.take_sentence(sentence, now)
