"""What happened in a virtual world, in order: JSON lines that are the same, byte for byte, for the same seed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from typing import Any

LIMIT = 200_000  # lines kept in memory; the digest goes on

Watcher = Callable[[dict[str, Any]], None]


class Trace:
    """add() a line; digest() of all lines; watchers are told each."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.lines_limit = LIMIT
        self.left_off = 0
        self.watchers: list[Watcher] = []
        self._digest = hashlib.sha256()

    def add(self, at_us: int, who: str, what: str, **fields: Any) -> None:
        """One thing: when (microseconds), who (a board, "broker", "gateway", "world"), what, and more."""
        entry = {"at_us": at_us, "who": who, "what": what, **fields}
        line = json.dumps(entry, separators=(",", ":"), sort_keys=False)
        self._digest.update(line.encode() + b"\n")
        if len(self.lines) < self.lines_limit:
            self.lines.append(line)
        else:
            self.left_off += 1
        for watcher in self.watchers:
            watcher(entry)

    def digest(self) -> str:
        return self._digest.hexdigest()

    def text(self) -> str:
        """Every line; beyond the limit, how many more there were."""
        left_off = [json.dumps({"left_off": self.left_off})] if self.left_off else []
        return "".join(line + "\n" for line in self.lines + left_off)
