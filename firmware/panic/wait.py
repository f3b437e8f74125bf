"""Waiting for what an interrupt sets, with a limit, and the log's line for a crash; on both interpreters."""

import asyncio
import sys

from mqtt.flag import LONGEST_MS


async def wait(flag, ms=None):
    """Until the ThreadSafeFlag is set, at most ms milliseconds or an hour: True when it was. Then clear it."""
    ms = LONGEST_MS if ms is None else max(1, min(ms, LONGEST_MS))
    try:
        await asyncio.wait_for(flag.wait(), ms / 1000)
    except asyncio.TimeoutError:
        return False
    flag.clear()
    return True


def print_exception(error):
    """The traceback, to the console."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)
