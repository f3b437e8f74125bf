"""The virtual board's `esp32`: what wakes it. Every other name says that it is not simulated."""

from ..parts import Module
from . import sleep


class _Esp32:
    WAKEUP_ALL_LOW, WAKEUP_ANY_HIGH = False, True
    wake_on_ext0 = staticmethod(sleep.wake_on_ext0)


def install(modules):
    modules["esp32"] = Module("esp32", _Esp32)
