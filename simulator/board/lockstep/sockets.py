"""The board's `socket` and `ssl` in virtual time: streams whose other end is a model in the world.

As lwIP on the ESP32: non-blocking connect, 5744 bytes of send buffer (TCP_SND_BUF), EHOSTUNREACH without WiFi.
A look-up of a name blocks the interpreter, as there; so does each part of a TLS handshake. TLS is a stall of
measured length and no cryptography: a real one would need the real random numbers.
"""

import binascii
import io

from ..parts import Module, lacking, readinto
from .steps import BUSY

AF_INET, SOCK_STREAM = 2, 1
EHOSTUNREACH, EINPROGRESS, ENOTCONN, EBADF = 113, 115, 107, 9
NAME_FAILED = -202
SEND_BUFFER_BYTES = 5744
MOST_SOCKETS = 10  # LWIP_MAX_SOCKETS of the ESP32 port
_POLL, _CLOSE, _READABLE, _WRITABLE, _ERROR, _HANGUP = 3, 4, 1, 4, 8, 16

_link = None
_network = None
_names = {}
_sockets = {}
_count = 0
_tls_us = 0


class Socket(io.IOBase):
    def __init__(self, family=AF_INET, kind=SOCK_STREAM, protocol=0):
        global _count
        if kind != SOCK_STREAM:
            raise lacking("socket.SOCK_DGRAM", "../lockstep/sockets")
        if not _network.online():
            raise OSError(EHOSTUNREACH)
        if len(_sockets) >= MOST_SOCKETS:
            raise OSError(23)  # ENFILE
        _count += 1
        self._id = _count
        self._state = "new"
        self._error = 0
        self._parts = []  # what has come and was not read: in parts, as a small heap has no large room
        self._room = SEND_BUFFER_BYTES
        self._blocking = True
        _sockets[self._id] = self

    def setblocking(self, on):
        self._blocking = bool(on)

    def settimeout(self, seconds):
        self._blocking = seconds is None

    def setsockopt(self, *arguments):
        pass

    def fileno(self):
        return self._id

    def connect(self, address):
        if self._state != "new":
            raise OSError(EBADF if self._state == "closed" else 106)
        if not _network.online():
            raise OSError(EHOSTUNREACH)
        self._state = "connecting"
        _link.ask('{"net":%d,"connect":["%s",%d],"ap":%d}' % (self._id, address[0], address[1], _network.point()))
        if not self._blocking:
            raise OSError(EINPROGRESS)
        while self._state == "connecting":
            _link.wait(None)
        self._raise()

    def _raise(self):
        if self._error:
            raise OSError(self._error)

    def read(self, count=-1):
        """None: nothing yet; b"": the other end has closed."""
        if self._parts:
            part = self._parts.pop(0)
            if count is None or count < 0 or count >= len(part):
                return part
            self._parts.insert(0, part[count:])
            return part[:count]
        self._raise()
        if self._state == "closed":
            raise OSError(EBADF)
        return b"" if self._state == "ended" else None

    readinto = readinto
    recv = read

    def readline(self):
        raise lacking("socket.readline", "../lockstep/sockets")

    def write(self, data):
        """How many bytes the send buffer took; None when it is full."""
        self._raise()
        if self._state not in ("open", "ended"):
            raise OSError(ENOTCONN if self._state != "closed" else EBADF)
        taken = bytes(data)[: self._room]
        if not taken:
            return None
        self._room -= len(taken)
        _link.ask('{"net":%d,"data":"%s"}' % (self._id, binascii.hexlify(taken).decode()))
        return len(taken)

    send = write

    def close(self):
        if self._state != "closed":
            if self._state != "new":
                _link.ask('{"net":%d,"close":1}' % self._id)
            self._state = "closed"
            self._parts = []
            _sockets.pop(self._id, None)

    def ioctl(self, operation, argument):
        if operation == _CLOSE:
            self.close()
            return 0
        if operation != _POLL:
            return 0
        if self._error:
            return _ERROR | _HANGUP | (argument & (_READABLE | _WRITABLE))
        if self._state == "closed":
            return _ERROR | _HANGUP
        flags = 0
        if self._parts or self._state == "ended":
            flags |= argument & _READABLE
        if self._state in ("open", "ended") and self._room:
            flags |= argument & _WRITABLE
        return flags

    def _hear(self, message):
        if "data" in message:
            self._parts.append(binascii.unhexlify(message["data"]))
        if "sent" in message:
            self._room += message["sent"]
        if "open" in message:
            self._state = "open"
        if "end" in message:
            self._state = "ended"
        if "error" in message:
            self._error = message["error"]


def getaddrinfo(name, port, *rest):
    if not name.replace(".", "").isdigit():
        if not _network.online():
            raise OSError(NAME_FAILED)
        _link.stall(_names["stall_us"], BUSY)
        if _names["fails"]:
            raise OSError(NAME_FAILED)
    return [(AF_INET, SOCK_STREAM, 0, "", (name, port))]


class Tls:
    """ssl.SSLContext without cryptography: the handshake stalls the board, then bytes pass as they are."""

    def __init__(self, protocol=0):
        self.verify_mode = 0

    def load_verify_locations(self, cadata=None, **other):
        pass

    def load_cert_chain(self, *arguments):
        pass

    def wrap_socket(self, sock, server_side=False, server_hostname=None, do_handshake_on_connect=True):
        _link.stall(_tls_us, BUSY)
        return sock


class _Source:
    pass


def _on_net(message):
    sock = _sockets.get(message["net"])
    if sock is not None:
        sock._hear(message)


def install(modules, link, network, setup):
    """setup["names"]: {"stall_us", "fails"} of a look-up; setup["tls_us"]: how long a handshake keeps it busy."""
    global _link, _network, _tls_us
    _link, _network, _tls_us = link, network, setup["tls_us"]
    _names.update(setup["names"])
    link.on("net", _on_net)
    link.on("names", lambda message: _names.update(message["names"]))
    source = _Source()
    source.socket, source.getaddrinfo = Socket, getaddrinfo
    source.AF_INET, source.SOCK_STREAM = AF_INET, SOCK_STREAM
    source.SOL_SOCKET, source.SO_REUSEADDR, source.IPPROTO_TCP = 1, 2, 6
    modules["socket"] = modules["usocket"] = Module("socket", source, "../lockstep/sockets")
    tls = _Source()
    tls.SSLContext = Tls
    tls.PROTOCOL_TLS_CLIENT, tls.CERT_NONE, tls.CERT_REQUIRED = 0, 0, 2
    modules["ssl"] = modules["tls"] = Module("ssl", tls, "../lockstep/sockets")
