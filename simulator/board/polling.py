"""The board's `select`: like the interpreter's, and an interrupt ends its wait.

The interpreter's own poll sleeps through scheduled callbacks when it watches sockets only, and asks every
millisecond when it watches a Python stream (ThreadSafeFlag, UART). Here the reader thread writes one byte
into a pipe after it has scheduled the callback; the pipe is part of every wait. So an idle board costs no
processor time, and no interrupt waits.
"""

import io
import select as host
import time as host_time

_POLL = 3  # MP_STREAM_POLL

_wake_stream = None
_byte = bytearray(1)


def install(modules, wake_stream):
    """Put the board's `select` into sys.modules; `wake_stream` is the pipe's end to read."""
    global _wake_stream
    _wake_stream = wake_stream

    class Select:
        POLLIN, POLLOUT, POLLERR, POLLHUP = host.POLLIN, host.POLLOUT, host.POLLERR, host.POLLHUP
        poll = Poll

    modules["select"] = modules["uselect"] = Select


class Poll:
    """select.poll of the board: sockets wait in the interpreter, Python streams are asked after each wake."""

    def __init__(self):
        self._host = host.poll()
        self._host.register(_wake_stream, host.POLLIN)
        self._soft = {}
        self._closed = {}

    def register(self, stream, mask=host.POLLIN | host.POLLOUT):
        if isinstance(stream, io.IOBase):
            self._soft[id(stream)] = [stream, mask]
        elif hasattr(stream, "fileno") and stream.fileno() < 0:
            # Cut with the WiFi before anybody waited for it. The interpreter would wait for ever; lwIP reports
            # an error at once.
            self._closed[id(stream)] = stream
        else:
            self._host.register(stream, mask)

    def modify(self, stream, mask):
        if isinstance(stream, io.IOBase):
            self._soft[id(stream)][1] = mask
        elif id(stream) not in self._closed:
            self._host.modify(stream, mask)

    def unregister(self, stream):
        if isinstance(stream, io.IOBase):
            self._soft.pop(id(stream), None)
        elif not self._closed.pop(id(stream), None):
            self._host.unregister(stream)

    def _ready(self):
        ready = [(stream, host.POLLERR | host.POLLHUP) for stream in self._closed.values()]
        for stream, mask in self._soft.values():
            flags = stream.ioctl(_POLL, mask)
            if flags:
                ready.append((stream, flags))
        return ready

    def poll(self, timeout=-1):
        """[(stream, flags)]: waits at most `timeout` ms; negative waits until something is ready."""
        begin = host_time.ticks_ms()
        while True:
            ready = self._ready()
            wait = timeout
            if ready:
                wait = 0
            elif timeout > 0:
                wait = max(0, timeout - (host_time.ticks_ms() - begin))
            woken = False
            for stream, flags in self._host.poll(wait):
                if stream is _wake_stream:
                    _wake_stream.readinto(_byte)
                    woken = True
                else:
                    ready.append((stream, flags))
            # A wake is no event: the callback runs at the loop's jump, then the streams are asked again.
            if not woken and (ready or wait == 0):
                return ready

    def ipoll(self, timeout=-1, flags=0):
        return iter(self.poll(timeout))
