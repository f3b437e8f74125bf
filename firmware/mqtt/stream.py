"""A TCP (or TLS) stream for asyncio on both interpreters, whose socket is closed whatever happens.

`Peer.open` may be cancelled at any moment (a time limit) and leaves no socket behind. MicroPython's own
asyncio.open_connection does leave it: the half-open socket stays until the board is reset. Hence our own there.
"""

import asyncio
import socket
import sys

from .codec import MQTTError

MICROPYTHON = sys.implementation.name == "micropython"
_IPPROTO_TCP = 6
_TCP_NODELAY = 1  # the same in Linux and lwIP; MicroPython's socket module does not name it
_RESOLVE_AGAIN = 4  # failed connects with a remembered address, before the name is looked up again


class Stream:
    """`await read(n)`, `write(data)`, `await drain()`, and `abort()`, which closes at once and drops what is unsent."""

    def __init__(self, reader, writer, close):
        self.read = reader.read
        self.write = writer.write
        self.drain = writer.drain
        self._close = close

    def abort(self):
        close = self._close
        self._close = None
        if close:
            close()


class Peer:
    """A broker's place. ssl: an SSLContext or None; server_hostname: the name in its certificate (None: the host)."""

    def __init__(self, host, port, ssl=None, server_hostname=None):
        self.host = host
        self.port = port
        self.ssl = ssl
        self.name = (server_hostname or host) if ssl else None
        self.failures = 0  # connects since the last that was answered
        self._address = None

    def _unknown(self, error):
        return MQTTError("name", "the name %s was not found (%s)" % (self.host, error))

    if MICROPYTHON:

        def resolve(self, on_block=None):
            """Looks the name up, when it must. BLOCKS (MicroPython has no other way), but not for an address."""
            if self._address is None or self.failures >= _RESOLVE_AGAIN:
                self.failures = 0
                if on_block and not self.host.replace(".", "").isdigit():
                    on_block()
                try:
                    self._address = socket.getaddrinfo(self.host, self.port, 0, socket.SOCK_STREAM)[0]
                except OSError as error:
                    raise self._unknown(error)

        async def open(self):
            """Connects: a Stream. Raises OSError. A TLS handshake happens with the first write."""
            self.failures += 1
            family, kind, protocol = self._address[:3]
            sock = raw = socket.socket(family, kind, protocol)
            try:
                raw.setblocking(False)
                try:
                    raw.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
                except (OSError, ValueError):
                    pass  # a port without the option: slower under load, nothing else
                try:
                    raw.connect(self._address[-1])
                except OSError as error:
                    if error.errno != EINPROGRESS:
                        raise
                # A TLS socket over an unconnected one would be asked to shake hands with nobody.
                await _writable(raw)
                if self.ssl:
                    sock = self.ssl.wrap_socket(raw, server_hostname=self.name, do_handshake_on_connect=False)
                    sock.setblocking(False)
            except BaseException:
                raw.close()
                raise
            stream = asyncio.StreamReader(sock)

            def close():
                sock.close()
                raw.close()

            return Stream(stream, stream, close)

    else:

        def resolve(self, on_block=None):
            """CPython resolves names in a thread of its own: nothing to do."""

        async def open(self):
            """Connects (asyncio sets TCP_NODELAY by itself): a Stream. Raises OSError."""
            self.failures += 1
            try:
                reader, writer = await asyncio.open_connection(
                    self.host, self.port, ssl=self.ssl, server_hostname=self.name
                )
            except socket.gaierror as error:
                raise self._unknown(error) from error
            return Stream(reader, writer, writer.transport.abort)


if MICROPYTHON:
    from errno import EINPROGRESS

    def _writable(sock):
        from asyncio import core

        yield core._io_queue.queue_write(sock)
