"""MQTT 3.1.1 packets as bytes, without any I/O: encoders for a client's packets, a strict incremental decoder.

Section numbers are those of "MQTT Version 3.1.1", OASIS Standard, 29 October 2014; names like [MQTT-3.3.1-2]
are its normative statements. Runs under MicroPython and CPython and needs nothing else.
"""

CONNECT = 1
CONNACK = 2
PUBLISH = 3
PUBACK = 4
PUBREC = 5
PUBREL = 6
PUBCOMP = 7
SUBSCRIBE = 8
SUBACK = 9
UNSUBSCRIBE = 10
UNSUBACK = 11
PINGREQ = 12
PINGRESP = 13
DISCONNECT = 14

PINGREQ_BYTES = b"\xc0\x00"  # section 3.12
DISCONNECT_BYTES = b"\xe0\x00"  # section 3.14
MAX_REMAINING = 268435455  # section 2.2.3: four length bytes of seven bits
SUBSCRIPTION_REFUSED = 0x80  # section 3.9.3


class MQTTError(Exception):
    """Something that MQTT 3.1.1 or a limit of ours forbids. `.reason` is a stable slug, str() a sentence.

    Reasons of the decoder: bad-length, too-big, bad-type, bad-flags, bad-body, bad-text, not-read.
    Reasons of the encoders: bad-argument, bad-text, too-big.
    """

    def __init__(self, reason, text=None):
        super().__init__(text or reason)
        self.reason = reason


class Packet:
    """One decoded packet. Every field exists; those that a type does not have keep their empty value.

    type, flags: the two halves of the first byte (section 2.2). packet_id: int, 0 for none. topic: str, payload:
    bytes (PUBLISH). codes: tuple of return codes (one for CONNACK, one per filter for SUBACK). session_present: bool.
    """

    def __init__(self, kind, flags):
        self.type = kind
        self.flags = flags
        self.packet_id = 0
        self.topic = None
        self.payload = b""
        self.codes = ()
        self.session_present = False

    @property
    def qos(self):
        return (self.flags >> 1) & 3

    @property
    def dup(self):
        return bool(self.flags & 8)

    @property
    def retain(self):
        return bool(self.flags & 1)


def check_text(data):
    """Raises MQTTError("bad-text") unless `data` (bytes) is text as section 1.5.3 wants it.

    That is well-formed UTF-8 (RFC 3629: shortest form, no surrogates, at most U+10FFFF) without U+0000. Checked
    here because MicroPython's own decoding looks at the form of the lead bytes only.
    """
    at = 0
    end = len(data)
    while at < end:
        lead = data[at]
        at += 1
        if 0 < lead < 0x80:
            continue
        low, high = 0x80, 0xBF
        if 0xC2 <= lead <= 0xDF:
            more = 1
        elif 0xE0 <= lead <= 0xEF:
            more = 2
            if lead == 0xE0:
                low = 0xA0
            elif lead == 0xED:
                high = 0x9F
        elif 0xF0 <= lead <= 0xF4:
            more = 3
            if lead == 0xF0:
                low = 0x90
            elif lead == 0xF4:
                high = 0x8F
        else:
            raise MQTTError("bad-text", "text has U+0000 or is not UTF-8")
        while more:
            if at >= end or not low <= data[at] <= high:
                raise MQTTError("bad-text", "text is not UTF-8")
            low, high = 0x80, 0xBF
            at += 1
            more -= 1


def check_topic(topic):
    """Raises MQTTError unless `topic` (str) can be published to: section 4.7, no wildcards, not empty."""
    if not topic or "+" in topic or "#" in topic:
        raise MQTTError("bad-text", "a topic is empty or has a wildcard")


def encode_length(value):
    """Remaining length, section 2.2.3: one to four bytes, seven bits each, least significant first."""
    if not 0 <= value <= MAX_REMAINING:
        raise MQTTError("too-big", "remaining length %d is not possible" % value)
    out = bytearray()
    while True:
        byte = value & 127
        value >>= 7
        if not value:
            out.append(byte)
            return bytes(out)
        out.append(byte | 128)


def encode_publish(topic, payload, qos=0, retain=False, dup=False, packet_id=0):
    """PUBLISH, section 3.3, as a bytearray (DUP is bit 3 of byte 0). QoS 1 and 2 need a packet id, QoS 0 has none."""
    check_topic(topic)
    if bool(packet_id) != bool(check_qos(qos, 2)) or (dup and not qos):  # [MQTT-2.3.1-5], [MQTT-3.3.1-2]
        raise MQTTError("bad-argument", "packet id and DUP are for QoS 1 and 2, and an id is needed there")
    first = PUBLISH << 4 | (8 if dup else 0) | qos << 1 | (1 if retain else 0)
    return make_packet(first, text_field(topic) + (id_bytes(packet_id) if qos else b"") + data_of(payload))


def encode_puback(packet_id):
    """PUBACK, section 3.4."""
    return make_packet(PUBACK << 4, id_bytes(packet_id))


class Decoder:
    """Takes a server's bytes in any pieces and gives whole packets: `feed(data)`, then iterate, or `next_packet()`.

    Holds at most `max_packet` bytes and one piece. What a server may not send raises MQTTError as soon as it can be
    known (a too long packet at its length bytes); after that the stream has no packet borders any more, so the same
    error is raised forever: drop the connection [MQTT-4.8.0-1].
    """

    def __init__(self, max_packet=2048):
        self.max_packet = max_packet
        self._buffer = bytearray()
        self._at = 0
        self._error = None

    def feed(self, data):
        """Adds bytes. Raises MQTTError("not-read") when packets fed before were not taken out."""
        if self._error:
            raise self._error
        if len(self._buffer) - self._at > self.max_packet:
            self._fail("not-read", "packets were fed and not taken out")
        if self._at:
            self._buffer = self._buffer[self._at :]
            self._at = 0
        self._buffer.extend(data)

    def __iter__(self):
        while True:
            packet = self.next_packet()
            if packet is None:
                return
            yield packet

    def next_packet(self):
        """The next whole Packet, or None until more bytes are fed. Raises MQTTError."""
        if self._error:
            raise self._error
        buffer = self._buffer
        if self._at >= len(buffer):
            return None
        kind = buffer[self._at] >> 4
        flags = buffer[self._at] & 15
        self._check_first(kind, flags)
        at = self._at + 1
        length = shift = 0
        while True:
            if at >= len(buffer):
                return None
            byte = buffer[at]
            at += 1
            length |= (byte & 127) << shift
            if byte < 128:
                break
            shift += 7
            if shift > 21:
                self._fail("bad-length", "the remaining length has more than four bytes")
        end = at + length
        if end - self._at > self.max_packet:
            self._fail("too-big", "a packet of %d bytes, at most %d" % (end - self._at, self.max_packet))
        if end > len(buffer):
            return None
        self._at = end
        packet = Packet(kind, flags)
        try:
            _read_body(packet, bytes(buffer[at:end]))
        except MQTTError as error:
            self._error = error
            raise
        return packet

    def _fail(self, reason, text):
        self._error = MQTTError(reason, text)
        raise self._error

    def _check_first(self, kind, flags):
        if kind not in (CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK, PINGRESP):
            self._fail("bad-type", "packet type %d does not come from a server" % kind)
        if kind == PUBLISH:
            if flags & 6 == 6 or flags & 14 == 8:  # [MQTT-3.3.1-4], [MQTT-3.3.1-2]
                self._fail("bad-flags", "PUBLISH with QoS 3, or with DUP and QoS 0")
        elif flags != (2 if kind == PUBREL else 0):  # [MQTT-2.2.2-2]
            self._fail("bad-flags", "packet type %d with flags %d" % (kind, flags))


def _read_body(packet, body):
    """Fills `packet` from its variable header and payload (bytes)."""
    kind = packet.type
    size = len(body)
    if kind == PUBLISH:  # section 3.3.2
        at = 2 + (body[0] << 8 | body[1]) if size >= 2 else size + 1
        after = at + (2 if packet.qos else 0)
        if after > size:
            raise MQTTError("bad-body", "PUBLISH is shorter than its topic and packet id")
        check_text(body[2:at])
        packet.topic = str(body[2:at], "utf-8")
        check_topic(packet.topic)  # [MQTT-3.3.2-2]
        if packet.qos:
            packet.packet_id = _read_id(body, at)
        packet.payload = body[after:]
    elif kind == CONNACK:  # section 3.2.2: refused means no session [MQTT-3.2.2-4]
        if size != 2 or body[0] > 1 or body[1] > 5 or (body[1] and body[0]):
            raise MQTTError("bad-body", "CONNACK with a reserved value")
        packet.session_present = bool(body[0])
        packet.codes = (body[1],)
    elif kind == SUBACK:  # section 3.9
        packet.codes = tuple(body[2:])
        if size < 3 or any(code > 2 and code != SUBSCRIPTION_REFUSED for code in packet.codes):
            raise MQTTError("bad-body", "SUBACK without a code or with a reserved one")
        packet.packet_id = _read_id(body, 0)
    elif size != (0 if kind == PINGRESP else 2):
        raise MQTTError("bad-body", "packet type %d with %d bytes" % (kind, size))
    elif size:
        packet.packet_id = _read_id(body, 0)


def _read_id(body, at):
    value = body[at] << 8 | body[at + 1]
    if not value:
        raise MQTTError("bad-body", "packet id 0")  # [MQTT-2.3.1-1]
    return value


def make_packet(first, body):
    out = bytearray([first])
    out.extend(encode_length(len(body)))
    out.extend(body)
    return out


def u16(value):
    return bytes([value >> 8, value & 255])


def id_bytes(value):
    if not 1 <= value <= 65535:
        raise MQTTError("bad-argument", "a packet id is 1 to 65535")
    return u16(value)


def check_qos(value, highest):
    if not 0 <= value <= highest:
        raise MQTTError("bad-argument", "QoS is 0 to %d" % highest)
    return value


def data_of(value):
    return value.encode() if isinstance(value, str) else bytes(value)


def field(data):
    if len(data) > 65535:
        raise MQTTError("too-big", "a field is at most 65535 bytes")
    return u16(len(data)) + data


def text_field(value):
    """A string with its length, section 1.5.3."""
    try:
        data = value.encode()
    except UnicodeError:  # CPython: a lone surrogate; MicroPython encodes it, and check_text finds it
        raise MQTTError("bad-text", "text is not UTF-8")
    check_text(data)
    return field(data)
