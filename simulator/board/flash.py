"""The board's flash: a file of the host as a block device, and LittleFS on it as `/`."""

import os

import vfs

BLOCK_BYTES = 4096
_ERASED = b"\xff" * 256


class Flash:
    """Block device over an open file. It allocates nothing: finalizers of files run with the heap locked."""

    def __init__(self, path):
        self._blocks = os.stat(path)[6] // BLOCK_BYTES
        self._file = open(path, "r+b")

    def readblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.readinto(buffer)

    def writeblocks(self, block, buffer, offset=0):
        self._file.seek(block * BLOCK_BYTES + offset)
        self._file.write(buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self._blocks
        if operation == 5:
            return BLOCK_BYTES
        if operation == 6:  # erase: written out, so that an image looks like a flash after a power cut
            self._file.seek(argument * BLOCK_BYTES)
            for _ in range(BLOCK_BYTES // 256):
                self._file.write(_ERASED)
        return 0


def mount(chip):
    """Replace the host's files by those of the image: from now on `/` is the board's flash."""
    filesystem = vfs.VfsLfs2(chip)
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    os.chdir("/")
