"""The world of a story: virtual boards that run the real firmware in real time, each in a world process of its own."""

from __future__ import annotations

import contextlib
from collections import deque
from pathlib import Path
from typing import Any

from sigap.local import BROKER, GATEWAY, Button
from sigap.problem import USAGE, Problem
from sigap.processes import sigap_command
from sigap.story.board import AnyBoard, owner_of
from sigap.story.stage import START_LIMIT_S, Stage
from sigap.story.waiting import LIMIT_S, NotSeenError, wait_until
from simulator import observe
from simulator.world.client import WorldClient, WorldLateError
from simulator.world.presses import Script
from simulator.world.settings import HEAP_KB, NAME
from simulator.world.wiring import BOARDS

PLACE = (-6.9904, 110.4229)  # in Semarang, as anybody reads it off a map
LINES_KEPT = 2000
LISTENS = "sigap: mqtt:"  # said once the button's handler is there, whether or not there is a broker
CONNECTED = "sigap: mqtt: connected"


class World:
    """Makes boards; where gateway or broker run, a board that is handed out has been heard by them."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self.boards: dict[str, Board] = {}

    def board(
        self,
        name: str,
        *,
        silent: bool = False,
        site: tuple[float, float] | None = None,
        gps: tuple[float, float] | None = None,
        kind: str = "devkit",
        settings: dict[str, Any] | None = None,
        heap_kb: int = HEAP_KB,
    ) -> Board:
        """Register a button and start its board; returns when it listens, or, with a gateway, has been heard.

        site: degrees (latitude, longitude) where it is mounted. gps: where its receiver is; without site and gps it
        has a receiver somewhere in Semarang, with a site alone it has none. kind: of hardware/boards.
        settings: what more its /device.json says. Problem for a name that is taken or bad.
        """
        if not NAME.fullmatch(name):
            raise Problem(f"a board's name is {name!r}", "Use a-z, 0-9, - and _, at most 40", USAGE)
        there = gps or (PLACE if site is None else None)
        button = Button(
            name,
            owner_of(name),
            silent=silent,
            site=None if site is None else (f"Tempat {name}", *site),
            gps=None if there is None else {"site": list(there)},
            board=kind,
            settings=settings or {},
            heap_kb=heap_kb,
        )
        local = self._stage.local
        device = local.add_button(button)
        folder = local.folder / "worlds" / name
        folder.mkdir(parents=True)
        local.write_world(folder / "boards.json", [(button, device)])
        process = f"world-{name}"
        command = sigap_command("world", "--config", str(folder / "boards.json"), "--run-dir", str(folder))
        self._stage.start_world(process, command)
        self._stage.wait_ready(process, (folder / "world.json").exists)
        board = self.boards[name] = Board(self._stage, name, folder)
        board.wait_made(CONNECTED if self._stage.serves(BROKER) else LISTENS)
        if self._stage.serves(GATEWAY):
            what = f"the gateway's hearing of {name}"
            heard = lambda: local.heard([name])  # noqa: E731
            wait_until(self._stage.clock, heard, what, START_LIMIT_S, board.seen, self._stage.logs())
        return board


class Board(AnyBoard):
    """One virtual board in real time; WorldClient's other faults are at `client`, by its name."""

    def __init__(self, stage: Stage, name: str, folder: Path) -> None:
        super().__init__(name, stage.clock)
        self._stage = stage
        self.client = WorldClient.find(folder)
        stage.at_end(self.client.close)
        self._eye = WorldClient.find(folder)
        stage.at_end(self._eye.close)
        self._eye.watch(name)
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)  # read, and not yet passed over
        self._log: list[dict[str, Any]] = []
        self._seq = 0
        wired = BOARDS[self._state()["board"]]
        self._lamp = (wired["led"]["pin"], wired["led"]["active_high"], wired["buzzer"])

    def reset(self) -> None:
        """Press its reset button; returns when the firmware listens again. RAM is lost, flash stays."""
        self._pass_over_lines()
        self.client.reset(self.name)
        self._wait_listening()
        self._begin_chapter(self._clock.now_s() * 1000)

    def restarts(self) -> int:
        """How often it was reset, or reset itself, since it was made."""
        return self._state()["resets"]

    def memory(self) -> dict[str, int]:
        """Its heap in bytes after a collection: used, free, launcher, and firmware (all but the launcher)."""
        return self.client.memory(self.name)

    def prints(self, text: str, within_s: float = LIMIT_S) -> str:
        __tracebackhide__ = True
        while self._lines:
            if text in (line := self._lines.popleft()):
                return line
        try:
            event = self._eye.event(lambda e: e["event"] == "console" and text in e["text"], within_s)
        except WorldLateError:
            what = f"{self.name} did not print {text!r} within {within_s:g} s; {self.seen()}"
            raise NotSeenError(what, self._stage.logs()) from None
        return event["text"]

    def console(self) -> list[str]:
        return self.client.console(self.name)

    def power(self, on: bool) -> None:
        self._pass_over_lines()
        self.client.power(self.name, on)
        if on:
            self._wait_listening()
        self._begin_chapter(self._clock.now_s() * 1000)

    def wifi(self, on: bool) -> None:
        self._pass_over_lines()
        self.client.wifi(self.name, on)

    def sky(self, on: bool) -> None:
        if self._state()["gps"] is None:
            raise Problem(f"{self.name} has no receiver", "Make it with gps=(latitude, longitude)", USAGE)
        self._pass_over_lines()
        self.client.gps(self.name, {"sky": on})

    def wait_made(self, line: str) -> None:
        """Return when the firmware has printed this line for the first time."""
        wait_until(
            self._clock,
            lambda: any(line in one for one in self.console()),
            f"the start of {self.name}",
            START_LIMIT_S,
            self.seen,
            self._stage.logs(),
        )
        self._pass_over_lines()

    def _wait_listening(self) -> None:
        """Return when the firmware takes presses again; the lines until then can still be asked for."""
        passed: list[str] = []
        while not passed or LISTENS not in passed[-1]:
            passed.append(self.prints("", START_LIMIT_S))
        self._lines.extendleft(reversed(passed))

    def _pass_over_lines(self) -> None:
        self._lines.clear()
        self._eye.boards()  # its answer comes behind every event until now
        with contextlib.suppress(WorldLateError):
            while True:
                self._eye.event(timeout_s=0.0)

    def _state(self) -> dict[str, Any]:
        return self.client.boards()[0]

    def _play(self, script: Script) -> list[float]:
        done = self.client.press(self.name, script=[list(step) for step in script])
        return [one["down_at"] for one in done["presses"]]

    def _begin_chapter(self, at_ms: float) -> None:
        self._log = [entry for entry in self._entries() if entry["at"] >= at_ms]
        super()._begin_chapter(at_ms)

    def _entries(self) -> list[dict[str, Any]]:
        fresh = self.client.pins(self.name, self._seq)
        if fresh:
            self._seq = fresh[-1]["seq"]
            self._log += [entry for entry in observe.translated(fresh, *self._lamp) if entry["at"] >= self._chapter_ms]
        return self._log
