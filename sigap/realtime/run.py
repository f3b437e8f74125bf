"""Runs a scenario in realtime and says what came of it, by the checkers of virtual time, as far as they can see."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from sigap.realtime.stage import RealStage
from sigap.realtime.steps import Steps
from simulator.scenario.checkers import ALL, Checker
from simulator.scenario.model import Scenario
from simulator.scenario.result import Observer, Result

LOOK_S = 0.05
CHECK_EVERY_S = 1.0
MOST_AT_ONCE = 64  # steps under way: a press lasts as long as the thumb


def run(
    scenario: Scenario,
    *,
    name: str,
    seed: int,
    checkers: tuple[type[Checker], ...] = ALL,
    progress: Callable[[float], None] | None = None,
) -> Result:
    """It takes as long as it is, and some seconds to start. Problem when a part of the Sigap ends by itself."""
    began = time.perf_counter()
    with (
        tempfile.TemporaryDirectory(prefix="sigap-realtime-", ignore_cleanup_errors=True) as folder,
        RealStage(scenario, seed, Path(folder)) as stage,
    ):
        observer = Observer(stage, checkers)
        stage.sees.append(observer.see)
        stage.frames.append(
            lambda button, way, frame: (observer.uplink if way == "up" else observer.downlink)(button, frame)
        )
        steps = Steps(stage)
        steps.plan()
        stage.begin()
        try:
            _play(stage, int(scenario.length_s * 1e6), progress)
        finally:
            steps.end()
        stage.end()
        return observer.result(name, seed, time.perf_counter() - began, realtime=True)


def _play(stage: RealStage, until_us: int, progress: Callable[[float], None] | None) -> None:
    """Each step in its time, in a thread of its own; what goes wrong in one ends the story."""
    pool = ThreadPoolExecutor(MOST_AT_ONCE)
    try:
        for job in _plan(stage, until_us, progress, pool):
            job.result()
    except BaseException:
        pool.shutdown(wait=False, cancel_futures=True)  # what is under way ends with the world
        raise
    pool.shutdown()


def _plan(
    stage: RealStage, until_us: int, progress: Callable[[float], None] | None, pool: ThreadPoolExecutor
) -> list[Future[None]]:
    """Until the story's end; what is under way then."""
    checked_s = 0.0
    under_way: list[Future[None]] = []
    while (now_us := stage.now_us) < until_us:
        while due := stage.next_due(min(now_us, until_us)):
            under_way.append(pool.submit(due[1]))
        for job in [job for job in under_way if job.done()]:
            under_way.remove(job)
            job.result()
        if time.monotonic() - checked_s > CHECK_EVERY_S:
            checked_s = time.monotonic()
            stage.watch.check()
            stage.stage.check()
            if progress:
                progress(min(1.0, now_us / until_us))
        time.sleep(LOOK_S if stage.is_idle(now_us + int(LOOK_S * 1e6)) else 0.001)
    return under_way
