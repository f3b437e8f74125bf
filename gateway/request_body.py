"""The body of a request from anywhere: bounded in bytes and in time."""

from __future__ import annotations

import asyncio

from starlette.requests import Request


class TooLong(Exception):
    """There are more bytes than may be."""


class TooSlow(Exception):
    """It did not end in time."""


async def read_bounded(request: Request, most_bytes: int, limit_s: float) -> bytes:
    """The whole body. TooLong, TooSlow; starlette's ClientDisconnect when nobody is left to send it."""
    body = bytearray()
    try:
        async with asyncio.timeout(limit_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most_bytes:
                    raise TooLong
    except TimeoutError as error:
        raise TooSlow from error
    return bytes(body)
