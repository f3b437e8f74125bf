"""The board's line to a world in virtual time: the board runs to the horizon it was granted, then reports.

Two pipes carry length-prefixed JSON (8 digits, then the text); simulator/PROTOCOL.md has the messages. Time moves
only in wait() and stall(): code takes none. What the world sends carries the moment at which it happens, so the
board meets it at exactly that moment, or, when it was stalled, after it.
"""

import json
import os
import sys

PROTOCOL = 1
_NEVER = 1 << 60
MOST_OUT = 24
BUFFER_BYTES = 3072
QUEUE_DEPTH = 8  # MICROPY_SCHEDULER_DEPTH of the ESP32 port: callbacks that may wait
FLASH, BUSY = 1, 2  # kinds of stall
LIGHT_WAKE_US = 1000  # from the pin to the next bytecode (ESP32 data sheet, 3.7: less than 1 ms)
NOTED_US = 20000  # a stall that long is told: a press may be lost in it


class Steps:
    """on(kind, handler), send(line), end(): as the realtime link. now_us: virtual microseconds."""

    def __init__(self, read_fd, write_fd):
        self._read, self._write = open(read_fd, "rb"), open(write_fd, "wb")
        self._buffer = bytearray(BUFFER_BYTES)
        self._handlers = {}
        self._out, self._in = [], []
        self._stalls = []  # [from, to, kind] since the last wait
        self._dog_ms = self._dog_due = 0
        self.stopped = False
        self.asleep = False
        setup = self._receive()
        if setup["protocol"] != PROTOCOL:
            raise OSError("the world speaks protocol %s, this board %d" % (setup["protocol"], PROTOCOL))
        self.now_us = setup["now_us"]
        self._horizon = 0
        self.lookahead_us = setup["lookahead_us"]
        self.setup = setup
        self._take(self._receive())

    def on(self, kind, handler):
        """Call `handler(message)` for every message with the key `kind`; Pin edges need a function in two parts."""
        self._handlers[kind] = handler

    def send(self, line):
        """Tell the world, at this moment; it needs no answer."""
        self._out.append("[%d,%s]" % (self.now_us, line))
        if len(self._out) >= MOST_OUT:
            self._horizon = min(self._horizon, self.now_us)  # report before it takes the board's memory

    def ask(self, line):
        """Tell the world something that it may answer: run no further than its fastest answer."""
        self.send(line)
        self._horizon = min(self._horizon, self.now_us + self.lookahead_us)

    def call(self, line, kind):
        """Tell the world and take its answer, at the same moment: what its key `kind` holds."""
        self.send(line)
        while True:
            self._report(self.now_us)
            self._take(self._receive())
            for place, item in enumerate(self._in):
                if kind in item[1]:
                    return self._in.pop(place)[1][kind]

    def stop(self):
        """Deliver nothing more to the firmware."""
        self.stopped = True
        self._handlers.clear()

    def end(self):
        """The last report of this run; the process is over."""
        self._report(self.now_us)
        while True:
            self._receive()  # the world ends us

    def watchdog(self, timeout_ms):
        self._dog_ms = timeout_ms
        self.send('{"wdt":%d}' % timeout_ms)
        self.feed()

    def feed(self):
        self._dog_due = self.now_us + self._dog_ms * 1000

    def wait(self, until_us):
        """Let time pass to `until_us` (None: without end), or to the first thing that happens: True then."""
        until_us = _NEVER if until_us is None else until_us
        while True:
            if self._in and self._in[0][0] <= self.now_us:
                self._deliver()
                return True
            target = min(until_us, self._in[0][0]) if self._in else until_us
            if self._dog_ms and target > self._dog_due:
                target = self._dog_due
            if target <= self._horizon:
                if target > self.now_us:
                    self.now_us = target
                if self._dog_ms and self.now_us >= self._dog_due:
                    self._bite()
                if self._in and self._in[0][0] <= self.now_us:
                    continue
                if target == until_us:
                    del self._stalls[:]
                    return False
                continue
            if self._horizon > self.now_us:
                self.now_us = self._horizon
            self._report(target)
            self._take(self._receive())

    def sleep(self, us):
        """time.sleep: interrupts run meanwhile."""
        until = self.now_us + max(0, us)
        while self.wait(until):
            pass

    def doze(self, ms, is_met):
        """Light sleep: time passes, pins move, no bytecode runs. Until is_met(), True, or ms (None: without end)."""
        until = None if ms is None else self.now_us + ms * 1000
        self.asleep = True
        while not is_met():
            if not self.wait(until):
                self.asleep = False
                return False
        self.asleep = False
        self.stall(LIGHT_WAKE_US, BUSY)
        return True

    def stall(self, us, kind):
        """Time passes and nothing else: flash is programmed or erased (FLASH), or the processor is busy (BUSY)."""
        if us <= 0:
            return
        until = self.now_us + us
        if kind == BUSY and us >= NOTED_US:
            self.send('{"stalled":%d}' % us)
        if kind == BUSY or not self._stalls or self._stalls[-1][1] != self.now_us:
            self._stalls.append([self.now_us, until, kind])
        else:
            self._stalls[-1][1] = until
        while until > self._horizon:
            if self._horizon > self.now_us:
                self.now_us = self._horizon
            self._report(until)
            self._take(self._receive())
        self.now_us = until
        if self._dog_ms and self.now_us >= self._dog_due:
            self._bite()

    def _bite(self):
        self.stop()
        self.send('{"reset":"wdt"}')
        self.end()

    def _deliver(self):
        """Interrupts whose moment has come. Those that came while nothing could run come late, and not all."""
        if self.asleep:
            message = self._in.pop(0)[1]
            if "pin" in message:
                self._handlers["level"](message)
            elif "uart" not in message:
                self._handle(message)
            return
        late = self._in[0][0] < self.now_us
        if not late:
            self._handle(self._in.pop(0)[1])
            return
        due = []
        while self._in and self._in[0][0] <= self.now_us:
            due.append(self._in.pop(0))
        kept, edges, lost = [], 0, 0
        held = []  # pins whose interrupt waits in hardware: one bit for each, however often it moved
        for moment, message in due:
            if "pin" not in message:
                kept.append(message)
                continue
            self._handlers["level"](message)  # the pin has moved, whether anyone was told or not
            if self._kind_at(moment) == FLASH:
                if message["pin"] in held:
                    continue
                held.append(message["pin"])
            if edges >= QUEUE_DEPTH:
                lost += 1
                continue
            edges += 1
            kept.append(message)
        del self._stalls[:]
        if lost:
            self.send('{"overflow":%d}' % lost)
        for message in kept:
            self._handle(message, True)

    def _kind_at(self, moment):
        for begin, end, kind in self._stalls:
            if begin <= moment <= end:
                return kind
        return 0

    def _handle(self, message, late=False):
        for kind in message:
            handler = self._handlers.get("edge" if late and kind == "pin" else kind)
            if handler:
                try:
                    handler(message)
                except Exception as error:  # as on the chip: printed, and the program goes on
                    sys.print_exception(error)

    def _take(self, grant):
        self._horizon = grant["run"]
        for item in grant["in"]:
            place = len(self._in)
            while place and self._in[place - 1][0] > item[0]:
                place -= 1
            self._in.insert(place, item)

    def _report(self, wake_us):
        head = '{"at":%d,"wake":%d,"out":[' % (self.now_us, wake_us)
        size = len(head) + 2 + max(0, len(self._out) - 1)
        for line in self._out:
            size += len(line.encode())
        self._write.write("%08d" % size)
        self._write.write(head)
        for place, line in enumerate(self._out):
            if place:
                self._write.write(",")
            self._write.write(line)
        self._write.write("]}")
        del self._out[:]

    def _receive(self):
        size = int(self._exactly(8))
        if size > len(self._buffer):  # the setup, and what a test may send
            self._buffer = bytearray(size)
        return json.loads(self._exactly(size))

    def _exactly(self, size):
        """A view of the buffer, which was allocated before the firmware took its memory."""
        view, count = memoryview(self._buffer)[:size], 0
        while count < size:
            part = self._read.readinto(view[count:])
            if not part:
                die()
            count += part
        return bytes(view) if size == 8 else view


def die():
    """End this process without running anything of the firmware: what a power cut does."""
    os.system("kill -9 $PPID")
