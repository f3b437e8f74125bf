"""The line to one receiver: a frame goes out, its answer comes back. TCP (kept open) or UDP, one frame at a time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import cast

from gateway.backends.dc09.frame import MOST_BYTES, Answer, NotAFrame, parse

MOST_ANSWERS = 20  # that belong to something else, before one attempt gives up on the line


class LineError(OSError):
    """No answer was had; says why."""


class Line:
    """host, port: the receiver. datagram: by UDP. key: AES key of its answers."""

    def __init__(self, host: str, port: int, *, datagram: bool, key: bytes | None) -> None:
        self.host, self.port = host, port
        self._datagram, self._key = datagram, key
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._socket: _Datagrams | None = None

    @property
    def where(self) -> str:
        return f"{self.host} port {self.port}"

    async def ask(self, frame: bytes, is_ours: Callable[[Answer], bool], limit_s: float) -> Answer:
        """Send and wait for the answer that is ours. LineError when there is none in time; then the line is new for
        the next one, so that a late answer is never taken for another's."""
        try:
            async with asyncio.timeout(limit_s):
                await self._send(frame)
                for _ in range(MOST_ANSWERS):
                    answer = parse(await self._receive(), self._key)
                    if is_ours(answer):
                        return answer
            raise LineError(f"it sent {MOST_ANSWERS} answers, none of them to what was sent")
        except TimeoutError as error:
            self.hang_up()
            raise LineError(f"no answer of {self.where} within {limit_s:g} s") from error
        except NotAFrame as error:
            self.hang_up()
            raise LineError(f"{self.where} sent {error}") from error
        except LineError:
            self.hang_up()
            raise
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
            self.hang_up()
            raise LineError(_why(error, self.where)) from error
        except BaseException:
            self.hang_up()
            raise

    def hang_up(self) -> None:
        """Let go of the connection; the next frame makes another."""
        if self._writer is not None:
            self._writer.close()
        if self._socket is not None:
            self._socket.close()
        self._reader = self._writer = self._socket = None

    async def _send(self, frame: bytes) -> None:
        if self._datagram:
            if self._socket is None:
                loop = asyncio.get_running_loop()
                _, self._socket = await loop.create_datagram_endpoint(_Datagrams, remote_addr=(self.host, self.port))
            self._socket.send(frame)
            return
        if self._writer is not None and self._reader is not None and self._reader.at_eof():
            self.hang_up()  # it hung up while nothing was said, as many receivers do
        if self._writer is None:
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port, limit=MOST_BYTES)
        self._writer.write(frame)
        await self._writer.drain()

    async def _receive(self) -> bytes:
        if self._socket is not None:
            return await self._socket.receive()
        assert self._reader is not None
        return await self._reader.readuntil(b"\r")


class _Datagrams(asyncio.DatagramProtocol):
    """What came, one answer each; a bounded number waits."""

    def __init__(self) -> None:
        self._came: asyncio.Queue[bytes | OSError] = asyncio.Queue(MOST_ANSWERS)
        self._transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)  # in Python 3.11 it does not say so itself

    def datagram_received(self, data: bytes, addr: tuple[str | object, int]) -> None:
        with contextlib.suppress(asyncio.QueueFull):  # a flood: what is not read is dropped
            self._came.put_nowait(data[: MOST_BYTES + 1])

    def error_received(self, exc: OSError) -> None:
        with contextlib.suppress(asyncio.QueueFull):
            self._came.put_nowait(exc)

    def send(self, frame: bytes) -> None:
        assert self._transport is not None
        self._transport.sendto(frame)

    async def receive(self) -> bytes:
        came = await self._came.get()
        if isinstance(came, OSError):
            raise came
        return came

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _why(error: Exception, where: str) -> str:
    if isinstance(error, asyncio.IncompleteReadError):
        what = "in the middle of its answer" if error.partial else "without an answer"
        return f"{where} closed the connection {what}"
    if isinstance(error, asyncio.LimitOverrunError):
        return f"{where} sent an answer of more than {MOST_BYTES} bytes"
    return f"no connection to {where}: {error.strerror or error}" if isinstance(error, OSError) else str(error)
