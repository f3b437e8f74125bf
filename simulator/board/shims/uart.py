"""machine.UART of the virtual board.

What the world's receivers say arrives in a buffer of `rxbuf` bytes, the rest is lost.
"""

import io

from ..parts import lacking, readinto

_POLL, _READABLE, _WRITABLE = 3, 1, 4  # MP_STREAM_POLL and its flags

_link = None
_uarts = {}


class UART(io.IOBase):
    """A stream for asyncio.StreamReader, never blocking: without data read() and readinto() give None."""

    INV_TX, INV_RX = 1, 2

    def __init__(self, id, baudrate=115200, tx=None, rx=None, rxbuf=256, txbuf=256, timeout=0, **other):
        if not 0 <= id <= 2:
            raise ValueError("UART(%d) doesn't exist" % id)
        for name in other:
            if name not in ("bits", "parity", "stop", "timeout_char"):
                raise lacking("machine.UART(%s=)" % name, "uart")
        self._id, self._baudrate, self._limit, self._data = id, baudrate, max(rxbuf, 33), b""
        self.lost_bytes = 0
        _uarts[id] = self

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise lacking("machine.UART." + name, "uart")

    def init(self, baudrate=None, rxbuf=None, **other):
        if baudrate:
            self._baudrate = baudrate
        if rxbuf:
            self._limit = max(rxbuf, 33)

    def deinit(self):
        _uarts.pop(self._id, None)

    def any(self):
        return len(self._data)

    def read(self, count=-1):
        if not self._data:
            return None
        if count is None or count < 0:
            count = len(self._data)
        taken, self._data = self._data[:count], self._data[count:]
        return taken

    readinto = readinto

    def readline(self):
        end = self._data.find(b"\n")
        return self.read() if end < 0 else self.read(end + 1)

    def write(self, data):
        import json

        text = "".join(chr(byte) for byte in data)  # bytes as the letters of Latin-1
        _link.send(json.dumps({"uart": self._id, "data": text}))
        return len(data)

    def flush(self):
        pass

    def ioctl(self, operation, argument):
        if operation != _POLL:
            return 0
        return (argument & _READABLE if self._data else 0) | (argument & _WRITABLE)

    def _receive(self, data):
        room = self._limit - len(self._data)
        self.lost_bytes += max(0, len(data) - room)
        self._data += data[:room]


def _on_uart(message):
    uart = _uarts.get(message["uart"])
    if uart is not None:
        uart._receive(message["data"].encode())


def install(link):
    global _link
    _link = link
    link.on("uart", _on_uart)
