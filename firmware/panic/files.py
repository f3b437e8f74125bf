"""Small files, written whole. On LittleFS, close() commits: a cut leaves the old content or the new."""

import os

_ENOENT = 2
_EEXIST = 17


class Files:
    """Files below `root` ("" on a board). Tests give the same methods with a memory that tears."""

    def __init__(self, root=""):
        self._root = root

    def read(self, path):
        """The bytes, or None when there is no such file; OSError when it cannot be read."""
        try:
            with open(self._root + path, "rb") as file:
                return file.read()
        except OSError as error:
            if error.errno == _ENOENT:
                return None
            raise

    def write(self, path, data):
        """Replace the file by these bytes and flush them to flash. OSError when flash is full or broken."""
        with open(self._root + path, "wb") as file:
            file.write(data)
            file.flush()

    def rename(self, old, new):
        """One step on LittleFS: a cut leaves one name or the other."""
        os.rename(self._root + old, self._root + new)

    def remove(self, path):
        """Remove it; nothing happens when it is not there."""
        try:
            os.remove(self._root + path)
        except OSError as error:
            if error.errno != _ENOENT:
                raise

    def names(self, directory):
        """Names in a directory; [] when there is none."""
        try:
            return os.listdir(self._root + directory)
        except OSError as error:
            if error.errno == _ENOENT:
                return []
            raise

    def make_directory(self, directory):
        """Make it unless it is there."""
        try:
            os.mkdir(self._root + directory)
        except OSError as error:
            if error.errno != _EEXIST:
                raise
