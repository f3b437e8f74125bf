"""The GPS receiver's UART."""

import asyncio

from machine import UART

_READ_BYTES = 64


class Gps:
    """read() gives the next bytes; the parser is panic/nmea.py."""

    def __init__(self, uart, rx, tx, baud):
        self._stream = asyncio.StreamReader(UART(uart, baudrate=baud, rx=rx, tx=tx))

    async def read(self):
        """At least one byte, at most 64; waits for it."""
        while True:
            data = await self._stream.read(_READ_BYTES)
            if data:
                return data
            # The stream said there was something and there was nothing: let the others run.
            await asyncio.sleep(0.05)
