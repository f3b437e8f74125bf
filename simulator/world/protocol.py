"""The world's protocol: one JSON object a line over TCP (simulator/PROTOCOL.md).

Reading with limits, errors with stable names.
"""

from __future__ import annotations

import asyncio
import json
from typing import Any

VERSION = 1  # of simulator/PROTOCOL.md; a peer that speaks another is not let in
LINE_LIMIT_BYTES = 64 << 10
BOARD_LINE_LIMIT_BYTES = 1000  # the board's line buffer has 1024

Message = dict[str, Any]


class ProtocolError(Exception):
    """error: stable slug; message: a sentence; fatal: the connection cannot go on."""

    def __init__(self, error: str, message: str, fatal: bool = False) -> None:
        super().__init__(message)
        self.error, self.message, self.fatal = error, message, fatal


def encode(message: Message) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def encode_for_board(message: Message) -> bytes:
    """As encode; raises ProtocolError when the line would not fit into the board's buffer."""
    line = encode(message)
    if len(line) > BOARD_LINE_LIMIT_BYTES:
        raise ProtocolError(
            "too-long", f"a message to a board may have {BOARD_LINE_LIMIT_BYTES} bytes, not {len(line)}"
        )
    return line


def decode(line: bytes) -> Message:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:  # RecursionError: a line of opening brackets
        raise ProtocolError("bad-json", "this line is not JSON") from error
    if not isinstance(message, dict):
        raise ProtocolError("bad-json", "a message is a JSON object")
    return message


async def read_message(reader: asyncio.StreamReader) -> Message | None:
    """The next message, or None at the end of the connection (also when it ends within a line)."""
    try:
        line = await reader.readuntil(b"\n")
    except asyncio.IncompleteReadError:
        return None
    except asyncio.LimitOverrunError as error:
        raise ProtocolError("too-long", f"a line may have {LINE_LIMIT_BYTES} bytes", fatal=True) from error
    except ConnectionError:
        return None
    return decode(line)


def refusal(error: ProtocolError, request: Message | None = None) -> Message:
    """The answer to a request that failed."""
    answer: Message = {"ok": False, "error": error.error, "message": error.message}
    if request and "id" in request:
        answer["id"] = request["id"]
    return answer
