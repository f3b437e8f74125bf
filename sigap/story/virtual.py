"""A story in virtual time: the same words, a day in seconds, the same from the same seed.

Time passes only while the story waits: in a press, in a wait, in `passes`.
"""

from __future__ import annotations

from collections import deque
from pathlib import Path
from typing import Any

from sigap.problem import USAGE, Problem
from sigap.story.alarms import Alarm, AnyGateway, Operator
from sigap.story.board import AnyBoard
from sigap.story.waiting import LIMIT_S, wait_until
from sigap.timeline import stage_of
from sigap.virtual_gateway import VirtualStore
from simulator.virtual.board import Board
from simulator.virtual.world import Button, VirtualWorld
from simulator.world.presses import Script
from simulator.world.settings import NAME

SITE = (-6.9932, 110.4203)  # in Semarang, as anybody reads it off a map
CONNECTED = "sigap: mqtt: connected"
LISTENS = "sigap: mqtt:"  # said once the button's handler is there
START_LIMIT_S = 60.0
LINES_KEPT = 2000


class Virtual:
    """Use as a context manager. seed: of every chance in it. world: all the rest (simulator.virtual.world).

    gateway, broker: as in real time, as far as a virtual one can; they run from the beginning.
    """

    def __init__(self, folder: Path, seed: int = 1) -> None:
        self.world = VirtualWorld(folder, [], seed=seed, make_store=VirtualStore)
        self.broker = VirtualBroker(self)
        self.gateway = VirtualGateway(self)
        self.boards: dict[str, VirtualBoard] = {}

    def __enter__(self) -> Virtual:
        self.world.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.world.__exit__()

    def board(
        self,
        name: str = "board",
        *,
        silent: bool = False,
        site: tuple[float, float] | None = SITE,
        gps: tuple[float, float] | None = None,
    ) -> VirtualBoard:
        """Register a button and start its board; returns when it has connected, a few virtual seconds later.

        site, gps: degrees (latitude, longitude), where it is mounted and where its receiver is; None: it has none.
        """
        if not NAME.fullmatch(name) or name in self.boards:
            raise Problem(f"a board's name is {name!r}", "Use a-z, 0-9, - and _, at most 40, each name once", USAGE)
        track = None if gps is None else [(0.0, *gps)]
        made = self.world.add(Button(name, settings={"site": site, "silent": silent}, track=track))
        board = self.boards[name] = VirtualBoard(self, made)
        board.power(True)
        if self.broker.runs:
            board.prints(CONNECTED, START_LIMIT_S)
        return board

    def passes(self, seconds: float = 0.0, *, minutes: float = 0.0, hours: float = 0.0) -> None:
        """Let so much time pass."""
        self.pass_s(seconds + 60 * minutes + 3600 * hours)

    def now_s(self) -> float:
        """Seconds since this world's start."""
        return self.world.kernel.now_us / 1e6

    def pass_s(self, seconds: float) -> None:
        """The same as `passes`, for the waits."""
        self.world.run(self.now_s() + max(seconds, 0.000_001))


class VirtualBroker:
    """kill() loses what it had in memory, also what a broker on disk would keep since its last save."""

    def __init__(self, virtual: Virtual) -> None:
        self._virtual = virtual
        self.runs = True

    def kill(self) -> None:
        """As `kill -9` does."""
        self.runs = False
        self._virtual.world.kill_broker()

    def start(self) -> None:
        """Start it again."""
        self.runs = True
        self._virtual.world.broker.start()


class VirtualGateway(AnyGateway):
    """The real gateway's ingest, book, outbox and store, under the virtual clock. operator: a human at its desk."""

    def __init__(self, virtual: Virtual) -> None:
        super().__init__(virtual)
        self._world = virtual.world
        self.operator = Operator(self)

    def kill(self) -> None:
        """As `kill -9` does: what was not committed is gone from here."""
        self._world.gateway.kill()

    def start(self) -> None:
        """Start it again; it reads 1.5 s later."""
        self._world.gateway.start()

    def police(self, can_be_reached: bool) -> None:
        """Whether the police accept what they are told; they are told again until they do."""
        self._world.gateway.police_up = can_be_reached

    def act(self, incident: int, stage: str, **fields: str) -> None:
        """An operator's click. Problem when it changes nothing: somebody was first, or it goes backwards."""
        if not self._world.gateway.act(incident, stage, "operator:Operator", **fields):
            raise Problem(f"{stage!r} changes nothing at incident {incident}", "See gateway.stages(alarm)")

    def stages(self, alarm: Alarm) -> dict[str, float]:
        found: dict[str, float] = {}
        for event in self._world.store.events(0):
            stage = stage_of(event["kind"])
            if event["incident"] == alarm.incident and stage is not None:
                found.setdefault(stage, event["at_us"] / 1e6)
        return found

    def _alarms(self) -> list[Alarm]:
        return [
            Alarm(
                board=one["device"],
                activation=one["activation"],
                incident=one["incident"],
                test=one["test"],
                silent=one["silent"],
                state=one["state"],
                pressed_at=one["pressed_us"] / 1e6,
                received_at=one["received_us"] / 1e6,
                position=one["position"],
            )
            for one in self._world.store.alarms()
        ]

    def _how(self) -> str:
        return f"the gateway {'runs' if self._world.gateway.running else 'does not run'}"


class VirtualBoard(AnyBoard):
    """One virtual board in virtual time."""

    def __init__(self, virtual: Virtual, board: Board) -> None:
        super().__init__(board.name, virtual)
        self._virtual, self._board = virtual, board
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)  # not yet passed over
        virtual.world.trace.watchers.append(self._hear)

    def prints(self, text: str, within_s: float = LIMIT_S) -> str:
        __tracebackhide__ = True

        def found() -> str | None:
            while self._lines:
                if text in (line := self._lines.popleft()):
                    return line
            return None

        return wait_until(self._clock, found, f"{text!r} on the console", within_s, self.seen) or ""

    def console(self) -> list[str]:
        return list(self._board.console)

    def power(self, on: bool) -> None:
        self._pass_over_lines()
        if on:
            self._board.power_on()
            printed = lambda: any(LISTENS in line for line in self._lines)  # noqa: E731
            wait_until(self._clock, printed, f"the start of {self.name}", START_LIMIT_S, self.seen)
        else:
            self._board.power_off()
        self._begin_chapter(self._clock.now_s() * 1000)

    def wifi(self, on: bool) -> None:
        self._pass_over_lines()
        self._board.set_wifi(up=on)

    def sky(self, on: bool) -> None:
        sky = self._board.plan.sky
        if sky is None:
            raise Problem(f"{self.name} has no receiver", "Make it with gps=(latitude, longitude)", USAGE)
        self._pass_over_lines()
        sky.view = "open" if on else "none"

    def _hear(self, entry: dict[str, Any]) -> None:
        if entry["who"] == self.name and entry["what"] == "console":
            self._lines.append(entry["text"])

    def _pass_over_lines(self) -> None:
        self._lines.clear()

    def _play(self, script: Script) -> list[float]:
        begin_us = self._virtual.world.kernel.now_us
        self._board.press(script, begin_us)
        self._virtual.pass_s(script[-1][0] / 1000)
        return [begin_us / 1000 + at_ms for at_ms, level in script if level == 0]

    def _entries(self) -> list[dict[str, Any]]:
        return [entry for entry in self._board.pins.since() if entry["at"] >= self._chapter_ms]
