"""Keys of a device, derived from its 16-byte root key by HKDF-SHA256 (RFC 5869).

The root key itself seals nothing and never leaves the device and the registry.
"""

import hashlib
import struct

SALT = b"sigap v1"


def hmac_sha256(key, message):
    """HMAC-SHA256 (RFC 2104): 32 bytes."""
    if len(key) > 64:
        key = hashlib.sha256(key).digest()
    key = key + bytes(64 - len(key))
    inner = hashlib.sha256(bytes([b ^ 0x36 for b in key]))
    inner.update(message)
    outer = hashlib.sha256(bytes([b ^ 0x5C for b in key]))
    outer.update(inner.digest())
    return outer.digest()


def hkdf_sha256(ikm, salt, info, length=16):
    """HKDF (RFC 5869), extract then expand. length at most 255 * 32 bytes."""
    if not 0 < length <= 255 * 32:
        raise ValueError("HKDF-SHA256 gives 1 to 8160 bytes, not %d" % length)
    prk = hmac_sha256(salt if salt else bytes(32), ikm)
    out = b""
    block = b""
    number = 1
    while len(out) < length:
        block = hmac_sha256(prk, block + info + bytes((number,)))
        out += block
        number += 1
    return out[:length]


def _derive(root, label, device):
    if len(root) != 16:
        raise ValueError("a root key is 16 bytes, not %d" % len(root))
    if not 0 <= device <= 0xFFFFFFFF:
        raise ValueError("a device id is 32 bits")
    return hkdf_sha256(root, SALT, label + struct.pack(">I", device), 16)


def uplink_key(root, device):
    """The key that seals frames from this device. root: 16 bytes; device: int. 16 bytes."""
    return _derive(root, b"uplink", device)


def downlink_key(root, device):
    """The key that seals frames to this device. 16 bytes."""
    return _derive(root, b"downlink", device)


def broker_password(root, device):
    """The device's MQTT password, 32 hex digits; its user name is topics.device_name(device)."""
    return "".join(["%02x" % b for b in _derive(root, b"broker", device)])
