"""DC-09's frames (clause 5): what is sent to a receiver, and what it answers.

A frame is LF, CRC (4 hex digits), length (4 hex digits), body, CR. CRC-16/ARC and length count the body only:
`"id"` sequence `R`receiver `L`prefix `#`account `[`data`]` extended data, timestamp. When encrypted (5.4.4), the id
begins with `*`, and all that follows `[` is AES-CBC with an IV of zeros, in hex, filled up in front with random
characters up to a `|`.
"""

from __future__ import annotations

import re
import secrets
import string
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MOST_BYTES = 1024  # of an answer
_BLOCK = 16
_FILLING = string.ascii_letters + string.digits  # anything but | [ ]
_HEAD = re.compile(
    r'"(?P<encrypted>\*)?(?P<id>[A-Z-]{2,10})"(?P<sequence>\d{4})?(?:R(?P<receiver>[0-9A-Fa-f]{1,6}))?'
    r"(?:L(?P<prefix>[0-9A-Fa-f]{1,6}))?(?:#(?P<account>[0-9A-Fa-f]{3,16})|A0)?\[(?P<rest>.*)\Z"
)
_STAMP = re.compile(r"_(\d{2}:\d{2}:\d{2},\d{2}-\d{2}-\d{4})\Z")


class NotAFrame(ValueError):
    """What came is no DC-09 frame, or a damaged one; says how."""


@dataclass(frozen=True)
class Address:
    """Who speaks to whom: account, receiver number and account prefix, hex digits as they are sent."""

    account: str
    receiver: str = "0"
    prefix: str = "0"


@dataclass(frozen=True)
class Answer:
    """A receiver's frame. kind: ACK, NAK, DUH, RSP. at: its timestamp in seconds UTC, where it has one."""

    kind: str
    sequence: str
    account: str
    at: float | None


def crc16(body: bytes) -> int:
    """CRC-16/ARC: polynomial 0x8005 reflected, beginning with 0."""
    crc = 0
    for byte in body:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ 0xA001 if crc & 1 else crc >> 1
    return crc


def framed(body: bytes) -> bytes:
    """LF, CRC, length, body, CR."""
    return b"\n%04X%04X%s\r" % (crc16(body), len(body), body)


def timestamp(at_s: float) -> str:
    """`_HH:MM:SS,MM-DD-YYYY` in UTC (5.4.6)."""
    return datetime.fromtimestamp(at_s, UTC).strftime("_%H:%M:%S,%m-%d-%Y")


def message(
    kind: str, sequence: int, to: Address, data: str, extended: tuple[str, ...], at_s: float, key: bytes | None
) -> bytes:
    """The frame of one event. kind: SIA-DCS, ADM-CID or NULL. data, extended: without their brackets. at_s: the
    time of this very attempt, which a receiver compares with its clock (5.5.1.9)."""
    rest = f"{data}]{''.join(f'[{each}]' for each in extended)}{timestamp(at_s)}"
    if key is None and kind == "NULL":
        rest = "]" + timestamp(at_s)
    star = "*" if key else ""
    if key:
        rest = encrypted(rest, key)
    head = f'"{star}{kind}"{sequence:04d}R{to.receiver}L{to.prefix}#{to.account}['
    return framed((head + rest).encode("ascii"))


def encrypted(text: str, key: bytes) -> str:
    """Hex of AES-CBC over filling, `|`, text."""
    filling = "".join(secrets.choice(_FILLING) for _ in range(-(len(text) + 1) % _BLOCK))
    encryptor = _cipher(key).encryptor()
    return (encryptor.update(f"{filling}|{text}".encode("ascii")) + encryptor.finalize()).hex().upper()


def decrypted(text: str, key: bytes) -> str:
    """What follows the filling. NotAFrame when it was not made with this key."""
    try:
        sealed = bytes.fromhex(text)
        decryptor = _cipher(key).decryptor()
        plain = (decryptor.update(sealed) + decryptor.finalize()).decode("ascii")
    except ValueError as error:
        raise NotAFrame("its encrypted part cannot be read with our key") from error
    # Of an answer without data some receivers leave the | out.
    filling, bar, rest = plain.partition("|")
    if bar and "]" not in filling:
        return rest
    _, bracket, rest = plain.partition("]")
    if not bracket:
        raise NotAFrame("its encrypted part cannot be read with our key")
    return "]" + rest


def parse(frame: bytes, key: bytes | None) -> Answer:
    """A receiver's answer, with or without LF and CR. NotAFrame with a sentence."""
    frame = frame.strip(b"\r\n\0 ")
    if len(frame) > MOST_BYTES:
        raise NotAFrame(f"an answer of more than {MOST_BYTES} bytes")
    try:
        crc, length, body = int(frame[:4], 16), int(frame[4:8], 16), frame[8:]
        text = body.decode("ascii")
    except ValueError as error:
        raise NotAFrame("an answer that does not begin with CRC and length") from error
    if crc != crc16(body) or length != len(body):
        raise NotAFrame("an answer with a wrong CRC or length")
    found = _HEAD.match(text)
    if found is None:
        raise NotAFrame("an answer that is no DC-09 frame")
    rest = found["rest"]
    if found["encrypted"]:
        if key is None:
            raise NotAFrame("an encrypted answer, and we have no key")
        rest = decrypted(rest, key)
    elif key is not None and found["id"] == "ACK":
        raise NotAFrame("an ACK that is not encrypted, to a message that was")
    stamp = _STAMP.search(rest)
    return Answer(found["id"], found["sequence"] or "", (found["account"] or "").upper(), stamp and _seconds(stamp[1]))


def _seconds(text: str) -> float | None:
    try:
        return datetime.strptime(text, "%H:%M:%S,%m-%d-%Y").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return None


def _cipher(key: bytes) -> Cipher[modes.CBC]:
    return Cipher(algorithms.AES(key), modes.CBC(bytes(_BLOCK)))
