"""The packets that a client makes once, at its start: CONNECT, SUBSCRIBE, UNSUBSCRIBE. MQTT 3.1.1 as in codec.py.

Apart from codec.py, so that a small board may unload this module when its Client is made.
"""

from .codec import (
    CONNECT,
    SUBSCRIBE,
    UNSUBSCRIBE,
    MQTTError,
    check_qos,
    check_topic,
    data_of,
    field,
    id_bytes,
    make_packet,
    text_field,
    u16,
)


def check_filter(topic):
    """Raises MQTTError unless `topic` (str) is a topic filter of section 4.7.1: `#` last, wildcards alone."""
    levels = topic.split("/")
    for index, level in enumerate(levels):
        alone = level in ("+", "#")
        if (("+" in level or "#" in level) and not alone) or (level == "#" and index != len(levels) - 1):
            raise MQTTError("bad-text", "a topic filter has a wildcard in a wrong place")
    if not topic:
        raise MQTTError("bad-text", "a topic filter is empty")


def encode_connect(client_id, keepalive_s=0, clean_session=True, username=None, password=None, will=None, will_qos=1):
    """CONNECT, section 3.1. `will` is None or (topic str, payload, retain); password is str or bytes."""
    if not client_id and not clean_session:
        raise MQTTError("bad-argument", "an empty client id needs a clean session")  # [MQTT-3.1.3-7]
    if password is not None and username is None:
        raise MQTTError("bad-argument", "a password needs a user name")  # [MQTT-3.1.2-22]
    if not 0 <= keepalive_s <= 65535:
        raise MQTTError("bad-argument", "keep alive is 0 to 65535 s")
    flags = 2 if clean_session else 0
    fields = text_field(client_id)
    if will is not None:
        topic, payload, retain = will
        check_topic(topic)
        flags |= 4 | check_qos(will_qos, 2) << 3 | (0x20 if retain else 0)
        fields += text_field(topic) + field(data_of(payload))
    if username is not None:
        flags |= 0x80
        fields += text_field(username)
    if password is not None:
        flags |= 0x40
        fields += field(data_of(password))
    return make_packet(CONNECT << 4, b"\x00\x04MQTT\x04" + bytes([flags]) + u16(keepalive_s) + fields)


def encode_subscribe(packet_id, filters):
    """SUBSCRIBE, section 3.8. `filters` is a sequence of (topic filter str, highest QoS)."""
    body = id_bytes(packet_id)
    for topic, qos in filters:
        check_filter(topic)
        body += text_field(topic) + bytes([check_qos(qos, 2)])
    if len(body) == 2:
        raise MQTTError("bad-argument", "a subscription needs a topic filter")  # [MQTT-3.8.3-3]
    return make_packet(SUBSCRIBE << 4 | 2, body)


def encode_unsubscribe(packet_id, filters):
    """UNSUBSCRIBE, section 3.10. `filters` is a sequence of topic filter str."""
    body = id_bytes(packet_id)
    for topic in filters:
        check_filter(topic)
        body += text_field(topic)
    if len(body) == 2:
        raise MQTTError("bad-argument", "an unsubscription needs a topic filter")  # [MQTT-3.10.3-2]
    return make_packet(UNSUBSCRIBE << 4 | 2, body)
