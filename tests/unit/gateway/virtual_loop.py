"""asyncio in virtual time: hours pass as fast as the work in them, and threads take no time at all."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

START_US = 1_700_000_000_000_000


class _Jumping:
    """A selector that jumps to the next timer when nothing real is awaited."""

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop, self._real = loop, selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = self._real.select(0)
        if ready or timeout == 0:
            return ready
        if self._loop.in_threads or timeout is None:
            return self._real.select(10.0)  # woken by the thread that ends
        self._loop.now += timeout
        return []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)


class VirtualLoop(asyncio.SelectorEventLoop):
    """time() is `now`, in seconds from 0; it stands still while any thread works."""

    now = 0.0
    in_threads = 0

    def __init__(self) -> None:
        super().__init__(_Jumping(self))  # pyright: ignore[reportArgumentType]

    def time(self) -> float:
        return self.now

    def clock_us(self) -> int:
        """The wall clock that goes with it."""
        return START_US + int(self.now * 1e6)

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        self.in_threads += 1
        future = super().run_in_executor(executor, func, *args)
        future.add_done_callback(self._ended)
        return future

    def _ended(self, _future: Any) -> None:
        self.in_threads -= 1


def run_virtually(check: Callable[[VirtualLoop], Coroutine[Any, Any, None]]) -> None:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, VirtualLoop)
        runner.run(check(loop))
