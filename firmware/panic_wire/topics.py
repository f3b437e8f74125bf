"""MQTT topics of contract v1: sigap/v1/d/<device>/up|down|state, <device> as eight lower-case hex digits.

And sigap/v1/b/<base>/up|down of base stations and sigap/v1/p/<phone>/up|down of phones, which are named alike.
"""

PREFIX = "sigap/v1/d/"
BASE_PREFIX = "sigap/v1/b/"
PHONE_PREFIX = "sigap/v1/p/"
ALL_UP = "sigap/v1/d/+/up"
ALL_STATE = "sigap/v1/d/+/state"
# Payloads of the retained `state` topic; OFFLINE is the last will.
ONLINE = b"online"
OFFLINE = b"offline"

_KINDS = ("up", "down", "state")


def device_name(device):
    """Device id (int) as in topics, broker user names and listings: eight lower-case hex digits."""
    if not 0 <= device <= 0xFFFFFFFF:
        raise ValueError("a device id is 32 bits")
    return "%08x" % device


def device_id(name):
    """The int for eight lower-case hex digits; ValueError for anything else."""
    if not _is_name(name):
        raise ValueError("a device name is eight lower-case hex digits")
    return int(name, 16)


def _is_name(name):
    if len(name) != 8:
        return False
    return all(c in "0123456789abcdef" for c in name)


def up(name):
    """Frames from the device (QoS 1, not retained)."""
    return PREFIX + name + "/up"


def down(name):
    """Frames to the device (QoS 1, not retained)."""
    return PREFIX + name + "/down"


def state(name):
    """ONLINE or OFFLINE (QoS 1, retained, last will)."""
    return PREFIX + name + "/state"


def base_up(name):
    """What a base station has heard: an UP of panic_wire.base_line."""
    return BASE_PREFIX + name + "/up"


def base_down(name):
    """What a base station is to send: a DOWN of panic_wire.base_line, without its id."""
    return BASE_PREFIX + name + "/down"


def parse(topic):
    """("d", name, "up"|"down"|"state") of a device, ("b" or "p", name, "up"|"down") of a base or phone, else None."""
    parts = topic.split("/")
    if len(parts) != 5 or parts[0] != "sigap" or parts[1] != "v1" or parts[2] not in ("d", "b", "p"):
        return None
    if not _is_name(parts[3]) or parts[4] not in _KINDS or (parts[2] != "d" and parts[4] == "state"):
        return None
    return (parts[2], parts[3], parts[4])
