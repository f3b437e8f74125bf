"""A millisecond clock that may wrap, as MicroPython's; on CPython one that does not."""

try:
    from time import ticks_add, ticks_diff, ticks_ms
except ImportError:  # CPython
    from time import monotonic  # pyright: ignore[reportAttributeAccessIssue]

    def ticks_ms():
        return int(monotonic() * 1000)

    def ticks_diff(a, b):
        return a - b

    def ticks_add(a, b):
        return a + b


__all__ = ("ticks_add", "ticks_diff", "ticks_ms")
