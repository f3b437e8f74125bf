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

    def start(self, name: str, seed: int, speed: float | None) -> str:
        """Start one; returns the run's id. Problem for an unknown name. speed: as in steer."""
        ...

    def state(self, run: str) -> dict[str, Any]:
        """{"state": "running", "passed", "failed" or "ended", and further texts and numbers to show}."""
        ...

    def story(self, run: str) -> dict[str, Any]:
        """{"name", "seed", "title", "story", "length_s", "buttons": how many, "repeat": the command}."""
        ...

    def course(self, run: str, since: int) -> dict[str, Any]:
        """What has changed since a version (-1: everything); does not block.

        {"version", "whole", "state", "at_s", "speed", "done", "services", "boards": [], "events": [], "result": once it
        has ended}; boards and events are what simulator/scenario/scene.py makes of them.
        """
        ...

    def steer(self, run: str, speed: float | None) -> None:
        """So many seconds of it in one second; 0: it stands still; None: as fast as it goes."""
        ...

    def end(self, run: str) -> None:
        """End it before its time."""
        ...
