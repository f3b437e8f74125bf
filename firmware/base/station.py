"""A base station, composed with asyncio: the radio's task, the line's two, the light, the watchdog."""

import asyncio
import struct

from base.answers import Answers
from base.heard import Heard
from lora.radio import RadioError
from mqtt.flag import Flag
from panic import FIRMWARE
from panic.ticks import Elapsed, least, ticks_diff, ticks_ms
from panic.wait import print_exception
from panic_wire import base_line as line
from panic_wire.compact import COMPACT
from panic_wire.header import MAX_FRAME_BYTES, STATUS, VERSION

BEAT_MS = 10000
LINKED_MS = 15000  # since the gateway last said something
AGAIN_MS = 1000
AGAIN_MOST_MS = 60000
CTRL_A, CTRL_C = 1, 3


class Station:
    """board: hal.board.Board, with a radio. console: read() gives bytes as they come, write(text) says a line, close().

    run() returns when somebody at the console wants the prompt: Ctrl-C twice, or as mpremote asks for it.
    """

    def __init__(self, board, settings, console, files, random_u32, log):
        self._board, self._console, self._log = board, console, log
        self._settings = settings
        self._row = settings.lora[0][0]
        self._boot = random_u32()
        self._up_since = Elapsed(ticks_ms())
        self._heard = Heard(files, self._row[1], ticks_ms(), log)
        self._answers = Answers(self._row[1])
        self._lines = line.Lines()
        self._spoke = None  # when the gateway last did
        self._last_key = 0
        self.received = self.broken = self.sent = self.bad_lines = 0

    def run(self):
        asyncio.run(self._main())

    async def _main(self):
        self._wake = Flag()
        self._done = asyncio.Event()
        jobs = (self._work_radio(), self._say(), self._hear(), self._beat(), self._feed())
        running = [asyncio.create_task(self._guard(job)) for job in jobs]
        self._hello()
        await self._done.wait()
        for task in running:
            task.cancel()
        self._console.close()

    async def _guard(self, job):
        try:
            await job
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._log("the base station crashed; reset")
            print_exception(error)
            await asyncio.sleep(AGAIN_MS / 1000)
            self._board.reset()

    # The radio

    async def _work_radio(self):
        radio, pause = self._board.radio, AGAIN_MS
        _, factor, down_hz = self._row
        while True:
            try:
                await radio.begin()
                pause = AGAIN_MS
                await self._listen()
                while True:
                    now = ticks_ms()
                    wait_ms = self._answers.wait_ms(now)
                    if wait_ms == 0:
                        packet = self._answers.take(now, self._now_s())
                        if packet:
                            await radio.tune(down_hz, factor, self._settings.lora[1], True)
                            self._answers.ledger.sent(self._now_s(), await radio.send(packet))
                            self.sent += 1
                            await self._listen()
                    elif await radio.rest(least((wait_ms, 60000))):
                        packet = await radio.take(1)  # which waits when there is none
                        if packet:
                            self._take(packet)
            except RadioError as error:
                self._log("lora: %s" % error)
            await asyncio.sleep(pause / 1000)
            pause = min(2 * pause, AGAIN_MOST_MS)

    async def _listen(self):
        radio = self._board.radio
        await radio.tune(self._row[0], self._row[1], self._settings.lora[1])
        await radio.listen()

    def _take(self, packet):
        frame, rssi_dbm, snr_db = packet
        kind = frame[0] & 15
        # 22 bytes: the shortest that is a frame. What others say on this frequency is counted, and nothing else.
        if 22 <= len(frame) <= MAX_FRAME_BYTES and frame[0] >> 4 == VERSION and (kind < STATUS or kind == COMPACT):
            self.received += 1
            self._heard.add(frame, rssi_dbm, snr_db, ticks_ms())
            self._wake.set()
        else:
            self.broken += 1

    def _now_s(self):
        return self._up_since.ms(ticks_ms()) // 1000

    # The line

    def _write(self, kind, payload=b""):
        self._console.write(line.pack(kind, payload).decode().strip())

    def _hello(self):
        up_hz, factor, down_hz = self._row
        who = struct.pack(line.HELLO_LAYOUT, self._settings.base, *FIRMWARE, self._boot, up_hz, factor, down_hz)
        self._write(line.HELLO, who)

    async def _say(self):
        while True:
            now = ticks_ms()
            entry = self._heard.due(now)
            while entry:
                self._write(line.UP, self._heard.payload(entry, now))
                entry = self._heard.due(now)
            self._heard.keep(now)
            await self._wake.wait(self._heard.wait_ms(now))

    async def _hear(self):
        while True:
            data = await self._console.read()
            for key in data:
                if (key == CTRL_C and self._last_key == CTRL_C) or (key == CTRL_A and self._last_key == CTRL_C):
                    self._done.set()
                if key != 13:
                    self._last_key = key
            for text in self._lines.feed(data):
                found = line.unpack(text)
                if found:
                    self._obey(found[0], found[1], ticks_ms())
                elif text.strip():
                    self.bad_lines += 1

    def _obey(self, kind, payload, now):
        if kind == line.ASK:
            self._hello()
            self._heard.hurry()
            self._wake.set()
        elif kind == line.TOOK:
            for at in range(0, len(payload) - 7, 8):
                boot, seq = struct.unpack(line.TOOK_LAYOUT, payload[at : at + 8])
                if boot == self._boot:
                    self._heard.took(seq, now)
                else:  # it knows us by our last life: the hello of this one was lost
                    self._hello()
            self._wake.set()
        elif kind == line.DOWN and len(payload) > 2:
            data = payload[2:]
            result = line.QUEUED
            if not self._answers.fits(data):
                result = line.TOO_LONG
            elif not self._answers.add(data, now, self._now_s()):
                result = line.FULL
            self._write(line.DONE, payload[:2] + bytes((result,)))
            self._board.radio.poke()
        else:
            self.bad_lines += 1
            return
        self._spoke = now

    # Signs of life

    async def _beat(self):
        while True:
            now = ticks_ms()
            linked = self._spoke is not None and ticks_diff(now, self._spoke) < LINKED_MS
            self._board.lamp.led(linked)
            now_s = self._now_s()
            broken = self.broken + self._board.radio.crc_errors + self._board.radio.header_errors
            told = (now_s, self.received, broken, self.sent, len(self._heard), self._heard.lost & 0xFFFF)
            more = (self._answers.ledger.used_ms(now_s), self.bad_lines & 0xFFFF)
            self._write(line.BEAT, struct.pack(line.BEAT_LAYOUT, *told, *more))
            self._heard.keep(now)
            await asyncio.sleep(BEAT_MS / 1000)

    async def _feed(self):
        while True:
            self._board.feed()
            await asyncio.sleep(BEAT_MS / 1000)
