"""The virtual board's `esp32`: nothing of it is simulated yet; every name says so."""

from ..parts import Module


def install(modules):
    modules["esp32"] = Module("esp32", None)
