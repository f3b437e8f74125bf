"""Flash that fails: worn blocks, and a power cut in the middle of a program. Imported only on a board that has it."""

import time

from .flash import Flash
from .link import die

_EIO = 5


class BadFlash(Flash):
    """faults: "<first worn block>,<last one>,<bytes>"; -1 for what is not.

    A worn block can be read; to write or erase it is EIO. Of what is programmed from the start on, so many bytes come
    to be, the last ones of a piece torn off; then the power goes.
    """

    def __init__(self, path, faults, link):
        super().__init__(path)
        self._first, self._last, self._left = [int(part) for part in faults.split(",")]
        self._link = link
        self._one = bytearray(1)

    def writeblocks(self, block, buffer, offset=0):
        if self._first <= block <= self._last:
            return -_EIO
        if self._left < 0:
            return super().writeblocks(block, buffer, offset)
        if len(buffer) <= self._left:
            self._left -= len(buffer)
            return super().writeblocks(block, buffer, offset)
        super().writeblocks(block, b"", offset)  # to the place
        for place in range(self._left):
            self._one[0] = buffer[place]
            self._file.write(self._one)
        self._link.stop()
        self._link.send('{"reset": "power"}')
        for _ in range(200):
            time.sleep_ms(10)
        die()

    def ioctl(self, operation, argument):
        if operation == 6 and self._first <= argument <= self._last:
            return -_EIO
        return super().ioctl(operation, argument)
