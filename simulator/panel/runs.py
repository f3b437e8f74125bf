"""Scenarios that were started from the panel."""

from __future__ import annotations

import threading
import time
from typing import Any

from sigap.problem import Problem
from simulator.panel.ports import RUNNING, Scenarios

MOST = 20
ABANDONED_S = 10.0  # a story that no page has watched for so long is ended; a page that is loaded anew is faster


class Runs:
    """scenarios: None when there are none to start. Its calls take their time, so they are made in threads."""

    def __init__(self, scenarios: Scenarios | None) -> None:
        self._scenarios = scenarios
        self._runs: dict[str, dict[str, Any]] = {}
        self._lock = threading.Lock()
        self._watched_at = time.monotonic()
        self.pages = 0  # of stories, open now

    @property
    def is_there(self) -> bool:
        return self._scenarios is not None

    def names(self) -> list[dict[str, str]]:
        return self._scenarios.names() if self._scenarios else []

    def start(self, name: str, seed: int, speed: float | None) -> str:
        """Start one; returns its id. Problem when it is unknown or refuses."""
        if self._scenarios is None or name not in [each["name"] for each in self._scenarios.names()]:
            raise Problem(f"there is no scenario {name!r}")
        run = self._scenarios.start(name, seed, speed)
        with self._lock:
            self._runs[run] = {"id": run, "name": name, "seed": seed, "state": {"state": RUNNING}}
            while len(self._runs) > MOST:
                del self._runs[next(iter(self._runs))]
        return run

    def the(self, run: str) -> Scenarios:
        """The scenarios, of which this run is one. Problem when it is not."""
        if self._scenarios is None or run not in self._runs:
            raise Problem(f"there is no run {run!r}", "It may be too old: start it again")
        return self._scenarios

    def look(self, is_watched: bool) -> None:
        """Ask how those do that run; end them when nobody has had a page open for a while."""
        if self._scenarios is None:
            return
        if is_watched or self.pages:
            self._watched_at = time.monotonic()
        is_abandoned = time.monotonic() - self._watched_at > ABANDONED_S
        with self._lock:
            running = [run for run, each in self._runs.items() if each["state"]["state"] == RUNNING]
        for run in running:
            if is_abandoned:
                self._scenarios.end(run)
            state = self._scenarios.state(run)
            with self._lock:
                if run in self._runs:
                    self._runs[run] = {**self._runs[run], "state": state}

    def shown(self) -> list[dict[str, Any]]:
        """[{"id", "name", "seed", "state"}], newest first."""
        with self._lock:
            return list(self._runs.values())[::-1]
