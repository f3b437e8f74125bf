"""What the panel is given from outside, by who composes it (sigap.sim). Called in threads; Problem when it fails."""

from __future__ import annotations

from typing import Any, Protocol

RUNNING = "running"


class Gateway(Protocol):
    """What a gateway beside the world has in its records. Times are Unix ms."""

    def boards(self) -> dict[str, dict[str, Any]]:
        """{board: {"owner", "silent", "site": [lat, lon] or None, "battery_mv" (0: not measured, None: not heard)}}."""
        ...

    def timeline(self) -> list[dict[str, Any]]:
        """The newest alarms, oldest first.

        [{"board", "device", "alarm", "test", "pressed_at", "is_exact": the press time is no minimum,
        "stages": {stage: when it was recorded}}].
        """
        ...


class Scenarios(Protocol):
    """Scenarios that can be started beside the boards."""

    def names(self) -> list[dict[str, str]]:
        """[{"name", "title"}]."""
        ...

    def start(self, name: str, seed: int) -> str:
        """Start one; returns its id. Problem for an unknown name."""
        ...

    def state(self, run: str) -> dict[str, Any]:
        """{"state": "running", "passed" or "failed", and further texts and numbers to show}."""
        ...
