"""The virtual board's `socket`: the host's sockets, as far as the simulated WiFi reaches.

Without WiFi no socket can be opened or connected (EHOSTUNREACH; names do not resolve, -202 as on the
ESP32). When the WiFi goes down, the sockets in existence are closed under the firmware, whose next use of
them raises OSError. A captive portal answers in place of every address that is looked up while it is there.
"""

import socket as host

from ..parts import Module

EHOSTUNREACH = 113
NAME_FAILED = -202
_open = []
_network = None


def socket(*arguments):
    """A socket of the host, while the board is on the WiFi."""
    if not _network.online():
        raise OSError(EHOSTUNREACH)
    _open[:] = [one for one in _open if one.fileno() >= 0]
    made = host.socket(*arguments)
    _open.append(made)
    return made


def getaddrinfo(name, port, *rest):
    if not _network.online() and not name.replace(".", "").isdigit():
        raise OSError(NAME_FAILED)
    portal = _network.portal()
    if portal:
        name, port = "127.0.0.1", portal  # whatever is asked for
    return host.getaddrinfo(name, port, *rest)


def cut():
    """The WiFi is gone: end every connection."""
    for one in _open:
        one.close()
    _open.clear()


class _Socket:
    pass


def install(modules, network):
    global _network
    _network = network
    network.when_lost(cut)
    source = _Socket()
    source.socket, source.getaddrinfo = socket, getaddrinfo
    modules["socket"] = modules["usocket"] = Module("socket", source, "sockets", base=host)
