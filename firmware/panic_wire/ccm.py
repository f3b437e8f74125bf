"""AES-128-CCM (RFC 3610, L=2): one interface, chosen here for the interpreter that runs it.

CPython: `cryptography`'s AESCCM. MicroPython: cryptolib's AES-ECB with CCM in Python (ccm_ecb.py).
"""

import sys


class TagError(ValueError):
    """The tag does not belong to these bytes under this key."""


if sys.implementation.name == "micropython":
    from cryptolib import aes  # type: ignore[import-not-found]

    from panic_wire.ccm_ecb import open_with, seal_with

    def _seal(key, nonce, aad, plaintext, tag_len):
        return seal_with(aes(key, 1).encrypt, nonce, aad, plaintext, tag_len)

    def _open(key, nonce, aad, sealed, tag_len):
        return open_with(aes(key, 1).encrypt, nonce, aad, sealed, tag_len)

else:
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    def _seal(key, nonce, aad, plaintext, tag_len):
        return AESCCM(key, tag_len).encrypt(nonce, plaintext, aad)

    def _open(key, nonce, aad, sealed, tag_len):
        if len(sealed) < tag_len:
            return None
        try:
            return AESCCM(key, tag_len).decrypt(nonce, sealed, aad)
        except InvalidTag:
            return None


def _check(key, nonce):
    if len(key) != 16:
        raise ValueError("an AES-128 key is 16 bytes, not %d" % len(key))
    if len(nonce) != 13:
        raise ValueError("a CCM nonce with L=2 is 13 bytes, not %d" % len(nonce))


def ccm_seal(key, nonce, aad, plaintext, tag_len=8):
    """Ciphertext followed by the tag. key 16 bytes, nonce 13 bytes, used once under this key."""
    _check(key, nonce)
    return _seal(key, nonce, aad, plaintext, tag_len)


def ccm_open(key, nonce, aad, sealed, tag_len=8):
    """The plaintext of ccm_seal's result; TagError when a byte or the key is another one."""
    _check(key, nonce)
    text = _open(key, nonce, aad, sealed, tag_len)
    if text is None:
        raise TagError("wrong key, or bytes changed")
    return text
