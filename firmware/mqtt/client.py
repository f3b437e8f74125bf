"""The client: a connection kept up for ever, to the first broker or else to the backup, and what is published on it.

Only a Link (link.py) touches sockets. So cancelling the caller of publish cannot tear a packet.
"""

import asyncio
from random import random as _random

from . import codec
from .codec import MQTTError
from .flag import Flag
from .link import Link, Peer
from .outgoing import SUBSCRIBE_ID, Message, Outgoing


class MQTTTimeout(MQTTError):
    """A publish was not acknowledged in time. It may still have arrived.

    No asyncio.TimeoutError: MicroPython cannot inherit from two exceptions.
    """


class Client:
    """An MQTT client. Start `run()` as a task; then `publish`. Everything else happens by itself.

    will: None or (topic, payload, retain), sent with QoS 1. subscriptions: topic filters, or (filter, QoS) pairs,
    made again at each connect. on_message(topic str, payload bytes) is called for each message, in order; a QoS 1
    message is acknowledged when it has returned. If it raises, the message is logged and not acknowledged.
    log(line str) gets a line per change. random() gives a float in [0, 1). ssl: an SSLContext or None.
    clean_session False: the broker keeps what comes for the client while it is away.
    backup: None or (host, port, ssl, server_hostname) of a second broker, which is used while the first gives no
    connection; every first_again_ms the first is tried, and taken when it has said yes and nothing is under way.

    Attributes to read: connected (bool), up (asyncio.Event, set while connected and subscribed), on_backup (bool),
    session_present (bool: the broker had kept the session), reason (str or None: why there is no connection), cause
    (the same as one word: name, http, early, tls, refused, or None), refusal (int or None: the CONNACK code, when the
    broker said no). on_up: None or a callable without arguments, called each time the connection is usable. on_down:
    the same, each time there is none, or a try has failed. on_block: the same, called before a name is looked up,
    which may stop everything for many seconds, and before each step of a TLS handshake, for some tenths of one.
    """

    def __init__(
        self,
        host,
        port,
        client_id,
        username=None,
        password=None,
        keepalive_s=30,
        will=None,
        on_message=None,
        subscriptions=(),
        timeout_ms=5000,
        ssl=None,
        log=None,
        random=None,
        server_hostname=None,
        clean_session=True,
        max_in_flight=8,
        max_packet=2048,
        wait_min_ms=200,
        wait_max_ms=10000,
        backup=None,
        first_again_ms=60000,
    ):
        self.on_message = on_message
        self.on_up = self.on_down = self.on_block = None
        self.up = asyncio.Event()
        self.reason = "not started"
        self.cause = self.refusal = None
        self.session_present = False
        self.on_backup = False
        # For link.py and backup.py.
        self.timeout_ms = timeout_ms
        self.max_packet = max_packet
        from . import opening

        self.connect = opening.encode_connect(client_id, keepalive_s, clean_session, username, password, will)
        filters = [(item, 1) if isinstance(item, str) else item for item in subscriptions]
        self.subscribe = opening.encode_subscribe(SUBSCRIBE_ID, filters) if filters else None
        self.filters = [name for name, _ in filters]
        self.ping_ms = keepalive_s * 750  # early enough for the broker's clock and a slow write
        self.out = Outgoing(max_in_flight)
        self.peers = [Peer(host, port, ssl, server_hostname)]
        if backup:
            self.peers.append(Peer(*backup))
        self.first_again_ms = first_again_ms
        self._log = log or (lambda line: None)
        self.random = random or _random
        self._wait_min_ms = wait_min_ms
        self._wait_max_ms = wait_max_ms
        self._wake = Flag()  # ends a pause
        self._ended = asyncio.Event()
        self._ended.set()
        self._closing = False
        self._link = None
        self.first = None  # a Link to the first broker that is open, while the backup is left for it

    @property
    def connected(self):
        return self.up.is_set()

    async def run(self):
        """Connects, reads, pings and connects again until close(). Raises nothing but CancelledError."""
        self._closing = False
        self._ended.clear()
        wait_ms = self._wait_min_ms
        try:
            while not self._closing:
                link = await self._use()
                if self._closing:
                    break
                if link.lived_ms >= self.timeout_ms:
                    wait_ms = self._wait_min_ms  # else it grows: a link that flaps is no better than none
                if link.refusal not in (None, 3):
                    wait_ms = self._wait_max_ms  # only a human can mend it: no hurry, and no end
                now_ms = int(wait_ms * (0.5 + self.random() / 2))
                if len(self.peers) > 1 and (link.silent or not link.lived_ms):
                    self.on_backup = not self.on_backup
                    if self.on_backup:
                        now_ms = 0  # the other one has not failed yet
                if now_ms:
                    wait_ms = min(wait_ms * 2, self._wait_max_ms)
                self.say("no connection: %s; again in %d ms" % (self.reason, now_ms))
                if self.on_down:
                    self.on_down()
                await self._pause(now_ms)
        finally:
            self.up.clear()
            self.reason = "closed"
            self._link = None
            self._ended.set()
            self.out.close()

    async def _use(self):
        """One connection, or one after the other on the way back to the first broker: the Link that ended."""
        link = self._link = Link(self, self.peers[self.on_backup])
        self.refusal = None
        good = await link.open()
        while good and not self._closing:
            self.session_present = link.session_present
            if not self.session_present:
                self.out.forget()
            looking = None
            if self.on_backup:
                from .backup import look_for_first

                looking = asyncio.create_task(look_for_first(self, link))
            try:
                await link.serve()
            finally:
                self.up.clear()
                self.reason, self.cause = link.down or "cancelled", link.cause
                if looking:
                    looking.cancel()
                first, self.first = self.first, None
                if self._closing and first:
                    first.abort()
            if first is None:
                break
            self.say("back to the first broker")
            link = self._link = first
            self.on_backup = False
        link.abort()
        self.reason, self.cause, self.refusal = link.down or "closed", link.cause, link.refusal
        return link

    async def publish(self, topic, payload, qos=1, retain=False, timeout_ms=None, urgent=False):
        """Sends one message. With QoS 1, returns when the broker has acknowledged it; with 0, when it was written.

        Waits for a connection if there is none, and hurries it up. timeout_ms (default: the client's) is the limit
        of all that together: MQTTTimeout. When the connection breaks meanwhile, the same packet is sent again with
        DUP. urgent: it goes out before everything that waits. Raises MQTTError: in-flight (too many are on their way),
        bad-argument, bad-text, too-big, closed.
        """
        if qos not in (0, 1):
            raise MQTTError("bad-argument", "QoS is 0 or 1")
        if self._closing:
            raise MQTTError("closed", "the client was closed")
        self.out.require_room(urgent)
        packet_id = self.out.new_id() if qos else 0
        packet = codec.encode_publish(topic, payload, qos, retain, False, packet_id)
        if len(packet) > self.max_packet:
            raise MQTTError("too-big", "a packet of %d bytes, at most %d" % (len(packet), self.max_packet))
        item = Message(packet, packet_id, urgent)
        self.out.add(item)
        if self._link:
            self._link.kick()
        self.hurry()
        limit_ms = self.timeout_ms if timeout_ms is None else timeout_ms
        try:
            done = await item.event.wait(limit_ms)
        except asyncio.CancelledError:
            self.out.give_up(item)
            raise
        if not done:
            self.out.give_up(item)
            raise MQTTTimeout("timeout", "not acknowledged in %d ms" % limit_ms)
        if item.error:
            raise item.error

    def hurry(self):
        """Ends a pause between two attempts to connect: something urgent waits."""
        if not self.connected:
            self._wake.set()

    async def close(self):
        """Says DISCONNECT (so the broker forgets the last will), ends run(), fails what is still on its way.

        Takes timeout_ms at most: when it comes in the middle of an attempt to connect, or the peer reads nothing.
        """
        self._closing = True
        self._wake.set()
        if self._link:
            if self.connected:
                self._link.leave()
            else:
                self._link.fault("closed")
        await self._ended.wait()

    async def _pause(self, pause_ms):
        """Waits between two attempts; hurry() cuts it short, though never under half of wait_min_ms."""
        least_ms = min(pause_ms, self._wait_min_ms // 2)
        self._wake.clear()
        await asyncio.sleep(least_ms / 1000)
        if pause_ms > least_ms and not self._closing:
            await self._wake.wait(pause_ms - least_ms)

    # For link.py and backup.py.

    def came_up(self):
        """The connection is usable."""
        self.reason = self.cause = None
        self.up.set()
        self.say("connected, to the backup" if self.on_backup else "connected")
        if self.on_up:
            self.on_up()

    def say(self, text):
        """A line for the log."""
        self._log("mqtt: " + text)
