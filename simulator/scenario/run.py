"""Runs a scenario in virtual time and says what came of it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from sigap.problem import Problem
from simulator.scenario.checkers import ALL, Checker
from simulator.scenario.model import Scenario
from simulator.scenario.result import Observer, Result
from simulator.scenario.stage import Stage
from simulator.virtual.world import Registry

MakeStore = Callable[[Path], Registry]
MEMORY = Path("/dev/shm")  # the store's fdatasync costs nothing there, and no power cut of ours reaches it
PREFIX = "sigap-scenario-"
OWNER = "owner.lock"
MOST_RECORDED = 10_000  # frames of a button, for whoever replays them


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
    observer = Observer(stage, checkers)
    if not keep_trace:
        world.trace.lines_limit = 0
    if watch:
        world.trace.watchers.append(watch)
    world.trace.watchers.append(observer.see)
    _tap(stage, observer)
    parts = 50
    for part in range(1, parts + 1):
        world.run(length_s * part / parts)
        if progress:
            progress(part / parts)
    result = observer.result(name, stage.seed, 0.0)
    result.took_s = round(time.perf_counter() - began, 2)
    result.digest = world.trace.digest()
    result.trace = world.trace.text() if keep_trace else ""
    return result


def _tap(stage: Stage, observer: Observer) -> None:
    """Show every frame at the broker to the checkers; keep the uplinks, for whoever replays them."""
    buttons = {device: name for name, device in stage.world.device_names.items()}

    def down(topic: str, payload: bytes) -> None:
        if button := buttons.get(topic.split("/")[3]):
            observer.downlink(button, payload)

    def up(topic: str, payload: bytes) -> None:
        button = buttons.get(topic.split("/")[3])
        if button and topic.endswith("/up"):
            kept = stage.recorded.setdefault(button, [])
            if len(kept) < MOST_RECORDED:
                kept.append((topic, payload))
            observer.uplink(button, payload)

    stage.way.watch(observer.uplink, observer.downlink)
    stage.world.broker.downlinks.append(down)
    stage.world.broker.uplinks.append(up)


def dump(scenario: Scenario) -> str:
    """The scenario as a file's text."""
    value = scenario.model_dump(mode="json", exclude_defaults=True)
    return yaml.safe_dump(value, sort_keys=False, width=110, allow_unicode=True)
