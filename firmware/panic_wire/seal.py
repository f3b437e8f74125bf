"""Sealing and opening whole frames: header(14) | ciphertext | tag(8). Keys come from panic_wire.keys."""

import struct

from panic_wire.ccm import TagError, ccm_open, ccm_seal
from panic_wire.header import BODIES, HEADER_BYTES, TAG_BYTES, FrameError, unpack_header


def nonce(header):
    """The 13-byte CCM nonce: type and stage, device, epoch, counter. Never twice under one key."""
    return struct.pack(">BIII", header.type << 4 | header.stage, header.device, header.epoch, header.counter)


def seal(key, header, body):
    """The frame's bytes. key: uplink_key or downlink_key (16 bytes); body: packed, of its type's length."""
    head = header.pack()
    if len(body) != BODIES[header.type]:
        raise FrameError("bad-body", 9, header.type, len(body))
    return head + ccm_seal(key, nonce(header), head, body, TAG_BYTES)


def open_frame(key, frame):
    """(Header, body bytes) of an authentic frame; FrameError with its reason for anything else."""
    frame = bytes(frame)
    header = unpack_header(frame)
    try:
        body = ccm_open(key, nonce(header), frame[:HEADER_BYTES], frame[HEADER_BYTES:], TAG_BYTES)
    except TagError:
        raise FrameError("bad-tag", 8)
    return header, body
