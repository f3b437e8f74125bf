"""What every shim is made of: modules and parts whose missing names fail at once, by name."""


def lacking(name, where):
    """The error for something that an ESP32 may have and the virtual board has not."""
    return NotImplementedError(
        "virtual board: %s is not simulated (add it to simulator/board/shims/%s.py)" % (name, where)
    )


class Module:
    """Stands in sys.modules for a module; a missing name fails also in `from m import x`."""

    def __init__(self, name, source, where=None, base=None):
        self.__name__ = name
        self._where = where or name
        for origin in (base, source):
            if origin is None:
                continue
            for key in dir(origin):
                if not key.startswith("_"):
                    setattr(self, key, getattr(origin, key))

    def __getattr__(self, name):
        if name.startswith("__"):  # the interpreter's own questions, such as __path__
            raise AttributeError(name)
        raise lacking(self.__name__ + "." + name, self._where)


def readinto(self, buffer, count=-1):
    """A stream's readinto, on its read()."""
    taken = self.read(len(buffer) if count < 0 else min(count, len(buffer)))
    if taken is None:
        return None
    buffer[: len(taken)] = taken
    return len(taken)


class Part:
    """Base of Pin, PWM, WLAN: a method that the shim lacks raises NotImplementedError when looked up."""

    _kind = "machine.Part"

    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise lacking(self._kind + "." + name, self._kind.split(".")[0])
