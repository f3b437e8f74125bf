"""The board's line to the world: JSON lines over one TCP connection (simulator/PROTOCOL.md).

This build of MicroPython has threads without a lock around the interpreter. So the reader thread touches
only what was made for it beforehand: it reads bytes into a buffer, and when a line is whole it schedules
one callback and waits until the main thread has taken the line. Everything else happens in the main thread,
between two bytecodes, as an ESP32's interrupts do.
"""

import _thread
import io
import json
import os
import socket
import sys
import time

import micropython

LINE_LIMIT_BYTES = 1024
CALL_LIMIT_MS = 2000


def die():
    """End this process without running anything of the firmware: what a power cut does."""
    os.system("kill -9 $PPID")


def _nothing():
    pass


class _Condition(io.IOBase):
    """A stream that can be read when a question is answered with yes."""

    def __init__(self, is_met):
        self._is_met = is_met

    def ioctl(self, operation, argument):
        return argument & 1 if operation == 3 and self._is_met() else 0


class Link:
    def __init__(self, port, wake_stream):
        self._sock = socket.socket()
        self._sock.setsockopt(6, 1, 1)  # TCP_NODELAY
        self._sock.connect(socket.getaddrinfo("127.0.0.1", port)[0][-1])
        self._wake = wake_stream
        self._handlers = {}
        self._buffer = bytearray(LINE_LIMIT_BYTES)
        self._count = 0
        self._taken = _thread.allocate_lock()
        self._main = _thread.get_ident()
        self._fed_ms = 0
        self.asleep = False
        self._callback = self._pump  # bound once: the thread must not allocate
        self._ends = (_nothing, self._taken.release)

    def hello(self, message):
        """Say who we are; returns the world's answer. Raises OSError when the world refuses."""
        self.send(json.dumps(message))
        answer = json.loads(self._sock.readline() or "{}")
        if not answer.get("ok"):
            raise OSError("the world refused this board: %s" % answer.get("message"))
        return answer

    def send(self, line):
        """One JSON text to the world; a world that is gone is a power cut."""
        try:
            self._sock.write(line)
            self._sock.write("\n")
        except OSError:
            die()

    def on(self, kind, handler):
        """Call `handler(message)` for every message that has the key `kind`."""
        self._handlers[kind] = handler

    def call(self, line, kind):
        """Send, and wait for the answer: what its key `kind` holds. OSError(116, ETIMEDOUT) after CALL_LIMIT_MS."""
        answers = []
        self._handlers[kind] = answers.append
        self.send(line)
        for _ in range(CALL_LIMIT_MS):
            if answers:
                return answers[0][kind]
            time.sleep_ms(1)
        raise OSError(116)

    def start(self):
        """Wait for the world's word that it has seen our boot report, then read in a thread."""
        while True:
            message = json.loads(self._sock.readline() or '{"gone": 1}')
            if "gone" in message:
                die()
            if "go" in message:
                break
            self._dispatch(message)
        self._taken.acquire()
        _thread.start_new_thread(self._read, ())

    def stop(self):
        """Deliver nothing more to the firmware."""
        self._handlers.clear()

    def end(self):
        """The world ends this process; if it does not, we do."""
        for _ in range(200):
            time.sleep_ms(10)
        die()

    def doze(self, ms, is_met):
        """Light sleep: pins move, no interrupt runs. Until is_met(), then True, or until ms have passed."""
        from .polling import Poll

        waiting = Poll()
        waiting.register(_Condition(is_met), 1)
        self.asleep = True
        try:
            return bool(waiting.poll(-1 if ms is None else ms))
        finally:
            self.asleep = False

    def watchdog(self, timeout_ms):
        """The world resets the board when it is not fed within `timeout_ms`."""
        self.send('{"wdt": %d}' % timeout_ms)
        self._fed_ms = time.ticks_ms()

    def feed(self):
        now_ms = time.ticks_ms()
        if now_ms - self._fed_ms >= 20:  # a firmware that feeds in every loop must not flood the world
            self._fed_ms = now_ms
            self.send('{"feed": 1}')

    def _dispatch(self, message):
        if self.asleep and "pin" in message:
            self._handlers["level"](message)
            return
        if self.asleep and "uart" in message:
            return
        for kind in message:
            if kind in self._handlers:
                self._handlers[kind](message)

    def _read(self):
        sock, buffer, callback, taken, wake = (
            self._sock,
            self._buffer,
            self._callback,
            self._taken,
            self._wake,
        )
        one = bytearray(1)
        count = 0
        try:
            while sock.readinto(one):
                if count < LINE_LIMIT_BYTES:
                    buffer[count] = one[0]
                    count += 1
                if one[0] != 10:
                    continue
                self._count = count
                count = 0
                while True:
                    try:
                        micropython.schedule(callback, None)
                        break
                    except RuntimeError:  # the firmware has filled the scheduler's queue
                        time.sleep_ms(1)
                wake.write(b"!")
                taken.acquire()
        except OSError:
            pass
        die()

    def _pump(self, _):
        """Handle the line that the thread has read. Only the scheduler calls this, so it is never nested."""
        # Ctrl-C comes at a jump. There is none before the try and none before the release, so the line is always freed.
        is_main = _thread.get_ident() == self._main
        try:
            if is_main:
                self._dispatch(json.loads(bytes(memoryview(self._buffer)[: self._count])))
            else:
                # The reader's own bytecode came upon the callback first: leave it to the main thread.
                micropython.schedule(self._callback, None)
        except KeyboardInterrupt:
            self.send('{"serial": "again"}')  # meant for the program, which it has not reached
        except Exception as error:  # as on the chip: printed, and the program goes on
            sys.print_exception(error)
        finally:
            self._ends[is_main]()
