"""Bodies of requests from anywhere: bounded in bytes and in time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from sigap.headers import HEADERS

BODY_LIMIT_BYTES = 8 * 1024
BODY_LIMIT_S = 10.0
RETRY_S = "2"


async def with_body(request: Request, answer: Callable[[bytes], Awaitable[Response]]) -> Response:
    """answer(the body); or why not: 413 when it is too long, 408 when it takes too long."""
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_LIMIT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_LIMIT_BYTES:
                    return JSONResponse({"error": "too-long"}, 413, {**HEADERS, "connection": "close"})
    except TimeoutError:
        return JSONResponse({"error": "too-slow"}, 408, {**HEADERS, "connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)
    return await answer(bytes(body))
