"""Scenarios for the panel: each is a `sigap scenario run` of its own, which is watched and steered while it goes on."""

from __future__ import annotations

import contextlib
import json
import subprocess
import threading
from collections import deque
from itertools import count
from typing import Any

from sigap.following import speed_of
from sigap.problem import USAGE, Problem
from sigap.processes import sigap_command
from simulator.panel.ports import RUNNING
from simulator.scenario import load
from simulator.scenario.report import stage_times
from simulator.scenario.run import Result

MOST_RUNNING = 2
MOST_KEPT = 25  # runs, those that have ended too: more than the panel lists
END_LIMIT_S = 5.0
LINE_LIMIT = 1 << 20  # five hundred buttons in one line are 200 kB
EVENTS_KEPT = 300
TOGETHER_S = 2.0  # the same of several buttons within this time is one line


class _Course:
    """What a run has told so far; since() what is new of it. Safe between threads; `version` counts changes."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._version = 0
        self._clock: dict[str, Any] = {"at_s": 0.0, "speed": None, "done": 0.0}
        self._services: dict[str, str] = {}
        self._boards: dict[str, tuple[int, dict[str, Any]]] = {}
        self._events: deque[tuple[int, dict[str, Any]]] = deque(maxlen=EVENTS_KEPT)
        self._numbers = count(1)

    def take(self, line: dict[str, Any]) -> None:
        """A line as sigap/following.py says it."""
        with self._lock:
            self._version += 1
            if "event" in line:
                self._add(line["event"])
                return
            self._clock = {key: line[key] for key in self._clock}
            self._services = line["services"]
            for board in line["boards"]:
                self._boards[board["name"]] = self._version, board

    def _add(self, event: dict[str, Any]) -> None:
        last = self._events[-1][1] if self._events else {"key": "", "who": "", "at_s": 0.0}
        if last["key"] == event["key"] and last["who"] != event["who"] and event["at_s"] - last["at_s"] < TOGETHER_S:
            self._events[-1] = self._version, {**last, "more": last.get("more", 0) + 1}
            return
        self._events.append((self._version, {**event, "number": next(self._numbers)}))

    def done(self) -> float:
        with self._lock:
            return self._clock["done"]

    def at_s(self) -> float:
        with self._lock:
            return self._clock["at_s"]

    def end(self) -> None:
        """It has ended: that is news too."""
        with self._lock:
            self._version += 1

    def since(self, version: int) -> dict[str, Any]:
        """What has changed after this version; a negative one: everything."""
        with self._lock:
            return {
                "version": self._version,
                "whole": version < 0,
                **self._clock,
                "services": self._services,
                "boards": [board for at, board in self._boards.values() if at > version],
                "events": [event for at, event in self._events if at > version],
            }


class _Run:
    def __init__(self, name: str, seed: int, speed: float | None) -> None:
        self.name, self.seed = name, seed
        command = sigap_command("scenario", "run", name, "--seed", str(seed), "--json", "--follow", "--steered")
        # When this process dies, however that comes, the stdin of the story ends, and so does the story.
        self.process = subprocess.Popen(
            [*command, *([] if speed is None else ["--speed", str(speed)])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.course = _Course()
        self.said = ""
        self.result: dict[str, Any] | None = None
        self.is_ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        assert self.process.stdout
        while line := self.process.stderr.readline(LINE_LIMIT):
            try:
                self.course.take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                self.said = line.strip()[:500]  # an error, in words
        with contextlib.suppress(ValueError):
            self.result = json.loads(self.process.stdout.read())
        self.process.wait()
        self.course.end()

    @property
    def runs(self) -> bool:
        return self._reader.is_alive()

    def steer(self, speed: float | None) -> None:
        assert self.process.stdin
        with contextlib.suppress(OSError):  # it has just ended
            self.process.stdin.write(json.dumps({"speed": speed}) + "\n")
            self.process.stdin.flush()

    def state(self) -> dict[str, Any]:
        if self.runs:
            return {"state": RUNNING, "done": f"{self.course.done():.0%}", "at": f"{self.course.at_s():.0f} s"}
        if self.result is None:
            why = "" if self.is_ended else self.said or f"it ended with {self.process.returncode}"
            return {"state": "ended"} if self.is_ended else {"state": "failed", "why": why}
        result = Result(**self.result)
        times = {stage: f"{seconds:.3f} s" for stage, seconds in stage_times(result).items()}
        broken = {"broken": result.broken[0]["why"]} if result.broken else {}
        return {"state": "passed" if result.passed else "failed", **times, **broken}

    def end(self) -> None:
        if self.runs:
            self.is_ended = True
            self.process.terminate()
            self._reader.join(END_LIMIT_S)
            if self.runs:
                self.process.kill()  # its boards end with it, and the next story tidies up
        self._reader.join()
        if self.process.stdin:
            with contextlib.suppress(OSError):
                self.process.stdin.close()


class Stories:
    """The Scenarios of simulator.panel.ports. Use as a context manager: what still runs is ended."""

    def __init__(self) -> None:
        self._runs: dict[str, _Run] = {}
        self._numbers = count(1)
        self._lock = threading.Lock()

    def __enter__(self) -> Stories:
        return self

    def __exit__(self, *_: object) -> None:
        for run in self._runs.values():
            run.end()

    def names(self) -> list[dict[str, str]]:
        """[{"name", "title"}] of the shipped ones."""
        return [{"name": name, "title": load.load(name).title} for name in load.names()]

    def start(self, name: str, seed: int, speed: float | None) -> str:
        """Problem when two run already: they would slow each other, and what runs beside them."""
        with self._lock:
            if sum(run.runs for run in self._runs.values()) >= MOST_RUNNING:
                raise Problem(f"{MOST_RUNNING} scenarios run already", "Wait for one to end")
            number = str(next(self._numbers))
            self._runs[number] = _Run(name, seed, speed)
            for old in [key for key, run in self._runs.items() if not run.runs][: max(0, len(self._runs) - MOST_KEPT)]:
                self._runs.pop(old).end()
            return number

    def state(self, run: str) -> dict[str, Any]:
        """While it runs {"state", "done", "at"}; then the stages in seconds, or what broke."""
        return self._run(run).state()

    def story(self, run: str) -> dict[str, Any]:
        """{"name", "seed", "title", "story", "length_s", "buttons", "repeat"}."""
        one = self._run(run)
        scenario = load.load(one.name)
        return {
            "name": one.name,
            "seed": one.seed,
            "title": scenario.title,
            "story": scenario.story,
            "length_s": scenario.length_s,
            "buttons": len(scenario.names()),
            "repeat": f"sigap scenario run {one.name} --seed {one.seed}",
        }

    def course(self, run: str, since: int) -> dict[str, Any]:
        """As simulator.panel.ports says; {"result"} once it has ended."""
        one = self._run(run)
        has_ended = not one.runs  # looked at first: what came before the end is then in the course
        course = one.course.since(since)
        if not has_ended:
            return {**course, "state": RUNNING}
        return {**course, "state": one.state()["state"], "why": one.said, "result": one.result}

    def steer(self, run: str, speed: float | None) -> None:
        try:
            self._run(run).steer(speed_of(speed))
        except ValueError as error:
            raise Problem(str(error), "0 stands still, null is as fast as it goes", USAGE) from error

    def end(self, run: str) -> None:
        self._run(run).end()

    def _run(self, run: str) -> _Run:
        if run not in self._runs:
            raise Problem(f"there is no run {run!r}", "It may be too old: start it again")
        return self._runs[run]
