"""An event that one task waits for, with a limit. On MicroPython asyncio.wait_for costs 850 bytes of RAM more (with
64-bit objects) for each that waits: a task of its own, and two coroutines."""

import asyncio
import sys

LONGEST_MS = 3600000  # ticks_diff is right for 6.2 days: nobody sleeps longer than an hour without looking at the clock

if sys.implementation.name == "micropython":
    from asyncio import core  # pyright: ignore[reportAttributeAccessIssue]

    class Flag:
        """set() by anybody but an interrupt; one task at a time may wait()."""

        def __init__(self):
            self._is_set = False
            self._task = None

        def is_set(self):
            return self._is_set

        def set(self):
            self._is_set = True
            task = self._task
            self._task = None
            if task and task.data is None:  # else it is being cancelled
                core._task_queue.remove(task)
                core._task_queue.push(task)

        def clear(self):
            self._is_set = False

        async def wait(self, ms=None):
            """Until it is set, at most ms milliseconds or an hour: True when it was. It is clear afterwards."""
            # Never 0: a mistake that makes a task wait for nothing must leave time to the others.
            ms = 1 if self._is_set else LONGEST_MS if ms is None else max(1, min(ms, LONGEST_MS))
            self._task = core.cur_task
            try:
                await asyncio.sleep_ms(ms)  # pyright: ignore[reportAttributeAccessIssue]
            finally:
                self._task = None
            was, self._is_set = self._is_set, False
            return was

else:

    class Flag(asyncio.Event):
        async def wait(self, ms=None):
            ms = LONGEST_MS if ms is None else max(1, min(ms, LONGEST_MS))
            try:
                await asyncio.wait_for(super().wait(), ms / 1000)
            except asyncio.TimeoutError:
                return False
            self.clear()
            return True
