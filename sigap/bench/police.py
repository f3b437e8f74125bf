"""A fast police system to tell: `python -m sigap.bench.police PORT`. It takes webhooks over kept connections, says at
once that it has accepted, and prints what it was told of, in hex, as Load.index_of reads it: one line an alarm.

As little as HTTP/1.1 allows, so that what is measured is the gateway: no signature is checked, no path looked at.
"""

from __future__ import annotations

import asyncio
import re
import struct
import sys

from sigap.bench.load import EPOCH

ALARM = re.compile(rb'"alarm": ?"([0-9a-f]{8})-(\d+)"')
LENGTH = re.compile(rb"content-length: *(\d+)", re.I)
BODY = b'{"accepted":true,"reference":"B"}'
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%s" % (len(BODY), BODY)


class Taken(asyncio.Protocol):
    """One connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._waiting = transport, b""

    def data_received(self, data: bytes) -> None:
        self._waiting += data
        while True:
            head, end, rest = self._waiting.partition(b"\r\n\r\n")
            length = LENGTH.search(head)
            if not end or length is None or len(rest) < int(length[1]):
                return
            body, self._waiting = rest[: int(length[1])], rest[int(length[1]) :]
            self._transport.write(ANSWER)
            for device, activation in ALARM.findall(body)[-1:]:  # the newest; those before it were told before
                header = struct.pack(">BBIII", 0, 0, int(device, 16), EPOCH, int(activation))
                sys.stdout.write(header.hex() + "\n")
            sys.stdout.flush()


async def serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Taken, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(serve(int(sys.argv[1])))
