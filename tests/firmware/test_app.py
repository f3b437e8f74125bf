"""The whole button as tasks: edges in, frames out, stages down, and a crash that resets the board."""

import asyncio

from flash_double import FlashDouble

from panic.app import App
from panic.settings import check
from panic.ticks import Elapsed, ticks_add, ticks_ms
from panic_wire.frames import (
    ALARM,
    COMMAND,
    DISPATCHED,
    HEARTBEAT,
    RECEIPT,
    REPORT,
    RESTART,
    STATUS,
    TROUBLE,
    Command,
    Header,
    Status,
    unpack_alarm,
)
from panic_wire.keys import downlink_key, uplink_key
from panic_wire.seal import open_frame, seal

DEVICE = 0xA1B2
ROOT = bytes(range(16))


class ButtonDouble:
    def __init__(self):
        self.flag = asyncio.ThreadSafeFlag() if hasattr(asyncio, "ThreadSafeFlag") else asyncio.Event()
        self.lost = 0
        self.down = self.began_down = False
        self.edges = []

    def take(self):
        return self.edges.pop(0) if self.edges else None

    def is_down(self):
        return self.down

    def is_quiet(self):
        return not self.edges

    def mark(self):
        pass

    def counted(self):
        return None

    async def press(self, times):
        for _ in range(times):
            for down in (True, False):
                self.down = down
                self.edges.append((ticks_ms(), down))
                self.flag.set()
                await asyncio.sleep(0.05)


class LampDouble:
    def __init__(self):
        self.seen = []

    def led(self, on):
        if not self.seen or self.seen[-1] != on:
            self.seen.append(on)

    def tone(self, hz):
        if hz:
            self.seen.append(hz)

    def colour(self, rgb):
        pass

    def shake(self, on):
        pass


class GpsDouble:
    """One fix, then silence; or a receiver that breaks."""

    def __init__(self, breaks=False):
        self.data = b"$GPGGA,123519,4807.038,N,01131.000,E,1,08,0.9,545.4,M,46.9,M,,*47\r\n"
        self.breaks = breaks

    async def read(self):
        if self.breaks:
            raise RuntimeError("a bug")
        if not self.data:
            await asyncio.sleep(1000)
        data, self.data = self.data, b""
        return data


class WifiDouble:
    trouble = None

    async def run(self, networks, keep_address, on_up):
        await asyncio.sleep(1000)

    def look(self, portal):
        pass

    def answered(self):
        pass


class BoardDouble:
    def __init__(self, gps=None):
        self.button = ButtonDouble()
        self.lamp = LampDouble()
        self.gps = gps
        self.wifi = WifiDouble()
        self.fed = 0
        self.resets = 0

    def feed(self):
        self.fed += 1

    def reset(self):
        self.resets += 1

    def battery_mv(self):
        return 0

    def is_open(self):
        return False

    def set_clock(self, unix_ms):
        self.unix_ms = unix_ms

    def rssi_dbm(self):
        return -50

    def reset_cause(self):
        return 1


class BearerDouble:
    """Keeps the frames, and answers as a gateway does: `answers` stages to each alarm."""

    name = "double"

    def __init__(self, settings, on_frame, on_up, log, on_block=None):
        self.up = False
        self.frames = []
        self.answers = []
        self.broken = False
        self.hurried = 0
        self.arrived = asyncio.Event()
        self._on_frame = on_frame
        self._on_up = on_up
        self.client = self
        self.on_backup = False
        self.cause = None

    async def run(self):
        await asyncio.sleep(1000)

    def hurry(self):
        self.hurried += 1

    def come_up(self):
        self.up = True
        self._on_up()

    async def say_online(self):
        pass

    async def send(self, frame):
        if self.broken:
            raise OSError(104)
        self.frames.append(frame)
        self.arrived.set()
        header, body = open_frame(uplink_key(ROOT, DEVICE), frame)
        activation = unpack_alarm(body).activation if header.type == ALARM else 0
        for stage in self.answers if activation else [RECEIPT]:
            answer = Header(STATUS, stage, DEVICE, header.epoch, header.counter)
            self._on_frame(seal(downlink_key(ROOT, DEVICE), answer, Status(activation).pack()))

    def types(self):
        return [open_frame(uplink_key(ROOT, DEVICE), frame)[0].type for frame in self.frames]

    def alarms(self):
        opened = [open_frame(uplink_key(ROOT, DEVICE), frame) for frame in self.frames]
        return [unpack_alarm(body) for header, body in opened if header.type == ALARM]


class Scene:
    """An App that runs until the scene is over."""

    def __init__(self, board=None, flash=None):
        self.board = board or BoardDouble()
        self.flash = flash or FlashDouble()
        self.lines = []
        values = {
            "device": "0000a1b2",
            "root_key": "000102030405060708090a0b0c0d0e0f",
            "wifi": {"ssid": "shop"},
            "broker": {"host": "127.0.0.1"},
            "board": "devkit",
        }
        self.app = App(self.board, check(values), self.flash, self.lines.append, BearerDouble)
        self.running = asyncio.create_task(self.app.main())

    async def bearer(self):
        while not hasattr(self.app, "bearer"):
            await asyncio.sleep(0)
        return self.app.bearer

    async def until(self, holds):
        """As soon as it holds; the test fails after ten seconds."""
        for _ in range(2000):
            if holds():
                return
            await asyncio.sleep(0.005)
        raise AssertionError("never came: %r" % self.lines)


def play(scene):
    async def main():
        try:
            await asyncio.wait_for(scene(), 30)
        finally:
            # An event set in the moment of a cancel makes CPython's wait_for swallow it, and run() wait for ever.
            await asyncio.sleep(0.1)

    asyncio.run(main())


def test_from_thumb_to_dispatched():
    async def scene():
        it = Scene(BoardDouble(GpsDouble()))
        bearer = await it.bearer()
        bearer.answers = [RECEIPT, DISPATCHED]
        bearer.come_up()
        await it.until(lambda: bearer.frames)
        assert bearer.types() == [HEARTBEAT]
        await it.board.button.press(3)
        await it.until(lambda: 2000 in it.board.lamp.seen)
        sent = bearer.alarms()[0]
        assert sent.lat_e7 == 481173000
        assert not sent.repeated
        assert len(it.app.device.alarms) == 1
        assert it.board.lamp.seen[-1] == 2000 or it.board.lamp.seen[-2] is True
        assert it.board.fed > 0
        assert it.board.resets == 0

    play(scene)


def test_a_minute_without_a_way_is_trouble_that_is_told_afterwards():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        bearer.on_down(False)
        bearer.on_down(False)
        assert it.app.device.notices.count(TROUBLE) == 0, "not for a moment"
        it.app._lost = Elapsed(ticks_add(ticks_ms(), -61000))
        bearer.on_down(False)
        assert it.app.device.notices.count(TROUBLE) == 1
        bearer.come_up()
        await it.until(lambda: bearer.types().count(TROUBLE) == 2)
        assert it.app.device.notices.count(TROUBLE) == 0, "its beginning, its end, and the receipts of both"

    play(scene)


def test_two_presses_send_nothing():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        bearer.come_up()
        await it.board.button.press(2)
        await asyncio.sleep(0.2)
        assert ALARM not in bearer.types()
        assert len(it.app.device.alarms) == 0

    play(scene)


def test_pressed_without_a_connection_it_leaves_when_there_is_one():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        await it.board.button.press(3)
        await it.until(lambda: it.flash.names("/journal"))
        assert it.board.lamp.seen[:2] == [False, True], "the person sees that it is being sent"
        assert bearer.hurried == 1, "no pause before the next attempt to connect"
        assert bearer.frames == []
        bearer.answers = [RECEIPT]
        bearer.come_up()
        await it.until(lambda: bearer.alarms())
        assert bearer.alarms()[0].age_ms > 0
        await it.until(lambda: it.flash.names("/journal")[0][0] == "r")

    play(scene)


def test_a_send_that_fails_is_tried_again():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        bearer.broken = True
        bearer.come_up()
        await it.board.button.press(3)
        await it.until(lambda: it.app.device.alarms.newest() and it.app.device.alarms.newest().tries == 1)
        bearer.broken = False
        await it.until(lambda: bearer.alarms())
        assert bearer.alarms()[0].repeated
        assert it.board.resets == 0

    play(scene)


def test_a_crash_resets_the_board_and_the_alarm_goes_on():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        await it.board.button.press(3)
        await it.until(lambda: it.flash.names("/journal"))
        it.running.cancel()
        crashing = Scene(BoardDouble(GpsDouble(breaks=True)), it.flash)
        await crashing.until(lambda: crashing.board.resets == 1)
        assert "task gps crashed" in crashing.lines
        kept = it.flash.contents["/state/crash"]
        assert b"task gps" in kept
        assert b"a bug" in kept
        again = Scene(BoardDouble(), it.flash)
        bearer = await again.bearer()
        bearer.answers = [RECEIPT]
        bearer.come_up()
        await again.until(lambda: bearer.alarms())
        assert bearer.alarms()[0].age_is_minimum
        await again.until(lambda: "/state/crash" not in it.flash.contents)
        assert REPORT in bearer.types()
        await again.until(lambda: bearer.types().count(TROUBLE) == 2)  # it crashed; and that is told and over

    play(scene)


def test_a_command_to_restart_is_answered_first():
    async def scene():
        it = Scene()
        bearer = await it.bearer()
        bearer.come_up()
        await it.until(lambda: HEARTBEAT in bearer.types())
        header = Header(COMMAND, 0, DEVICE, 1795000000, 1)
        bearer._on_frame(seal(downlink_key(ROOT, DEVICE), header, Command(RESTART).pack()))
        await it.until(lambda: it.board.resets)
        assert bearer.types()[-1] == REPORT

    play(scene)
