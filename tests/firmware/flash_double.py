"""A flash for tests: files in memory, and a supply that is cut after so many bytes or steps.

Harsher than LittleFS: a file that is being written when the power goes keeps the part that was written, its
old content is gone, and each rename or removal costs one step, so that every cut between two of them happens
too.
"""


class PowerCut(Exception):
    """The board is dead: nothing after this happened."""


class FlashDouble:
    """The methods of panic.files.Files. budget: bytes and steps until the cut; None for never."""

    def __init__(self, contents=None, budget=None):
        self.contents = dict(contents or {})
        self.budget = budget
        self.spent = 0
        self.full = False

    def _step(self):
        self.spent += 1
        if self.budget is not None and self.spent > self.budget:
            raise PowerCut()

    def read(self, path):
        return self.contents.get(path)

    def write(self, path, data):
        if self.full:
            raise OSError(28)
        self._step()
        self.contents[path] = b""
        for i in range(len(data)):
            self._step()
            self.contents[path] = bytes(data[: i + 1])

    def rename(self, old, new):
        if self.full:
            raise OSError(28)
        self._step()
        self.contents[new] = self.contents.pop(old)

    def remove(self, path):
        if path in self.contents:
            self._step()
            del self.contents[path]

    def names(self, directory):
        return [path[len(directory) + 1 :] for path in self.contents if path.startswith(directory + "/")]

    def make_directory(self, directory):
        pass


class Chance:
    """random_u32 that can be repeated: xorshift32 (Marsaglia 2003)."""

    def __init__(self, seed=1):
        self.state = seed

    def __call__(self):
        x = self.state
        x ^= (x << 13) & 0xFFFFFFFF
        x ^= x >> 17
        x ^= (x << 5) & 0xFFFFFFFF
        self.state = x
        return x


def quiet(line):
    """A log that says nothing."""
