# AES-CCM (RFC 3610) over a function that encrypts whole 16-byte blocks with AES-ECB.
#
# Only MicroPython uses it (see ccm.py). It is written for frames: L is 2 (a 13-byte nonce), the text is
# shorter than 64 KiB and the associated data shorter than 0xFF00 bytes.


def _padded(data):
    return data + bytes(-len(data) % 16)


def _tag(encrypt, nonce, aad, text, tag_len):
    """The CBC-MAC over B_0, the associated data and the text (RFC 3610 section 2.2), untruncated."""
    flags = (0x40 if aad else 0) | ((tag_len - 2) // 2) << 3 | 1
    blocks = bytes((flags,)) + nonce + bytes((len(text) >> 8, len(text) & 0xFF))
    if aad:
        blocks += _padded(bytes((len(aad) >> 8, len(aad) & 0xFF)) + aad)
    blocks += _padded(text)
    state = bytearray(16)
    for start in range(0, len(blocks), 16):
        for i in range(16):
            state[i] ^= blocks[start + i]
        state = bytearray(encrypt(bytes(state)))
    return state


def _key_stream(encrypt, nonce, length):
    """S_0, S_1, ... (RFC 3610 section 2.3), enough for a tag and `length` bytes of text, in one call."""
    counters = bytearray()
    for i in range(1 + (length + 15) // 16):
        counters += bytes((1,)) + nonce + bytes((i >> 8, i & 0xFF))
    return encrypt(bytes(counters))


def _check(nonce, aad, length, tag_len):
    if len(nonce) != 13:
        raise ValueError("a CCM nonce is 13 bytes, not %d" % len(nonce))
    if tag_len not in (4, 6, 8, 10, 12, 14, 16):
        raise ValueError("a CCM tag is an even number of bytes from 4 to 16, not %d" % tag_len)
    if length > 0xFFFF or len(aad) >= 0xFF00:
        raise ValueError("too long for CCM with a 2-byte length")


def seal_with(encrypt, nonce, aad, plaintext, tag_len):
    """Ciphertext and tag. `encrypt(blocks)` is AES-ECB encryption under the key."""
    _check(nonce, aad, len(plaintext), tag_len)
    tag = _tag(encrypt, nonce, aad, plaintext, tag_len)
    stream = _key_stream(encrypt, nonce, len(plaintext))
    out = bytearray(len(plaintext) + tag_len)
    for i in range(len(plaintext)):
        out[i] = plaintext[i] ^ stream[16 + i]
    for i in range(tag_len):
        out[len(plaintext) + i] = tag[i] ^ stream[i]
    return bytes(out)


def open_with(encrypt, nonce, aad, sealed, tag_len):
    """The plaintext, or None when the tag is wrong; takes as long wherever the first wrong byte is."""
    length = len(sealed) - tag_len
    _check(nonce, aad, length, tag_len)
    if length < 0:
        return None
    stream = _key_stream(encrypt, nonce, length)
    text = bytearray(length)
    for i in range(length):
        text[i] = sealed[i] ^ stream[16 + i]
    text = bytes(text)
    tag = _tag(encrypt, nonce, aad, text, tag_len)
    difference = 0
    for i in range(tag_len):
        difference |= tag[i] ^ stream[i] ^ sealed[length + i]
    return text if difference == 0 else None
