"""One story in realtime: a whole Sigap of its own, its buttons, and what checkers and expectations can see of it."""

from __future__ import annotations

import contextlib
import heapq
import json
import threading
import time
from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import sqlalchemy as sa

from gateway.store.engine import Store
from gateway.store.schema import deliveries
from panic_wire import topics
from sigap.local import BROKER, GATEWAY, MAIL, POLICE, WORLD, Button
from sigap.realtime.lines import Lines
from sigap.realtime.watch import Watch
from sigap.store_view import View
from sigap.story.board import owner_of
from sigap.story.gateway import Desk, Gateway
from sigap.story.parts import Broker, Relatives
from sigap.story.police import Police
from sigap.story.stage import Stage
from simulator import observe
from simulator.scenario.model import ButtonPart, Scenario, part_names
from simulator.scenario.seen import Seen
from simulator.scenario.watched import Gesture
from simulator.virtual.gps import COLD_START_S, SKIES
from simulator.virtual.world import journal
from simulator.world.client import WorldClient

WORLD_LIMIT_S = 30.0


class Records(View):
    """The store; freeze() keeps who is online, for when the story is over and its boards are off."""

    def __init__(self, store: Store, zero_us: int) -> None:
        super().__init__(store, zero_us)
        self._frozen: dict[str, dict[str, Any]] | None = None

    def freeze(self) -> None:
        self._frozen = super().devices()

    def devices(self) -> dict[str, dict[str, Any]]:
        return super().devices() if self._frozen is None else self._frozen


class Told(NamedTuple):
    """A delivery that its destination has taken."""

    to: str
    incident: int


class RealStage:
    """Use as a context manager; then `begin`, and `zero_ms` (Unix ms) is the moment 0 of the story.

    add(at_us, who, what, ...) makes an entry like those of a trace; each of `sees` is told it, one after the other.
    """

    def __init__(self, scenario: Scenario, seed: int, folder: Path) -> None:
        self.scenario, self.seed = scenario, seed
        parts = {name: part for part in scenario.buttons for name in part_names(part)}
        self.parts = parts
        self.stage = Stage(folder, tuple(_button(name, part) for name, part in parts.items()), faults=True)
        self.local = self.stage.local
        self.zero_ms = time.time() * 1000
        self._ended_us = 0
        self.sees: list[Callable[[dict[str, Any]], None]] = []
        self.frames: list[Callable[[str, str, bytes], None]] = []  # (button, "up" or "down", frame)
        self.down: set[str] = set()  # services that do not do their work now
        self.trouble: dict[str, set[str]] = {name: {"power"} for name in parts}  # what is wrong with each button now
        self.planned: dict[str, int] = dict.fromkeys(parts, 0)  # resets that the story asked for, and are to come
        self._seen = Seen()
        self._lock = threading.RLock()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self._journals: dict[str, list[str]] = {}
        self._ending = contextlib.ExitStack()

    def __enter__(self) -> RealStage:
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.stage)
            self._prepare()
            self.lines = stack.enter_context(Lines(self.local.links.path, self.seed, self._frame))
            self.stage.start([BROKER, GATEWAY, POLICE, MAIL])
            gateway = Gateway(self.stage)
            for part in (Broker(self.stage), gateway, Police(self.stage, gateway), Relatives(self.stage)):
                part.wait_ready()
            self.desk = Desk(self.stage)
            self.stage.start([WORLD])
            self.stage.wait_ready(WORLD, (self.local.folder / "world.json").exists)
            self._devices = {name: self.local.device(name) for name in self.parts}
            self._eye = stack.enter_context(self.local.world())
            self._ending = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _prepare(self) -> None:
        """Give the world file what a scenario says of its buttons and `sigap run` does not know."""
        path = self.local.folder / "boards.json"
        world = json.loads(path.read_text())
        for board in world["boards"]:
            part = self.parts[board["name"]]
            board |= {"on": False, "gps": _gps(part), "ticks_ms": part.ticks_ms, "wifi": {"join_ms": part.join_ms}}
            if part.heartbeat_s is not None:
                board["device"]["heartbeat_s"] = part.heartbeat_s
            if part.wants_tests:
                who: Any = SimpleNamespace(name=board["name"])
                Relatives(self.stage).add("uji", of=who, wants_tests=True)
        path.write_text(json.dumps(world))

    def begin(self) -> None:
        """It is the moment 0 of the story."""
        self.zero_ms = time.time() * 1000
        self.store = Records(self.local.store, int(self.zero_ms * 1000))
        self.watch = Watch(self._eye, self.store, self.zero_ms, self.add, self._is_planned)
        self.watch.start()

    def end(self) -> None:
        """The story is over: every board loses its power, so that its flash can be read."""
        self._ended_us = self.now_us
        self.watch.stop()
        self.store.freeze()
        with self.local.world() as world:
            for name in self.parts:
                world.power(name, False)
        self.watch.check()

    def client(self) -> WorldClient:
        """A connection of one's own to the world."""
        return self.local.world()

    # The trace

    def add(self, at_us: int, who: str, what: str, **fields: Any) -> None:
        """From any thread."""
        entry = {"at_us": at_us, "who": who, "what": what, **fields}
        with self._lock:
            self._seen.note(entry)
            for see in self.sees:
                see(entry)

    def _frame(self, link: str, way: str, payload: bytes) -> None:
        with self._lock:
            for frame in self.frames:
                frame(link.removeprefix("board:"), way, payload)

    def _is_planned(self, button: str) -> bool:
        with self._lock:
            self.planned[button] -= 1
            if self.planned[button] >= 0:
                return True
            self.planned[button] = 0
            return False

    # What the checkers look at (simulator.scenario.watched)

    @property
    def now_us(self) -> int:
        return self._ended_us or int((time.time() * 1000 - self.zero_ms) * 1000)

    @property
    def buttons(self) -> list[str]:
        return list(self.parts)

    def who(self, pattern: str) -> list[str]:
        return [name for name in self.parts if pattern == "all" or fnmatchcase(name, pattern)]

    def device(self, button: str) -> str:
        return topics.device_name(self._devices[button].id)

    def key(self, button: str) -> bytes:
        return self._devices[button].root_key

    def gestures(self) -> list[Gesture]:
        return self._seen.gestures()

    def said(self, button: str) -> list[observe.Said]:
        return self._seen.said(button, self.pins(button), self.now_us)

    def pins(self, button: str) -> list[dict[str, Any]]:
        with self.client() as world:
            log = [{**entry, "at": entry["at"] - self.zero_ms} for entry in world.pins(button)]
        return [entry for entry in log if entry["at"] <= self.now_us / 1000]

    def journal(self, button: str) -> list[str]:
        return journal(self.local.folder / f"{button}.img")

    def journal_at_end(self, button: str) -> list[str]:
        if button not in self._journals:
            self._journals[button] = self.journal(button)
        return self._journals[button]

    def is_worn(self, button: str) -> bool:
        return False

    def serves(self) -> bool:
        return not self.down & {BROKER, GATEWAY}

    def has_way(self, button: str) -> bool:
        return not self.trouble[button] and self.serves()

    def queues(self) -> list[tuple[str, int, int]]:
        return []  # those of Mosquitto and of another process are not to be seen from here

    def told(self) -> Sequence[tuple[int, Told]]:
        done = sa.select(deliveries).where(deliveries.c.state == "done", ~deliveries.c.destination.like("device:%"))
        with self.local.store.read() as conn:
            rows = conn.execute(done.order_by(deliveries.c.done_at)).all()
        zero_us = int(self.zero_ms * 1000)
        return [(row.done_at - zero_us, Told(_to(row.destination), self.store.number(row.incident_id))) for row in rows]

    def at(self, at_us: int, do: Callable[[], None]) -> None:
        with self._lock:
            heapq.heappush(self._due, (at_us, next(self._order), do))

    def next_due(self, before_us: int) -> tuple[int, Callable[[], None]] | None:
        """What is to be done next, and when, if that is before this moment; it is taken off the list."""
        with self._lock:
            if not self._due or self._due[0][0] > before_us:
                return None
            at_us, _, do = heapq.heappop(self._due)
            return at_us, do

    def is_idle(self, until_us: int) -> bool:
        """Nothing is to be done before this moment."""
        with self._lock:
            return not self._due or self._due[0][0] > until_us


def _to(destination: str) -> str:
    return "relative" if destination.startswith("relative:") else "police"


def _button(name: str, part: ButtonPart) -> Button:
    site = None if part.site is None else (f"Tempat {name}", *part.site)
    return Button(name, owner_of(name), silent=part.silent, site=site)


def _gps(part: ButtonPart) -> dict[str, Any] | None:
    return None if part.track is None else {"track": [list(point) for point in part.track], **sky(part.sky)}


def sky(view: str) -> dict[str, Any]:
    """What a receiver of the realtime world sees, as its settings have it; its positions have no error."""
    fixes, hdop, satellites, _ = SKIES[view]
    return {"sky": fixes, "hdop": hdop, "satellites": satellites, "first_fix_s": COLD_START_S}
