"""Waiting for an event with a limit, on both interpreters, and the log's line for a crash."""

import asyncio
import sys

# ticks_diff is right for 6.2 days: nothing sleeps longer than an hour without looking at the clock.
LONGEST_MS = 3600000


async def wait(event, ms=None):
    """Until the event (Event or ThreadSafeFlag) is set, at most ms milliseconds or an hour. Then clear it."""
    # Never 0: a mistake that makes a task wait for nothing must leave time to the others.
    ms = LONGEST_MS if ms is None else max(1, min(ms, LONGEST_MS))
    try:
        await asyncio.wait_for(event.wait(), ms / 1000)
    except asyncio.TimeoutError:
        return
    event.clear()


def print_exception(error):
    """The traceback, to the console."""
    if hasattr(sys, "print_exception"):
        sys.print_exception(error)
    else:
        import traceback

        traceback.print_exception(error)
