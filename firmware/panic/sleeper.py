"""The asyncio part of sleep: turns the link on and off, and puts the board to sleep when nothing is to be done.

Loaded only on a button that sleeps. panic/power.py says when; hal/sleep.py does it.
"""

import asyncio

from panic.power import Power
from panic.ticks import ticks_add, ticks_diff, ticks_ms
from panic_wire.header import CANCEL

CLOSE_MS = 2000  # for a goodbye to the broker
# At a check-in the receiver looks for a fix, so that a press finds a young one and the receiver starts hot. It finds
# none indoors: then it looks at every fourth only.
SEEK_MS = 40000
SEEK_EVERY = 4


class Sleeper:
    """run() is one more task of the App; app.wake_power is set whenever a reason to be awake may have gone."""

    def __init__(self, app, board, settings, bearer, deep, log):
        self._app = app
        self._board = board
        self._settings = settings
        self._bearer = bearer
        self._log = log
        self._device = app.device
        self._sleep = board.sleep(deep)
        self._deep = deep
        self._power = Power(settings.heartbeat_s * 1000, ticks_ms())
        self._jobs = []
        self._newest = None  # (activation, stage) of the newest alarm, as it was last seen
        self._seek_until = None  # the receiver looks for a fix
        self._misses = 0
        self._gps_on = None  # unknown: it may be awake, or resting since before deep sleep
        if deep:
            from panic import kept

            self._keep = kept.pack
            self._misses = kept.restore(self._sleep, self._device.position)

    async def run(self):
        """Never returns; in deep sleep the chip starts anew."""
        power = self._power
        while True:
            now = ticks_ms()
            self._follow(now)
            seeks = self._seeks(now)
            if power.link_wanted(now, self._is_urgent(now), len(self._device.alarms)) != bool(self._jobs):
                await self._link(not self._jobs)
            elif not self._jobs and self._is_quiet(now) and not seeks:
                self._rest(power.sleep_ms(now, self._device.notices.due(now)))
            else:
                times = [power.wait_ms(now) + 1, self._device.test_wait_ms(now), 1000 if seeks else None]
                await self._app.wake_power.wait(min([ms for ms in times if ms is not None]))

    def _follow(self, now):
        """Tell Power what has happened."""
        supervision = self._device.supervision
        if self._device.notices.due(now):
            self._power.hurry(now)
        if self._power.checks_in(now):
            supervision.up()
            self._app.wake_heartbeat.set()
            if self._board.gps and not self._settings.fixed_site and self._misses % SEEK_EVERY == 0:
                self._seek_until = ticks_add(now, SEEK_MS)
            self._misses += 1
            if self._misses == 2 * SEEK_EVERY:
                self._misses = SEEK_EVERY
        elif supervision.unanswered == 0 and supervision.wait_ms(now):
            self._power.heard(now, supervision.wait_ms(now))
        alarm = self._device.alarms.newest()
        newest = alarm and (alarm.activation, alarm.stage)
        if newest != self._newest:
            self._newest = newest
            self._power.alert(now, self._board.battery_mv())

    def _is_urgent(self, now):
        device = self._device
        if device.test_wait_ms(now) is not None or device.notices.count(CANCEL) or device.answer_due:
            return True
        if self._app.attempt is not None:
            return True
        return any(alarm.is_unreceipted() or alarm.attempt is not None for alarm in self._device.alarms)

    def _is_quiet(self, now):
        button = self._board.button
        judge = self._app.judge
        return judge.wait_ms(now) is None and button.is_quiet() and (judge.stuck or not button.is_down())

    async def _link(self, on):
        if on:
            self._board.button.mark()  # starting the radio keeps everything for some 0.1 s
            for name, job in (("wifi", self._app.join()), ("mqtt", self._bearer.run())):
                self._jobs.append(asyncio.create_task(self._app.guard(name, job, True)))
        else:
            if self._bearer.up:
                try:
                    await asyncio.wait_for(self._bearer.close(), CLOSE_MS / 1000)
                except asyncio.TimeoutError:
                    pass  # the broker will say offline, until the next check-in
            for job in self._jobs:
                job.cancel()
                try:
                    await job
                except asyncio.CancelledError:
                    pass
            self._jobs = []
            self._sleep.radio_off()

    def _seeks(self, now):
        """The receiver looks for a fix, and keeps the board awake for it. Also lets it rest, or wakes it."""
        if self._device.position.has_fix(now):
            self._misses = 0
            self._seek_until = None
        elif self._seek_until is not None and ticks_diff(self._seek_until, now) <= 0:
            self._seek_until = None
        if not self._board.gps:
            return False
        on = self._seek_until is not None or (bool(self._jobs) and len(self._device.alarms) > 0)
        if on != self._gps_on:
            self._gps_on = on
            self._board.gps.rest(not on)
        return self._seek_until is not None

    def _rest(self, ms):
        self._device.touch(ticks_ms())
        self._board.lamp.led(False)
        self._board.lamp.tone(0)
        if self._deep and not len(self._device.alarms) and not self._app.judge.stuck:
            self._sleep.deep(ms, self._keep(self._sleep, self._device.position, self._misses))
        if self._sleep.light(ms):
            self._log("woken by the button")
        self._app.wake_lights.set()
