"""The GPS receiver's UART."""

import asyncio

from machine import UART, Pin

_READ_BYTES = 64
# UBX-RXM-PMREQ: backup mode until its UART moves (u-blox 8 / M8 receiver description, 32.18.4). Others pass it over.
_REST = b"\xb5\x62\x02\x41\x08\x00\x00\x00\x00\x00\x02\x00\x00\x00\x4d\x3b"
_RISE = b"\xff"


class Gps:
    """read() gives the next bytes; the parser is panic/nmea.py."""

    def __init__(self, uart, rx, tx, baud, standby=None):
        self._standby = None if standby is None else Pin(standby, Pin.OUT, value=1)
        self._uart = UART(uart, baudrate=baud, rx=rx, tx=tx)
        self._stream = asyncio.StreamReader(self._uart)

    def rest(self, asleep):
        """Let the receiver sleep, or wake it; it keeps its almanac and its clock meanwhile."""
        if self._standby:
            self._standby.value(not asleep)
        else:
            self._uart.write(_REST if asleep else _RISE)

    async def read(self):
        """At least one byte, at most 64; waits for it."""
        while True:
            data = await self._stream.read(_READ_BYTES)
            if data:
                return data
            # The stream said there was something and there was nothing: let the others run.
            await asyncio.sleep(0.05)
