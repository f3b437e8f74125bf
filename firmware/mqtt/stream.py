"""A TCP (or TLS) stream for asyncio on both interpreters, whose socket is closed whatever happens.

`open_stream` may be cancelled at any moment (a time limit) and leaves no socket behind. MicroPython's own
asyncio.open_connection does leave it: the half-open socket stays until the board is reset. Hence our own there.
"""

import asyncio
import sys

MICROPYTHON = sys.implementation.name == "micropython"
_IPPROTO_TCP = 6
_TCP_NODELAY = 1  # the same in Linux and lwIP; MicroPython's socket module does not name it


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


if MICROPYTHON:
    import socket
    from errno import EINPROGRESS

    def _writable(sock):
        from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]

        yield core._io_queue.queue_write(sock)

    def blocks(host):
        """Whether resolve() stops everything for as long as a name server takes."""
        return not host.replace(".", "").isdigit()

    def resolve(host, port):
        """Address info of a host. BLOCKS for a name (MicroPython has no other way), not for a numeric host."""
        return socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)[0]

    async def open_stream(host, port, ssl=None, server_hostname=None, address=None):
        """Connects. `address` is what `resolve` gave earlier. Raises OSError; ssl is an SSLContext or None."""
        if address is None:
            address = resolve(host, port)
        sock = raw = socket.socket(address[0], address[1], address[2])
        try:
            raw.setblocking(False)
            try:
                raw.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
            except (OSError, ValueError):
                pass  # a port without the option: slower under load, nothing else
            try:
                raw.connect(address[-1])
            except OSError as error:
                if error.errno != EINPROGRESS:
                    raise
            if ssl:
                await _writable(raw)  # a TLS socket over an unconnected one would be asked to shake hands with nobody
                sock = ssl.wrap_socket(raw, server_hostname=server_hostname or host, do_handshake_on_connect=False)
                sock.setblocking(False)
            else:
                await _writable(raw)
        except BaseException:
            raw.close()
            raise
        stream = asyncio.StreamReader(sock)

        def close():
            sock.close()
            raw.close()

        return Stream(stream, stream, close)

else:

    def blocks(host):
        """Never: CPython resolves in a thread."""
        return False

    def resolve(host, port):
        """CPython resolves names in a thread of its own: nothing to keep."""
        return None

    async def open_stream(host, port, ssl=None, server_hostname=None, address=None):
        """Connects (asyncio sets TCP_NODELAY by itself). Raises OSError; ssl is an SSLContext or None."""
        name = (server_hostname or host) if ssl else None
        reader, writer = await asyncio.open_connection(host, port, ssl=ssl, server_hostname=name)
        return Stream(reader, writer, writer.transport.abort)
