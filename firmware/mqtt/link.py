"""One connection to one broker until its end, with a time limit on everything. How it begins: dial.py.

Three tasks share it. `serve` watches the time limits and is the only one that closes the socket; a reader only reads;
a writer only writes. Nobody sits in a wait_for: cancelling the two takes them off the poll at once, before the socket
is closed.
"""

import asyncio
import gc

from . import codec
from .flag import Flag
from .outgoing import SUBSCRIBE_ID
from .ticks import ticks_add, ticks_diff, ticks_ms

_IDLE_MS = 3600000  # the longest sleep without a reason to wake
READ_BYTES = 256
_REFUSED_MESSAGES = 10  # messages that on_message raised on, before the link is made anew
_CONTROL_FULL = 16  # packets that wait for the writer (PUBACKs above all), before the reader waits too
_CONTROL_WAIT_S = 0.05


class Peer:
    """A broker's place. ssl: an SSLContext or None; server_hostname: the name in its certificate (None: the host)."""

    def __init__(self, host, port, ssl=None, server_hostname=None):
        self.host = host
        self.port = port
        self.ssl = ssl
        self.name = (server_hostname or host) if ssl else None
        self.failures = 0  # connects since the last that was answered
        self.address = None  # what was looked up


class Link:
    """`await open()`, then `await serve()`; afterwards `down` says why it ended, and `cause` in one word or None.

    client: whose connection it is (client.py). peer: a Peer. refusal: the CONNACK code when the broker said no.
    is_up: connected and subscribed. silent: the other side was not heard in time.
    """

    def __init__(self, client, peer):
        self.down = None
        self.cause = None
        self.refusal = None
        self.session_present = self.is_up = False
        self.silent = False
        self.lived_ms = 0  # how long it was up
        self._client = client
        self._peer = peer
        self.stream = None
        self.sockets = ()  # no closure: one would keep dial.py's RAM
        self.decoder = codec.Decoder(client.max_packet)
        self._control = []
        self._leaving = False
        self._wake = Flag()  # for serve: look at the time limits again
        self._kick = Flag()  # for the writer: there is something to write
        self._subscribed_ms = None  # when it began to wait for the SUBACK
        self._writing_ms = None  # when a write began that has not ended
        self._pinged_ms = None
        self._untaken = 0
        self._up_ms = self._read_ms = self._wrote_ms = self._due_ms = ticks_ms()

    async def open(self):
        """Everything until the broker has said yes: True then."""
        gc.collect()  # dial.py wants whole pieces of RAM
        try:
            from .dial import dial

            return await dial(self, self._client, self._peer)
        except MemoryError as error:
            self.fault(words(error))  # there may be more when it is tried again
            return False

    def abort(self):
        """Closes the socket at once."""
        for each in self.sockets:
            each.close()
        self.sockets = ()

    def fault(self, reason, cause=None):
        """Ends this connection; `serve` does it, for it alone closes the socket."""
        if self.down is None:
            self.down = reason
            self.cause = cause
        self._wake.set()

    def leave(self):
        """Says DISCONNECT when what waits has left, so that the broker forgets the last will; ends it then."""
        self._leaving = True
        self._control.append(codec.DISCONNECT_BYTES)
        self._kick.set()

    def kick(self):
        """There is something to write."""
        self._kick.set()

    # While it lasts.

    async def serve(self):
        """Subscribes and carries messages until it ends."""
        client = self._client
        if client.subscribe:
            self._subscribed_ms = ticks_ms()
            self._control.append(client.subscribe)
        else:
            self._came_up()
        reader = asyncio.create_task(self._read())
        writer = asyncio.create_task(self._write())
        try:
            while self.down is None:
                self._wake.clear()
                sleep_ms = self._look(ticks_ms())
                if self.down is None:
                    await self._wake.wait(sleep_ms)
        finally:
            if self.is_up:
                self.lived_ms = ticks_diff(ticks_ms(), self._up_ms) + 1
                self.is_up = False
            reader.cancel()
            writer.cancel()
            self.abort()
            client.out.unsend()

    def _look(self, now):
        """Holds every time limit against the clock; faults what is over, pings when due. Returns ms to sleep."""
        limit = self._client.timeout_ms
        sleep_ms = _IDLE_MS
        for since, text in (
            (self._subscribed_ms, "no SUBACK in %d ms"),
            (self._writing_ms, "a write hangs for %d ms"),
            (self._pinged_ms, "no PINGRESP in %d ms"),
            (self._client.out.oldest_ms(), "no PUBACK in %d ms"),
        ):
            if since is not None:
                left = limit - ticks_diff(now, since)
                if left <= 0:
                    self.silent = True
                    self.fault(text % limit)
                    return 0
                sleep_ms = min(sleep_ms, left)
        ping_ms = self._client.ping_ms
        if ping_ms and self.is_up and self._pinged_ms is None:
            quiet = max(ticks_diff(now, self._read_ms), ticks_diff(now, self._wrote_ms))
            if quiet >= ping_ms:
                self._pinged_ms = now
                self._control.append(codec.PINGREQ_BYTES)
                self._kick.set()
                sleep_ms = min(sleep_ms, limit)
            else:
                sleep_ms = min(sleep_ms, ping_ms - quiet)
        self._due_ms = ticks_add(now, sleep_ms)
        return sleep_ms

    async def _write(self):
        stream = self.stream
        client = self._client
        try:
            while True:
                packet, item = self._next_out()
                if packet is None:
                    if self._leaving:
                        self.fault("closed")
                        return
                    await self._kick.wait()
                    continue
                now = ticks_ms()
                self._writing_ms = now
                if item:
                    item.sent_ms = now
                if ticks_diff(self._due_ms, now) > client.timeout_ms:
                    self._wake.set()  # a time limit that `serve` does not know of yet
                stream.write(packet)  # pyright: ignore[reportAttributeAccessIssue]
                await stream.drain()  # pyright: ignore[reportAttributeAccessIssue]
                self._writing_ms = None
                self._wrote_ms = ticks_ms()
                if item and not item.packet_id:
                    client.out.finish(item, None)
        except Exception as error:
            self.fault("write: " + words(error))

    def _next_out(self):
        item = self._client.out.next() if self.is_up and not self._leaving else None
        if self._control and not (item and item.urgent):
            return self._control.pop(0), None
        return (item.packet, item) if item else (None, None)

    async def _read(self):
        decoder = self.decoder
        try:
            while True:
                for packet in decoder:
                    self._take(packet)
                while len(self._control) >= _CONTROL_FULL:
                    await asyncio.sleep(_CONTROL_WAIT_S)
                data = await self.stream.read(READ_BYTES)  # pyright: ignore[reportAttributeAccessIssue]
                if not data:
                    self.fault("the broker closed it")
                    return
                self._read_ms = ticks_ms()
                decoder.feed(data)
        except Exception as error:
            self.fault("read: " + words(error))

    def _take(self, packet):
        kind = packet.type
        if kind == codec.PUBLISH and packet.qos < 2:
            self._take_publish(packet)
        elif kind == codec.PUBACK:
            self._client.out.acknowledged(packet.packet_id)
        elif kind == codec.SUBACK and self._subscribed_ms is not None and packet.packet_id == SUBSCRIBE_ID:
            for index, code in enumerate(packet.codes):
                if code == codec.SUBSCRIPTION_REFUSED and index < len(self._client.filters):
                    name = self._client.filters[index]
                    self._client.say("the broker refused the subscription to %s" % name)
            self._subscribed_ms = None
            self._came_up()
        elif kind == codec.PINGRESP:
            self._pinged_ms = None
        else:
            self.fault("packet type %d out of turn" % kind)

    def _came_up(self):
        self.is_up = True
        self._up_ms = ticks_ms()
        self._kick.set()
        self._client.came_up()

    def _take_publish(self, packet):
        client = self._client
        try:
            if client.on_message:
                client.on_message(packet.topic, packet.payload)
        except Exception as error:
            client.say("a message on %s was not taken: %s" % (packet.topic, words(error)))
            self._untaken += 1
            if self._untaken >= _REFUSED_MESSAGES:
                self.fault("%d messages were not taken" % self._untaken)
            return
        if packet.qos:
            self._control.append(codec.encode_puback(packet.packet_id))
            self._kick.set()


def words(error):
    """An exception as a few words; some have no text, and mbedTLS has a line for each thing that is wrong."""
    return str(error).strip().replace("\n", ", ") or type(error).__name__
