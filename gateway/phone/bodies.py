"""How the SOS page's routes take a body, and what they answer to one that is too long or too slow."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from gateway.request_body import TooLong, TooSlow, read_bounded
from sigap.headers import HEADERS

BODY_LIMIT_BYTES = 8 * 1024
BODY_LIMIT_S = 10.0
RETRY_S = "2"


async def with_body(request: Request, answer: Callable[[bytes], Awaitable[Response]]) -> Response:
    """answer(the body); or why not: 413 when it is too long, 408 when it takes too long."""
    try:
        body = await read_bounded(request, BODY_LIMIT_BYTES, BODY_LIMIT_S)
    except TooLong:
        return JSONResponse({"error": "too-long"}, 413, {**HEADERS, "connection": "close"})
    except TooSlow:
        return JSONResponse({"error": "too-slow"}, 408, {**HEADERS, "connection": "close"})
    except ClientDisconnect:
        return Response(status_code=400)
    return await answer(body)
