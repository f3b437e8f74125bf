"""Cutting pieces of a source text by the places that its syntax tree names."""

from __future__ import annotations

import ast
from collections.abc import Iterable

Cut = tuple[int, int, int, int, str]  # line, column in bytes, end line, end column, new text


def module_name(path: str) -> str:
    """panic/app.py -> panic.app; panic/__init__.py -> panic."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def cut_of(node: ast.expr | ast.stmt, text: str) -> Cut:
    """`text` in place of the node."""
    return node.lineno, node.col_offset, node.end_lineno or node.lineno, node.end_col_offset or node.col_offset, text


def replaced(text: str, cuts: Iterable[Cut]) -> str:
    """The text with the cuts made. Lines stay where they are: what spans several is the first, the rest is empty."""
    lines = text.splitlines(keepends=True)
    for line, column, end_line, end_column, new in sorted(cuts, reverse=True):
        first, last = lines[line - 1].encode(), lines[end_line - 1].encode()
        tail = last[end_column:].decode()
        lines[line - 1] = first[:column].decode() + new + ("" if end_line > line else tail)
        if end_line > line:
            for number in range(line, end_line - 1):
                lines[number] = "\n"
            lines[end_line - 1] = tail
            lines[line - 1] += "\n"
    return "".join(lines)
