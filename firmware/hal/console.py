"""The serial line at the USB plug, where a prompt would be: bytes come one by one, lines go out whole."""

import asyncio
import sys

import micropython


class Console:
    """From here on Ctrl-C is a byte like others."""

    def __init__(self):
        micropython.kbd_intr(-1)
        self._stream = asyncio.StreamReader(sys.stdin.buffer)

    async def read(self):
        """The next byte."""
        return await self._stream.read(1)

    def write(self, text):
        print(text)

    def close(self):
        """Ctrl-C interrupts again."""
        micropython.kbd_intr(3)
