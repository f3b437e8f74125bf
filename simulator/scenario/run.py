"""Runs a scenario in virtual time and says what came of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import yaml

from sigap.problem import Problem
from simulator.scenario.checkers import ALL, Broken, Checker
from simulator.scenario.expect import Judge
from simulator.scenario.model import Scenario
from simulator.scenario.stage import Stage
from simulator.virtual.world import Registry

MakeStore = Callable[[Path], Registry]
MEMORY = Path("/dev/shm")  # the store's fdatasync costs nothing there, and no power cut of ours reaches it
PREFIX = "sigap-scenario-"
OWNER = "owner.lock"
MOST_RECORDED = 10_000  # frames of a button, for whoever replays them
KEPT = ("opened", "alarm_joined", "accepted", "acknowledged", "dispatched", "on_scene", "closed", "reset")
CRASHED = "no-fault"


@dataclass
class Result:
    """What a run came to.

    stages: {button: {stage: seconds from the press}}. digest: of the whole trace. checked: {promise: how often there
    was something to check}. expected: [{"what": the expectation as its file has it, "held"}].
    """

    scenario: str
    seed: int
    passed: bool
    broken: list[dict[str, Any]]
    stages: dict[str, dict[str, float]]
    virtual_s: float
    took_s: float
    digest: str
    checked: dict[str, int] = field(default_factory=dict)
    expected: list[dict[str, Any]] = field(default_factory=list)
    trace: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Without the trace."""
        return {key: value for key, value in asdict(self).items() if key != "trace"}


def run(
    scenario: Scenario,
    *,
    name: str,
    seed: int,
    make_store: MakeStore,
    checkers: tuple[type[Checker], ...] = ALL,
    progress: Callable[[float], None] | None = None,
    watch: Callable[[dict[str, Any]], None] | None = None,
    keep_trace: bool = False,
    **more: Any,
) -> Result:
    """Run it from `seed`. progress(share) is called now and then, watch(entry) for each entry of the trace.

    more: for the world (another firmware folder).
    """
    began = time.perf_counter()
    base = MEMORY if MEMORY.is_dir() else Path(tempfile.gettempdir())
    _sweep(base)
    folder = Path(tempfile.mkdtemp(prefix="new-" + PREFIX, dir=base))
    try:
        with (folder / OWNER).open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            folder = folder.rename(base / folder.name.removeprefix("new-"))  # only now can a sweep see it
            with Stage(scenario, seed, folder, make_store, more) as stage:
                return _run(stage, name, checkers, progress, watch, keep_trace, began)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        raise Problem(f"{base} is full, and {name} needs room for its flash images", "Free some space there") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(base: Path) -> None:
    """Remove what a run that was killed has left: its lock is free."""
    for folder in base.glob(PREFIX + "*"):
        with contextlib.suppress(OSError), (folder / OWNER).open("r+") as lock:  # held, gone, or another user's
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(folder, ignore_errors=True)


def _run(
    stage: Stage,
    name: str,
    checkers: tuple[type[Checker], ...],
    progress: Callable[[float], None] | None,
    watch: Callable[[dict[str, Any]], None] | None,
    keep_trace: bool,
    began: float,
) -> Result:
    world, length_s = stage.world, stage.scenario.length_s
    watching = [make(stage) for make in checkers]
    events: list[dict[str, Any]] = []
    crashed: list[Broken] = []
    if not keep_trace:
        world.trace.lines_limit = 0

    def see(entry: dict[str, Any]) -> None:
        if entry["what"] in KEPT:
            events.append(entry)
        if entry["what"] == "gave-up" or (entry["what"] == "console" and entry["text"].startswith("Traceback")):
            crashed.append(Broken(CRASHED, entry["at_us"], f"{entry['who']}: {entry.get('text') or 'resets in a row'}"))
        for checker in watching:
            checker.see(entry)

    if watch:
        world.trace.watchers.append(watch)
    world.trace.watchers.append(see)
    _tap(stage, watching)
    parts = 50
    for part in range(1, parts + 1):
        world.run(length_s * part / parts)
        if progress:
            progress(part / parts)
    for checker in watching:
        checker.end()
    judge = Judge(stage, events)
    broken = [each for checker in watching for each in checker.broken if each.promise not in stage.scenario.gives_up]
    broken += crashed[:3] if CRASHED not in stage.scenario.gives_up else []
    judged = [(expect, judge.find(expect)) for expect in stage.scenario.expect]
    broken += [each for _, found in judged for each in found]
    return Result(
        scenario=name,
        seed=stage.seed,
        passed=not broken,
        broken=[{"promise": each.promise, "at_s": each.at_us / 1e6, "why": each.why} for each in broken],
        stages=judge.stages,
        virtual_s=length_s,
        took_s=round(time.perf_counter() - began, 2),
        digest=world.trace.digest(),
        checked={checker.name: checker.seen for checker in watching},
        expected=[
            {"what": expect.model_dump(exclude_none=True, exclude_unset=True), "held": not found}
            for expect, found in judged
        ],
        trace=world.trace.text() if keep_trace else "",
    )


def _tap(stage: Stage, watching: list[Checker]) -> None:
    """Show every frame at the broker to the checkers; keep the uplinks, for whoever replays them."""
    buttons = {device: name for name, device in stage.world.device_names.items()}

    def down(topic: str, payload: bytes) -> None:
        if button := buttons.get(topic.split("/")[3]):
            for checker in watching:
                checker.downlink(button, payload)

    def up(topic: str, payload: bytes) -> None:
        button = buttons.get(topic.split("/")[3])
        if button and topic.endswith("/up"):
            kept = stage.recorded.setdefault(button, [])
            if len(kept) < MOST_RECORDED:
                kept.append((topic, payload))
            for checker in watching:
                checker.uplink(button, payload)

    stage.world.broker.downlinks.append(down)
    stage.world.broker.uplinks.append(up)


def dump(scenario: Scenario) -> str:
    """The scenario as a file's text."""
    value = scenario.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)
