"""The board's flash in virtual time: programming and erasing take their time, and wear blocks out.

While it happens the chip runs nothing from flash, so no interrupt handler (ESP-IDF, "Concurrency constraints for
flash on SPI1"). A power cut in the middle leaves a page half programmed, or a block half erased.
"""

import os

import vfs

from .steps import FLASH

BLOCK_BYTES = 4096
PAGE_BYTES = 256
EIO = 5
_ERASED = b"\xff" * 256


class Flash:
    """Block device over an open file. setup: {"page_us", "erase_us", "worn": [block, ...]}.

    Reading allocates nothing: finalizers of files run with the heap locked.
    """

    def __init__(self, path, link, setup):
        self._blocks = os.stat(path)[6] // BLOCK_BYTES
        self._file = open(path, "r+b")
        self._link = link
        self._page_us, self._erase_us, self._worn = setup["page_us"], setup["erase_us"], setup["worn"]

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        if block in self._worn:
            return -EIO
        view = memoryview(buffer)
        for begin in range(0, len(buffer), PAGE_BYTES):
            part = view[begin : begin + PAGE_BYTES]
            half = len(part) // 2
            self._file.seek(block * BLOCK_BYTES + offset + begin)
            # In two halves with time between them: a power cut there tears the page.
            self._file.write(part[:half])
            self._link.stall(self._page_us, FLASH)
            self._file.write(part[half:])
        return 0

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:
            self._link.send('{"erase":%d}' % argument)
            if argument in self._worn:
                return -EIO
            self._file.seek(argument * BLOCK_BYTES)
            for part in range(BLOCK_BYTES // 256):
                self._file.write(_ERASED)
                if part == 7:
                    self._link.stall(self._erase_us, FLASH)
        return 0


def mount(path, link, setup):
    """Replace the host's files by those of the image: from now on `/` is the board's flash."""
    filesystem = vfs.VfsLfs2(Flash(path, link, setup))
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    os.chdir("/")
