"""What the pictures of measurements have in common: a logarithmic axis and words, for SVG."""

from __future__ import annotations

import math
from typing import Any
from xml.sax.saxutils import escape


class Log:
    """A logarithmic axis: value to place."""

    def __init__(self, low: float, high: float, begin: float, end: float) -> None:
        self._low, self._begin = math.log10(low), begin
        self._scale = (end - begin) / max(math.log10(high) - self._low, 1e-9)

    def __call__(self, value: float) -> float:
        return self._begin + (math.log10(value) - self._low) * self._scale


def text(x: float, y: float, words: str, **more: Any) -> str:
    """more: anchor, size, weight, fill."""
    style = {"text-anchor": more.get("anchor", "start"), "font-size": more.get("size", 13)}
    style |= {"font-weight": more.get("weight", "normal"), "fill": more.get("fill", "#222")}
    attributes = " ".join(f'{name}="{value}"' for name, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}" {attributes}>{escape(words)}</text>'


def svg(width: int, height: int, body: list[str]) -> str:
    """The whole picture, on white."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="system-ui, sans-serif">'
    )
    return "\n".join([head, f'<rect width="{width}" height="{height}" fill="#fff"/>', *body, "</svg>\n"])
