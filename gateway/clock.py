"""The gateway's clock. Everything that needs the time is handed a callable like `now_us`; tests hand their own."""

from __future__ import annotations

import time
from collections.abc import Callable

Clock = Callable[[], int]


def now_us() -> int:
    """Microseconds since the Unix epoch, UTC."""
    return time.time_ns() // 1000
