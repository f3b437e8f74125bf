"""Messages on their way out: who goes next, which packet ids are taken, and what becomes of them when a line breaks."""

from .codec import MQTTError
from .flag import Flag

SUBSCRIBE_ID = 1  # the packet id of every SUBSCRIBE; messages have the others


class Message:
    """`sent_ms`: when it went out on this connection, or None. packet[0] has DUP once any byte of it may have left."""

    def __init__(self, packet, packet_id, urgent):
        self.packet = packet
        self.packet_id = packet_id
        self.urgent = urgent
        self.event = Flag()
        self.error = None
        self.sent_ms = None
        self.abandoned = False


class Outgoing:
    """At most `most` messages, with urgent ones twice that; in order: what was sent, then urgent, then the rest.

    So what was sent is sent again in its old order [MQTT-4.6.0-1], and what is urgent passes all that still waits.
    """

    def __init__(self, most):
        self.items = []
        self._most = most
        self._last_id = SUBSCRIBE_ID

    def new_id(self):
        """A packet id that nothing on its way has."""
        taken = [item.packet_id for item in self.items]
        while True:
            self._last_id = self._last_id + 1 if self._last_id < 65535 else SUBSCRIBE_ID + 1
            if self._last_id not in taken:
                return self._last_id

    def require_room(self, urgent):
        """Raises MQTTError("in-flight") when there is none. What nobody waits for any more gives way."""
        most = self._most * 2 if urgent else self._most
        while len(self.items) >= most:
            for item in self.items:
                if item.abandoned:
                    self.finish(item, None)
                    break
            else:
                raise MQTTError("in-flight", "%d messages are on their way already" % len(self.items))

    def add(self, message):
        """An urgent one before all that waits and is not urgent, and before what must be sent again."""
        place = len(self.items)
        if message.urgent:
            place = 0
            for item in self.items:
                if item.sent_ms is None and not (item.urgent and not item.packet[0] & 8):
                    break
                place += 1
        self.items.insert(place, message)

    def next(self):
        """The message that goes out next, or None."""
        for item in self.items:
            if item.sent_ms is None:
                return item
        return None

    def oldest_ms(self):
        """When the oldest unacknowledged message was sent, or None."""
        return self.items[0].sent_ms if self.items else None

    def acknowledged(self, packet_id):
        """Its PUBACK has come; one for nothing of ours is no harm."""
        for item in self.items:
            if item.packet_id == packet_id and item.sent_ms is not None:
                self.finish(item, None)
                return

    def finish(self, item, error):
        """Whoever waits for it goes on."""
        item.error = error
        item.event.set()
        if item in self.items:
            self.items.remove(item)

    def give_up(self, item):
        """Nobody waits for it any more. What was sent keeps its packet id until its PUBACK, or the session's end."""
        item.abandoned = True
        if item.sent_ms is None and not item.packet[0] & 8:
            self.finish(item, None)

    def unsend(self):
        """The connection is gone: what was sent and not acknowledged goes out again, with DUP [MQTT-3.3.1-1]."""
        for item in list(self.items):
            if item.sent_ms is None:
                continue
            if item.packet_id:
                item.packet[0] |= 8
                item.sent_ms = None
            else:
                self.finish(item, MQTTError("lost", "the connection broke"))

    def forget(self):
        """The broker kept no session: what only the session wanted again need not go out [MQTT-4.4.0-1]."""
        for item in list(self.items):
            if item.abandoned:
                self.finish(item, None)

    def close(self):
        """No connection will come."""
        for item in list(self.items):
            self.finish(item, MQTTError("closed", "the client was closed"))
