"""A DC-09 receiver: TCP and UDP on one port, ACK to every event, NAK to a wrong time, DUH to what it does not know."""

from __future__ import annotations

import asyncio
import re
import socket
import time
from calendar import timegm
from collections.abc import Callable
from typing import Any, cast

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

MOST_BYTES = 2048
PORT_TRIES = 20  # for any free one
BEHIND_S, AHEAD_S = 40, 20  # a timestamp may be so far from ours (5.5.1.9)
_FRAME = re.compile(
    rb"\n(?P<crc>[0-9A-F]{4})(?P<length>[0-9A-F]{4})"
    rb'(?P<body>"(?P<star>\*?)(?P<id>[A-Z-]+)"(?P<sequence>\d{4})(?P<receiver>R[0-9A-F]{1,6})?'
    rb"(?P<prefix>L[0-9A-F]{1,6})(?P<account>#[0-9A-F]{3,16})?\[(?P<rest>[^\r]*))\r"
)
_REST = re.compile(r"(?:#[0-9A-F]+\|)?(?P<event>[^\]]*)\](?P<extended>(?:\[[^\]]*\])*)_(?P<stamp>[0-9:,-]{19})")
KNOWN = ("SIA-DCS", "ADM-CID", "NULL")


class Receiver:
    """heard: called with what came, {"event", "account", "sequence", "extended", "answer"}. key: AES, or None.
    behave: what to answer in place of what is right: "", nak, duh, silent; `clock_s` is added to its clock."""

    def __init__(self, heard: Callable[[dict[str, Any]], None], key: bytes | None = None) -> None:
        self._heard, self._key = heard, key
        self.behave, self.clock_s = "", 0.0

    async def listen(self, host: str, port: int) -> int:
        """Begin; returns the port, which is one for both."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        for left in reversed(range(1 if port else PORT_TRIES)):
            try:
                return await self._listen(host, port, family)
            except OSError:  # a port that is free for TCP may be taken for UDP
                if left == 0:
                    raise
        raise AssertionError

    async def _listen(self, host: str, port: int, family: socket.AddressFamily) -> int:
        server = await asyncio.start_server(self._serve, host, port, family=family, limit=MOST_BYTES)
        port = server.sockets[0].getsockname()[1]
        loop = asyncio.get_running_loop()
        try:
            await loop.create_datagram_endpoint(lambda: _Datagrams(self.answer), (host, port), family=family)
        except OSError:
            server.close()
            raise
        return port

    def answer(self, frame: bytes) -> bytes | None:
        """What to send back for one frame, or None: what is damaged gets no answer, and comes again."""
        found = _FRAME.fullmatch(frame)
        if found is None or not _is_whole(found):
            self._heard({"event": "", "answer": None, "damaged": frame[:200].decode("ascii", "replace")})
            return None
        rest = self._open(found["rest"].decode("latin-1"), found["star"] == b"*")
        parts = _REST.fullmatch(rest) if rest is not None else None
        kind = found["id"].decode()
        says = self._says(kind, parts)
        heard = {
            "event": kind if kind == "NULL" or parts is None else parts["event"],
            "account": (found["account"] or b"").decode(),
            "sequence": found["sequence"].decode(),
            "extended": [] if parts is None else re.findall(r"\[([^\]]*)\]", parts["extended"]),
            "answer": says or None,
        }
        self._heard(heard)
        if not says:
            return None
        now = time.strftime("_%H:%M:%S,%m-%d-%Y", time.gmtime(time.time() + self.clock_s))
        if says == "NAK":
            return _framed(f'"NAK"0000R0L0A0[]{now}')
        to = "".join((found[name] or b"").decode() for name in ("receiver", "prefix", "account"))
        if says == "ACK" and self._key:
            return _framed(f'"*ACK"{heard["sequence"]}{to}[{self._seal("]" + now)}')
        return _framed(f'"{says}"{heard["sequence"]}{to}[]')

    def _says(self, kind: str, parts: re.Match[str] | None) -> str:
        if self.behave:
            return "" if self.behave == "silent" else self.behave.upper()
        if kind not in KNOWN or parts is None:
            return "DUH"
        try:
            stamped = timegm(time.strptime(parts["stamp"], "%H:%M:%S,%m-%d-%Y"))
        except ValueError:
            return "DUH"
        return "ACK" if -BEHIND_S <= stamped - (time.time() + self.clock_s) <= AHEAD_S else "NAK"

    def _open(self, text: str, is_sealed: bool) -> str | None:
        if is_sealed != (self._key is not None):
            return None
        if self._key is None:
            return text
        try:
            cipher = Cipher(algorithms.AES(self._key), modes.CBC(bytes(16))).decryptor()
            plain = (cipher.update(bytes.fromhex(text)) + cipher.finalize()).decode("ascii")
        except ValueError:
            return None
        return plain.partition("|")[2]

    def _seal(self, text: str) -> str:
        assert self._key is not None
        plain = "9" * (-(len(text) + 1) % 16) + "|" + text
        cipher = Cipher(algorithms.AES(self._key), modes.CBC(bytes(16))).encryptor()
        return (cipher.update(plain.encode()) + cipher.finalize()).hex().upper()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while frame := await reader.readuntil(b"\r"):
                if (answer := self.answer(frame)) is not None:
                    writer.write(answer)
                    await writer.drain()
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError):
            return  # the other side went, or sends what is no frame
        finally:
            writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, answer: Callable[[bytes], bytes | None]) -> None:
        self._answer = answer

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # in Python 3.11 it does not say so itself

    def datagram_received(self, data: bytes, addr: tuple[str | Any, int]) -> None:
        if (answer := self._answer(data[:MOST_BYTES])) is not None:
            self._transport.sendto(answer, addr)


def _is_whole(found: re.Match[bytes]) -> bool:
    body = found["body"]
    return int(found["crc"], 16) == _crc(body) and int(found["length"], 16) == len(body)


def _crc(body: bytes) -> int:
    """CRC-16/ARC, by its table, which is another way than the gateway's."""
    crc = 0
    for byte in body:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc


def _entry(index: int) -> int:
    for _ in range(8):
        index = index >> 1 ^ (0xA001 if index & 1 else 0)
    return index


_TABLE = tuple(_entry(index) for index in range(256))


def _framed(body: str) -> bytes:
    return f"\n{_crc(body.encode()):04X}{len(body):04X}{body}\r".encode()
