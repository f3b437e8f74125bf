"""From a broker's name to its yes: look-up, TCP, TLS, CONNECT, CONNACK. Loaded for that; may be unloaded afterwards.

Runs on both interpreters, and may be cancelled at any moment (a time limit) without leaving a socket behind.
MicroPython's own asyncio.open_connection does leave it: the half-open socket stays until the board is reset. Hence our
own there.
"""

import asyncio
import socket
import sys

from .codec import CONNACK, MQTTError
from .link import READ_BYTES, words

MICROPYTHON = sys.implementation.name == "micropython"
_IPPROTO_TCP = 6
_TCP_NODELAY = 1  # the same in Linux and lwIP; MicroPython's socket module does not name it
_RESOLVE_AGAIN = 4  # failed connects with a remembered address, before the name is looked up again

# Section 3.2.2.3, return codes of a CONNACK.
REFUSALS = (
    None,
    "unacceptable protocol version",
    "client identifier rejected",
    "server unavailable",
    "bad user name or password",
    "not authorized",
)


async def dial(link, client, peer):
    """Opens `link`: TCP and TLS, CONNECT and CONNACK, each within timeout_ms. True when the broker said yes."""
    limit_s = client.timeout_ms / 1000
    waits_for = "TCP connection"
    good = False
    try:
        _resolve(peer, client.on_block)
        peer.failures += 1
        link.stream, link.sockets = await asyncio.wait_for(_connect(peer, client.on_block), limit_s)
        waits_for = "CONNACK"
        good = await asyncio.wait_for(_introduce(link, client, peer), limit_s)
    except asyncio.TimeoutError:
        link.silent = True
        link.fault("no %s in %d ms" % (waits_for, client.timeout_ms))
    except Exception as error:
        link.fault("connect: " + words(error), _cause(error, peer))
    finally:
        if not good:
            link.abort()
    return good


async def _introduce(link, client, peer):
    await _say(link, client, peer)
    first = True
    while True:
        data = await link.stream.read(READ_BYTES)
        if not data:
            link.fault("the broker closed it")
            return False
        if first and data[:4] == b"HTTP"[: len(data)]:
            # As packet of MQTT it is nonsense whatever follows, so no broker says it.
            raise MQTTError("http", "a web server answers: a captive portal, or a wrong port")
        first = False
        link.decoder.feed(data)
        packet = link.decoder.next_packet()
        if packet:
            break
    if packet.type != CONNACK:
        link.fault("packet type %d out of turn" % packet.type)
        return False
    peer.failures = 0
    if packet.codes[0]:
        link.refusal = packet.codes[0]
        link.fault("the broker refused: %s" % REFUSALS[link.refusal], "refused")
        return False
    link.session_present = packet.session_present
    return True


def _cause(error, peer):
    """In one word: name, http, early (a certificate that is not valid yet), tls, another slug of MQTTError, or None."""
    if isinstance(error, MQTTError):
        return error.reason
    code = error.args[0] if error.args else None
    # mbedTLS: ValueError for a certificate, else errors far below those of sockets. CPython: SSLError is an OSError.
    if peer.ssl and (isinstance(error, ValueError) or code == 1 or (isinstance(code, int) and code < -255)):
        text = str(error)
        return "early" if "in the future" in text or "not yet valid" in text else "tls"
    return None


def _unknown(peer, error):
    return MQTTError("name", "the name %s was not found (%s)" % (peer.host, error))


if MICROPYTHON:
    from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]
    from errno import EINPROGRESS

    def _writable(sock):
        yield core._io_queue.queue_write(sock)

    def _resolve(peer, on_block):
        """Looks the name up, when it must. BLOCKS (MicroPython has no other way), but not for an address."""
        if peer.address is None or peer.failures >= _RESOLVE_AGAIN:
            peer.failures = 0
            if on_block and not peer.host.replace(".", "").isdigit():
                on_block()
            try:
                peer.address = socket.getaddrinfo(peer.host, peer.port, 0, socket.SOCK_STREAM)[0]
            except OSError as error:
                raise _unknown(peer, error)

    async def _connect(peer, on_block):
        """(stream, what to close). Raises OSError. A TLS handshake happens with the first write."""
        family, kind, protocol = peer.address[:3]
        sock = raw = socket.socket(family, kind, protocol)
        try:
            raw.setblocking(False)
            try:
                raw.setsockopt(_IPPROTO_TCP, _TCP_NODELAY, 1)
            except (OSError, ValueError):
                pass  # a port without the option: slower under load, nothing else
            try:
                raw.connect(peer.address[-1])
            except OSError as error:
                if error.errno != EINPROGRESS:
                    raise
            # A TLS socket over an unconnected one would be asked to shake hands with nobody.
            await _writable(raw)
            if peer.ssl:
                if on_block:
                    on_block()
                sock = peer.ssl.wrap_socket(raw, server_hostname=peer.name, do_handshake_on_connect=False)
                sock.setblocking(False)
        except BaseException:
            raw.close()
            raise
        return asyncio.StreamReader(sock), (sock, raw)

    async def _say(link, client, peer):
        """The CONNECT. With TLS each step of the handshake keeps everything for some tenths of a second."""
        sock, data = link.sockets[0], client.connect
        while data:
            if peer.ssl and client.on_block:
                client.on_block()
            written = sock.write(data)
            if written:
                data = data[written:]
            else:
                await _writable(sock)

else:

    class _Both:
        def __init__(self, reader, writer):
            self.read = reader.read
            self.write = writer.write
            self.drain = writer.drain
            self.close = writer.transport.abort

    def _resolve(peer, on_block):
        """CPython resolves names in a thread of its own: nothing to do."""

    async def _say(link, client, peer):
        link.stream.write(client.connect)
        await link.stream.drain()

    async def _connect(peer, on_block):
        """(stream, what to close); asyncio sets TCP_NODELAY by itself. Raises OSError."""
        try:
            reader, writer = await asyncio.open_connection(
                peer.host, peer.port, ssl=peer.ssl, server_hostname=peer.name
            )
        except socket.gaierror as error:  # pyright: ignore[reportAttributeAccessIssue]
            raise _unknown(peer, error) from error
        stream = _Both(reader, writer)
        return stream, (stream,)
