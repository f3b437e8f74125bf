"""The board's standard input in virtual time: bytes that the world sends, for a firmware that reads its serial line."""

import io

_POLL, _READABLE = 3, 1


class Stdin(io.IOBase):
    """sys.stdin and its buffer."""

    def __init__(self, link):
        self._data = b""
        self.buffer = self
        link.on("stdin", self._receive)

    def _receive(self, message):
        self._data += message["stdin"].encode()

    def read(self, count=-1):
        if count < 0:
            count = len(self._data)
        taken, self._data = self._data[:count], self._data[count:]
        return taken or None

    def ioctl(self, operation, argument):
        return argument & _READABLE if operation == _POLL and self._data else 0


def install(modules, sys, link):
    """A `sys` whose stdin is the world's."""

    class System:
        stdin = Stdin(link)

        def __getattr__(self, name):
            return getattr(sys, name)

    modules["sys"] = modules["usys"] = System()
