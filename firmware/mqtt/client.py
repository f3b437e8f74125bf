"""The asyncio part: one connection kept up for ever, QoS 0 and 1 out, QoS 1 in, a time limit on everything.

Three tasks share a connection. `run` watches the time limits and is the only one that makes and closes sockets; a
reader only reads; a writer only writes. The caller of publish never touches the socket, so cancelling it cannot tear
a packet. No task but `run` sits in a wait_for: cancelling reader and writer takes them off the poll at once, before
the socket is closed.
"""

import asyncio
from random import random as _random

from . import codec
from .codec import MQTTError
from .stream import blocks, open_stream, resolve
from .ticks import ticks_add, ticks_diff, ticks_ms

_IDLE_MS = 3600000  # the longest sleep without a reason to wake
_READ_BYTES = 256
_REFUSED_MESSAGES = 10  # messages that on_message raised on, before the link is made anew
_CONTROL_FULL = 16  # packets that wait for the writer (PUBACKs above all), before the reader waits too
_CONTROL_WAIT_S = 0.05
_RESOLVE_AGAIN = 4  # failed connects with a remembered address, before the name is looked up again


class MQTTTimeout(MQTTError):
    """A publish was not acknowledged in time. It may still have arrived.

    No asyncio.TimeoutError: MicroPython cannot inherit from two exceptions.
    """


class _Out:
    """One message on its way out: `sent_ms` on this connection (or None), DUP once any byte may have left."""

    def __init__(self, packet, packet_id):
        self.packet = packet
        self.packet_id = packet_id
        self.event = asyncio.Event()
        self.error = None
        self.sent_ms = None
        self.abandoned = False


class Client:
    """An MQTT client. Start `run()` as a task; then `publish`. Everything else happens by itself.

    will: None or (topic, payload, retain), sent with QoS 1. subscriptions: topic filters, or (filter, QoS) pairs,
    made again at each connect. on_message(topic str, payload bytes) is called for each message, in order; a QoS 1
    message is acknowledged when it has returned. If it raises, the message is logged and not acknowledged.
    log(line str) gets a line per change. random() gives a float in [0, 1). ssl: an SSLContext or None.

    Attributes to read: connected (bool), up (asyncio.Event, set while connected and subscribed), reason (str or None:
    why there is no connection), refusal (int or None: the CONNACK code, when the broker said no). on_up: None or a
    callable without arguments, called each time the connection is usable. on_block: the same, called before a name is
    looked up, which may stop everything for many seconds.
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
    ):
        self.on_message = on_message
        self.on_up = None
        self.on_block = None
        self.connected = False
        self.up = asyncio.Event()
        self.reason = "not started"
        self.refusal = None
        self.timeout_ms = timeout_ms
        self._peer = (host, port, ssl, server_hostname)
        self._connect = codec.encode_connect(client_id, keepalive_s, clean_session, username, password, will)
        self._filters = [(item, 1) if isinstance(item, str) else item for item in subscriptions]
        if self._filters:
            codec.encode_subscribe(1, self._filters)  # a mistake in a filter is the caller's: say it now
        self._ping_ms = keepalive_s * 750  # early enough for the broker's clock and a slow write
        self._log = log or (lambda line: None)
        self._random = random or _random
        self._max_in_flight = max_in_flight
        self._max_packet = max_packet
        self._wait_min_ms = wait_min_ms
        self._wait_max_ms = wait_max_ms
        self._out = []  # _Out, oldest first: the order of re-sending too [MQTT-4.6.0-1]
        self._last_id = 0
        self._wake = asyncio.Event()  # for run: look at the time limits again
        self._kick = asyncio.Event()  # for the writer: there is something to write
        self._ended = asyncio.Event()
        self._ended.set()
        self._closing = False
        self._address = None
        self._failures = 0
        self._begin()

    async def run(self):
        """Connects, reads, pings and connects again until close(). Raises nothing but CancelledError."""
        self._closing = False
        self._ended.clear()
        wait_ms = self._wait_min_ms
        try:
            while not self._closing:
                await self._session()
                if self._closing:
                    break
                if self._lived_ms >= self.timeout_ms:
                    wait_ms = self._wait_min_ms  # else it grows: a link that flaps is no better than none
                if self.refusal not in (None, 3):
                    wait_ms = self._wait_max_ms  # only a human can mend it: no hurry, and no end
                now_ms = int(wait_ms * (0.5 + self._random() / 2))
                wait_ms = min(wait_ms * 2, self._wait_max_ms)
                self._say("no connection: %s; again in %d ms" % (self.reason, now_ms))
                await self._pause(now_ms)
        finally:
            self.reason = "closed"
            self._ended.set()
            for item in list(self._out):
                self._finish(item, MQTTError("closed", "the client was closed"))

    async def publish(self, topic, payload, qos=1, retain=False, timeout_ms=None):
        """Sends one message. With QoS 1, returns when the broker has acknowledged it; with 0, when it was written.

        Waits for a connection if there is none, and hurries it up. timeout_ms (default: the client's) is the limit
        of all that together: MQTTTimeout. When the connection breaks meanwhile, the same packet is sent again with
        DUP. Raises MQTTError: in-flight (too many are on their way), bad-argument, bad-text, too-big, closed.
        """
        if qos not in (0, 1):
            raise MQTTError("bad-argument", "QoS is 0 or 1")
        if self._closing:
            raise MQTTError("closed", "the client was closed")
        if len(self._out) >= self._max_in_flight:
            raise MQTTError("in-flight", "%d messages are on their way already" % len(self._out))
        packet_id = self._new_id() if qos else 0
        packet = codec.encode_publish(topic, payload, qos, retain, False, packet_id)
        if len(packet) > self._max_packet:
            raise MQTTError("too-big", "a packet of %d bytes, at most %d" % (len(packet), self._max_packet))
        item = _Out(packet, packet_id)
        self._out.append(item)
        self._kick.set()
        self.hurry()
        limit_ms = self.timeout_ms if timeout_ms is None else timeout_ms
        try:
            await asyncio.wait_for(item.event.wait(), limit_ms / 1000)
        except asyncio.TimeoutError:
            if not item.event.is_set():
                self._give_up(item)
                raise MQTTTimeout("timeout", "not acknowledged in %d ms" % limit_ms)
        except asyncio.CancelledError:
            self._give_up(item)
            raise
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
        if self.connected:
            self._control.append(codec.encode_disconnect())  # pyright: ignore[reportArgumentType]
            self._kick.set()  # the writer ends the connection when that has left
        else:
            self._fault("closed")
        await self._ended.wait()

    # One connection: run's side.

    def _begin(self):
        now = ticks_ms()
        self._down = None  # why this connection ended
        self._waits_for = "CONNACK"
        self._since_ms = now  # when it began to wait for that
        self._writing_ms = None  # when a write began that has not ended
        self._ping_ms_sent = None
        self._read_ms = self._wrote_ms = now
        self._untaken = 0
        self._sub_id = 0
        self._due_ms = now
        self._lived_ms = 0
        self._control = [self._connect]
        self.refusal = None

    async def _session(self):
        """One connection from the first SYN to its end; afterwards `reason` says why it ended."""
        self._begin()
        host, port, ssl, name = self._peer
        try:
            if self._address is None or self._failures >= _RESOLVE_AGAIN:
                self._failures = 0
                if self.on_block and blocks(host):
                    self.on_block()
                self._address = resolve(host, port)
            self._failures += 1
            opening = open_stream(host, port, ssl, name, self._address)
            stream = await asyncio.wait_for(opening, self.timeout_ms / 1000)
        except asyncio.TimeoutError:
            self.reason = "no TCP connection in %d ms" % self.timeout_ms
            return
        except Exception as error:
            self.reason = "connect: " + _words(error)
            return
        if self._closing:
            stream.abort()
            self.reason = "closed"
            return
        self._begin()
        self._failures = 0
        reader = asyncio.create_task(self._read(stream))
        writer = asyncio.create_task(self._write(stream))
        began_ms = ticks_ms()
        try:
            while self._down is None:
                self._wake.clear()
                sleep_ms = self._look(ticks_ms())
                if self._down is None:
                    try:
                        await asyncio.wait_for(self._wake.wait(), sleep_ms / 1000)
                    except asyncio.TimeoutError:
                        pass
        finally:
            if self.connected:
                self._lived_ms = ticks_diff(ticks_ms(), began_ms)
            self.connected = False
            self.up.clear()
            self.reason = self._down or "cancelled"
            reader.cancel()
            writer.cancel()
            stream.abort()
            self._unsend()

    def _look(self, now):
        """Holds every time limit against the clock; faults what is over, pings when due. Returns ms to sleep."""
        limit = self.timeout_ms
        waits = []
        if self._waits_for:
            waits.append((self._since_ms, "no %s in %d ms" % (self._waits_for, limit)))
        if self._writing_ms is not None:
            waits.append((self._writing_ms, "a write hangs for %d ms" % limit))
        if self._ping_ms_sent is not None:
            waits.append((self._ping_ms_sent, "no PINGRESP in %d ms" % limit))
        for item in self._out:
            if item.sent_ms is not None:
                waits.append((item.sent_ms, "no PUBACK in %d ms" % limit))
                break  # the oldest; the rest was sent later
        sleep_ms = _IDLE_MS
        for since, text in waits:
            left = limit - ticks_diff(now, since)
            if left <= 0:
                self._fault(text)
                return 0
            sleep_ms = min(sleep_ms, left)
        if self._ping_ms and not self._waits_for and self._ping_ms_sent is None:
            quiet = max(ticks_diff(now, self._read_ms), ticks_diff(now, self._wrote_ms))
            if quiet >= self._ping_ms:
                self._ping_ms_sent = now
                self._control.append(codec.encode_pingreq())  # pyright: ignore[reportArgumentType]
                self._kick.set()
                sleep_ms = min(sleep_ms, limit)
            else:
                sleep_ms = min(sleep_ms, self._ping_ms - quiet)
        self._due_ms = ticks_add(now, sleep_ms)
        return sleep_ms

    async def _pause(self, pause_ms):
        """Waits between two attempts; hurry() cuts it short, though never under half of wait_min_ms."""
        least_ms = min(pause_ms, self._wait_min_ms // 2)
        self._wake.clear()
        await asyncio.sleep(least_ms / 1000)
        if pause_ms > least_ms and not self._closing:
            try:
                await asyncio.wait_for(self._wake.wait(), (pause_ms - least_ms) / 1000)
            except asyncio.TimeoutError:
                pass

    def _fault(self, reason):
        """Ends this connection; `run` does it, for it alone closes sockets."""
        if self._down is None:
            self._down = reason
        self._wake.set()

    def _unsend(self):
        """The connection is gone: what was sent and not acknowledged goes out again, with DUP [MQTT-3.3.1-1]."""
        for item in list(self._out):
            if item.sent_ms is None:
                continue
            if item.abandoned or not item.packet_id:
                self._finish(item, MQTTError("lost", "the connection broke"))
            else:
                item.packet[0] |= 8
                item.sent_ms = None

    # The writer's side.

    async def _write(self, stream):
        try:
            while True:
                packet, item = self._next_out()
                if packet is None:
                    if self._closing:
                        self._fault("closed")
                        return
                    self._kick.clear()
                    await self._kick.wait()
                    continue
                now = ticks_ms()
                self._writing_ms = now
                if item:
                    item.sent_ms = now
                if ticks_diff(self._due_ms, now) > self.timeout_ms:
                    self._wake.set()  # a time limit that `run` does not know of yet
                stream.write(packet)
                await stream.drain()
                self._writing_ms = None
                self._wrote_ms = ticks_ms()
                if item and not item.packet_id:
                    self._finish(item, None)
        except Exception as error:
            self._fault("write: " + _words(error))

    def _next_out(self):
        if self._control:
            return self._control.pop(0), None
        if self.connected:
            for item in self._out:
                if item.sent_ms is None:
                    return item.packet, item
        return None, None

    def _finish(self, item, error):
        item.error = error
        item.event.set()
        if item in self._out:
            self._out.remove(item)

    def _give_up(self, item):
        """Nobody waits for it any more. What was sent keeps its packet id until its PUBACK, or the link's end."""
        item.abandoned = True
        if item.sent_ms is None and item in self._out:
            self._out.remove(item)

    def _new_id(self):
        taken = [item.packet_id for item in self._out]
        while True:
            self._last_id = self._last_id % 65535 + 1
            if self._last_id not in taken:
                return self._last_id

    # The reader's side.

    async def _read(self, stream):
        decoder = codec.Decoder(self._max_packet)
        try:
            while True:
                data = await stream.read(_READ_BYTES)
                if not data:
                    self._fault("the broker closed it")
                    return
                self._read_ms = ticks_ms()
                decoder.feed(data)
                for packet in decoder:
                    self._take(packet)
                while len(self._control) >= _CONTROL_FULL:
                    await asyncio.sleep(_CONTROL_WAIT_S)
        except Exception as error:
            self._fault("read: " + _words(error))

    def _take(self, packet):
        kind = packet.type
        if (kind == codec.CONNACK) != (self._waits_for == "CONNACK"):
            self._fault("packet type %d out of turn" % kind)
        elif kind == codec.CONNACK:
            self._take_connack(packet.codes[0])
        elif kind == codec.PUBLISH and packet.qos < 2:
            self._take_publish(packet)
        elif kind == codec.PUBACK:
            for item in self._out:
                if item.packet_id == packet.packet_id and item.sent_ms is not None:
                    self._finish(item, None)
                    break
        elif kind == codec.SUBACK and self._waits_for == "SUBACK" and packet.packet_id == self._sub_id:
            for (name, _), code in zip(self._filters, packet.codes):
                if code == codec.SUBSCRIPTION_REFUSED:
                    self._say("the broker refused the subscription to %s" % name)
            self._came_up()
        elif kind == codec.PINGRESP:
            self._ping_ms_sent = None
        else:
            self._fault("packet type %d out of turn" % kind)

    def _take_connack(self, code):
        if code:
            self.refusal = code
            self._fault("the broker refused: %s" % codec.REFUSALS[code])
        elif self._filters:
            self._waits_for = "SUBACK"
            self._since_ms = ticks_ms()
            self._sub_id = self._new_id()
            self._control.append(codec.encode_subscribe(self._sub_id, self._filters))
            self._kick.set()
        else:
            self._came_up()

    def _came_up(self):
        self._waits_for = None
        self.connected = True
        self.reason = None
        self._say("connected")
        self.up.set()
        self._kick.set()
        if self.on_up:
            self.on_up()

    def _take_publish(self, packet):
        try:
            if self.on_message:
                self.on_message(packet.topic, packet.payload)
        except Exception as error:
            self._say("a message on %s was not taken: %s" % (packet.topic, _words(error)))
            self._untaken += 1
            if self._untaken >= _REFUSED_MESSAGES:
                self._fault("%d messages were not taken" % self._untaken)
            return
        if packet.qos:
            self._control.append(codec.encode_puback(packet.packet_id))
            self._kick.set()

    def _say(self, text):
        self._log("mqtt: " + text)


def _words(error):
    """An exception as a few words; some have no text."""
    return str(error) or type(error).__name__
