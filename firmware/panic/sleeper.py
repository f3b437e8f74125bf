"""The asyncio part of sleep: turns the link on and off, and puts the board to sleep when nothing is to be done.

Loaded only on a button that sleeps. panic/power.py says when; hal/sleep.py does it.
"""

import asyncio
import struct

from panic.modes import DEEP
from panic.power import Power, allowed
from panic.ticks import ticks_ms
from panic.wait import wait

CLOSE_MS = 2000  # for a goodbye to the broker
_FIX = ">iiHIi"  # latitude, longitude, accuracy, age in s, clock in s: what RTC memory holds
_UNKNOWN = 0xFFFF
_MOST_S = 400000  # an older fix says nothing, and panic.ticks ends at 6.2 days


def mode_of(mode, board, settings, log):
    """The mode that this board may have; one that is refused is said, with the reason."""
    mode, why = allowed(mode, board.counts_presses, settings.hold_is_sos)
    if why:
        log("power: %s, because %s" % (mode, why))
    return mode


class Sleeper:
    """run() is one more task of the App; app.wake_power is set whenever a reason to be awake may have gone."""

    def __init__(self, app, board, settings, bearer, mode, log):
        self._app = app
        self._board = board
        self._settings = settings
        self._bearer = bearer
        self._deep = mode == DEEP
        self._log = log
        self._device = app.device
        self._sleep = board.sleep()
        self._power = Power(settings.heartbeat_s * 1000, ticks_ms())
        self._jobs = []
        self._newest = None  # (activation, stage) of the newest alarm, as it was last seen
        self._restore(self._sleep.memory())

    async def run(self):
        """Never returns; in deep sleep the chip starts anew."""
        power = self._power
        while True:
            now = ticks_ms()
            self._follow(now)
            if power.link_wanted(now, self._is_urgent(now), len(self._device.alarms)) != bool(self._jobs):
                await self._link(not self._jobs)
            elif not self._jobs and self._is_quiet(now):
                self._rest(power.sleep_ms(now))
            else:
                await wait(self._app.wake_power, power.wait_ms(now) + 1)

    def _follow(self, now):
        """Tell Power what has happened."""
        supervision = self._device.supervision
        if self._power.checks_in(now):
            supervision.up()
            self._app.wake_heartbeat.set()
        elif supervision.unanswered == 0 and supervision.wait_ms(now):
            self._power.heard(now, supervision.wait_ms(now))
        alarm = self._device.alarms.newest()
        newest = alarm and (alarm.activation, alarm.stage)
        if newest != self._newest:
            self._newest = newest
            self._power.alert(now, self._board.battery_mv())

    def _is_urgent(self, now):
        if self._device.test_wait_ms(now) is not None:
            return True
        return any(alarm.is_unreceipted() or alarm.attempt is not None for alarm in self._device.alarms)

    def _is_quiet(self, now):
        button = self._board.button
        judge = self._app.judge
        return judge.wait_ms(now) is None and button.is_quiet() and (judge.stuck or not button.is_down())

    async def _link(self, on):
        if on:
            self._board.button.mark()  # starting the radio keeps everything for some 0.1 s
            settings = self._settings
            for name, job in (
                ("wifi", self._board.wifi.run(settings.wifi_ssid, settings.wifi_password)),
                ("mqtt", self._bearer.run()),
            ):
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
        if self._board.gps and (not on or len(self._device.alarms)):
            self._board.gps.rest(not on)

    def _rest(self, ms):
        self._device.touch(ticks_ms())
        self._board.lamp.led(False)
        self._board.lamp.tone(0)
        if self._deep and not len(self._device.alarms) and not self._app.judge.stuck:
            self._sleep.deep(ms, self._fix())
        if self._sleep.light(ms):
            self._log("woken by the button")
        self._app.wake_lights.set()

    # The last fix, which outlives deep sleep in RTC memory; it goes nowhere else.

    def _fix(self):
        place = self._device.position.current(ticks_ms())
        if place is None:
            return b""
        accuracy = _UNKNOWN if place[2] is None else min(place[2], _UNKNOWN - 1)
        return struct.pack(_FIX, place[0], place[1], accuracy, place[3], self._sleep.clock_s())

    def _restore(self, memory):
        if len(memory) != struct.calcsize(_FIX):
            return
        lat, lon, accuracy, age_s, clock_s = struct.unpack(_FIX, memory)
        age_s += self._sleep.clock_s() - clock_s
        if 0 <= age_s < _MOST_S:
            accuracy = None if accuracy == _UNKNOWN else accuracy
            self._device.position.restore(lat, lon, accuracy, age_s, ticks_ms())
