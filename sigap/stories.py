"""Scenarios for the panel: each is a `sigap scenario run` of its own, whose course is read while it goes on."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from typing import Any

from sigap.problem import Problem
from sigap.processes import sigap_command
from simulator.panel.ports import RUNNING
from simulator.scenario import load
from simulator.scenario.report import stage_times
from simulator.scenario.run import Result

MOST_RUNNING = 2
LINE_LIMIT = 4096


class _Run:
    def __init__(self, name: str, seed: int) -> None:
        command = sigap_command("scenario", "run", name, "--seed", str(seed), "--json", "--follow")
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.now: dict[str, Any] = {}
        self.said = ""
        self.result: dict[str, Any] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        assert self.process.stdout
        while line := self.process.stderr.readline(LINE_LIMIT):
            try:
                self.now |= json.loads(line)
            except ValueError:
                self.said = line.strip()  # an error, in words
        with contextlib.suppress(ValueError):
            self.result = json.loads(self.process.stdout.read())
        self.process.wait()

    def state(self) -> dict[str, Any]:
        if self._reader.is_alive():
            return {"state": RUNNING, **self.now}
        if self.result is None:
            return {"state": "failed", "why": self.said or f"it ended with {self.process.returncode}"}
        result = Result(**self.result)
        times = {stage: f"{seconds:.3f} s" for stage, seconds in stage_times(result).items()}
        broken = {"broken": result.broken[0]["why"]} if result.broken else {}
        return {"state": "passed" if result.passed else "failed", **times, **broken}

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self._reader.join()


class Stories:
    """The Scenarios of simulator.panel.ports. Use as a context manager: what still runs is ended."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}

    def __enter__(self) -> Stories:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs.values():
            run.end()

    def names(self) -> list[dict[str, str]]:
        """[{"name", "title"}] of the shipped ones."""
        return [{"name": name, "title": load.load(name).title} for name in load.names()]

    def start(self, name: str, seed: int) -> str:
        """Problem when two run already: they would slow each other, and what runs beside them."""
        if sum(run.state()["state"] == RUNNING for run in self._runs.values()) >= MOST_RUNNING:
            raise Problem(f"{MOST_RUNNING} scenarios run already", "Wait for one to end")
        number = f"{len(self._runs) + 1}"
        self._runs[number] = _Run(name, seed)
        return number

    def state(self, run: str) -> dict[str, Any]:
        """While it runs {"state", "done", "at", "last"}; then the stages in seconds, or what broke."""
        return self._runs[run].state()
