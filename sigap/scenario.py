"""`sigap scenario`: stories in virtual time, with the real firmware and the gateway's own code."""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import re
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import click

from sigap.following import Following
from sigap.problem import USAGE, Problem
from sigap.processes import die_with_parent, interruptible
from sigap.realtime import able
from sigap.virtual_gateway import VirtualStore
from simulator.scenario import load, model, report
from simulator.scenario.draw import draw
from simulator.scenario.explore import shrink
from simulator.scenario.run import Result, dump, run

FINDS = Path("build/explore")
LONG_S = 2.0
Work = Callable[[str, int], Result]  # (name, seed)


@click.group()
def scenario() -> None:
    """Run stories in virtual time: the real firmware, a modelled network, the gateway's own code, a seed.

    \b
    sigap scenario list                        the stories there are
    sigap scenario run shop-robbery-silent     one, and what came of it
    sigap scenario run --all                   all, as a table of seconds from the press to each stage
    sigap scenario run my-story.yaml --seed 7  your own, from another seed
    sigap scenario run no-sky --realtime       with real processes, as long as it is
    sigap scenario explore --minutes 5         random worlds, until a promise breaks
    """


@scenario.command("list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document instead of a table.")
def list_(as_json: bool) -> None:
    """Name every shipped story; and say which also run with --realtime."""
    found = {name: load.load(name) for name in load.names()}
    if as_json:
        listed = [
            {
                "scenario": name,
                "title": each.title,
                "length_s": each.length_s,
                "buttons": len(each.names()),
                "realtime": able.why_not(each) is None,
                "why_not_realtime": able.said(name),
            }
            for name, each in found.items()
        ]
        click.echo(json.dumps(listed, ensure_ascii=False))
        return
    width = max(len(name) for name in found)
    for name, each in found.items():
        mark = "realtime" if able.why_not(each) is None else ""
        click.echo(f"{name:{width}}  {mark:8}  {each.title}")


@scenario.command()
@click.argument("name")
def show(name: str) -> None:
    """Print a story as its file says it."""
    load.load(name)
    click.echo(load.path_of(name).read_text(), nl=False)


@scenario.command()
def schema() -> None:
    """Print the JSON Schema of a story's file, for an editor."""
    click.echo(json.dumps(model.schema(), indent=2))


@scenario.command("run")
@click.argument("names", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="Every shipped story that does not take many minutes.")
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="Another seed, another course.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout: a result, or a list of them.")
@click.option("--junit", type=click.Path(path_type=Path, dir_okay=False), help="Also write JUnit XML to this file.")
@click.option(
    "--trace", type=click.Path(path_type=Path, dir_okay=False), help="Of one story: all that happened, as JSON lines."
)
@click.option("--follow", is_flag=True, help="Of one story: say on stderr what happens, as JSON lines.")
@click.option("--speed", type=click.FloatRange(0), help="With --follow: so many seconds of it in one; else as it goes.")
@click.option(
    "--steered", is_flag=True, help='With --follow: {"speed": 10} on stdin changes it; at its end, so ends all.'
)
@click.option("--realtime", is_flag=True, help="With real processes: it takes as long as it is.")
@click.option("--workers", default=0, type=click.IntRange(0, 64), help="Stories side by side; 0: one a processor.")
def run_(
    names: tuple[str, ...],
    is_all: bool,
    seed: int,
    as_json: bool,
    junit: Path | None,
    trace: Path | None,
    follow: bool,
    speed: float | None,
    steered: bool,
    realtime: bool,
    workers: int,
) -> None:
    """Run stories and say which promises held. Exit code 1 when one broke.

    Every run is watched by checkers: what was receipted is in the store, what was not is in the button's journal, the
    light tells the truth, and so on (docs/simulator.md). A failure names the seed and the command that repeats it.
    """
    if bool(names) == is_all:
        raise Problem("which story?", "Name one or more, or give --all; `sigap scenario list` shows them", USAGE)
    if (trace or follow) and len(names) != 1:
        raise Problem("--trace and --follow are for one story", "Name just one", USAGE)
    if (speed is not None or steered) and not follow:
        raise Problem("--speed and --steered are for a story that is followed", "Give --follow too", USAGE)
    chosen = load.quick() if is_all else list(names)
    for name in chosen:
        load.load(name)  # a mistake in a file is said before anything runs
    if realtime:
        if trace or follow:
            raise Problem("--trace and --follow are for virtual time", "Leave them out, or --realtime", USAGE)
        chosen = [name for name in chosen if not is_all or able.said(name) is None]
        for name in chosen:
            able.require(name)
    with interruptible():
        alone = len(chosen) == 1
        if alone and realtime:
            bar = _Bar(chosen[0])
            results = [_in_realtime(chosen[0], seed, bar.progress)]
            bar.end()
        elif alone:
            course = Following(load.load(chosen[0]), speed, steered) if follow else _Bar(chosen[0])
            results = [_alone(chosen[0], seed, trace, course)]
        else:
            results = list(_side_by_side(chosen, seed, workers, _work_in_realtime if realtime else _work))
    if junit:
        junit.write_text(report.junit(results))
    if as_json:
        documents = [result.to_dict() for result in results]
        click.echo(json.dumps(documents[0] if len(names) == 1 else documents, ensure_ascii=False))
    else:
        click.echo(report.table(results))
    failed = [result for result in results if not result.passed]
    for result in failed:
        click.echo("\n" + report.failure(result), err=True)
    if failed:
        raise Problem(f"{len(failed)} of {len(results)} stories failed", "See above")


def _alone(name: str, seed: int, trace: Path | None, course: Following | _Bar) -> Result:
    """With a progress bar when it takes longer than two seconds; or with its events, as they happen."""
    result = run(
        load.load(name),
        name=name,
        seed=seed,
        make_store=VirtualStore,
        progress=course.progress,
        watch=course.watch if isinstance(course, Following) else None,
        keep_trace=trace is not None,
    )
    course.end()
    if trace is not None:
        trace.write_text(result.trace)
    return result


class _Bar:
    def __init__(self, name: str) -> None:
        self._name, self._began = name, time.monotonic()
        self._bar: Any = None  # click's own type of it is private

    def progress(self, share: float) -> None:
        if self._bar is None and time.monotonic() - self._began > LONG_S:
            self._bar = click.progressbar(length=100, label=self._name, file=sys.stderr)
        if self._bar is not None:
            self._bar.update(int(share * 100) - int(self._bar.pos))

    def end(self) -> None:
        if self._bar is not None:
            self._bar.render_finish()


def _work(name: str, seed: int) -> Result:
    return run(load.load(name), name=name, seed=seed, make_store=VirtualStore)


def _work_in_realtime(name: str, seed: int) -> Result:
    with interruptible():  # its Sigap is ended in order
        return _in_realtime(name, seed)


def _in_realtime(name: str, seed: int, progress: Callable[[float], None] | None = None) -> Result:
    from sigap.realtime.run import run as run_in_realtime  # all of a Sigap: virtual time does without its libraries

    return run_in_realtime(load.load(name), name=name, seed=seed, progress=progress)


@contextlib.contextmanager
def _pool(workers: int) -> Iterator[ProcessPoolExecutor]:
    """Processes that end with this one, at once when it is interrupted; their boards end with them."""
    # Spawned, not forked: this process may have threads.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers or os.cpu_count() or 1, context, initializer=die_with_parent)
    try:
        yield pool
    except BaseException:
        for worker in multiprocessing.active_children():
            worker.kill()
        pool.shutdown(wait=False, cancel_futures=True)
        raise
    pool.shutdown()


def _side_by_side(
    names: Sequence[str], seed: int, workers: int, work: Callable[[str, int], Result]
) -> Iterator[Result]:
    """In the order of the names, whatever ends first; each end is said on stderr."""
    longest_first = sorted(names, key=lambda name: -load.load(name).length_s)
    with _pool(workers) as pool:
        jobs = {name: pool.submit(work, name, seed) for name in longest_first}
        waiting = set(jobs.values())
        done = 0
        while waiting:
            ended, waiting = wait(waiting, return_when=FIRST_COMPLETED)
            for job in ended:
                done += 1
                result = job.result()
                mark = "ok" if result.passed else "FAIL"
                click.echo(f"{done:3}/{len(jobs)} {mark:4} {result.scenario} ({result.took_s:.1f} s)", err=True)
        yield from (jobs[name].result() for name in names)


# Exploration


def _try(seed: int) -> Result:
    return run(draw(seed), name=f"explore-{seed}", seed=seed, make_store=VirtualStore)


def _shrink(seed: int, promise: str) -> tuple[str, Result]:
    """In a worker: the text of the shortest scenario that breaks the promise, and its result."""

    def again(candidate: model.Scenario) -> Result:
        return run(candidate, name=f"explore-{seed}", seed=seed, make_store=VirtualStore)

    shortest, _ = shrink(draw(seed), promise, again)
    return dump(shortest), again(shortest)


@scenario.command()
@click.option("--minutes", default=1.0, show_default=True, type=click.FloatRange(0.05, 1440))
@click.option("--seed", default=1, show_default=True, type=click.IntRange(0), help="The first of the seeds.")
@click.option("--workers", default=0, type=click.IntRange(0, 64), help="Worlds side by side; 0: one a processor.")
@click.option("--finds", default=10, show_default=True, type=click.IntRange(1), help="Stop after so many finds.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document on stdout.")
def explore(minutes: float, seed: int, workers: int, finds: int, as_json: bool) -> None:
    """Draw worlds from seeds and run them; shrink those that break a promise to a short story in build/explore.

    Exit code 1 when something was found. A find that was mended is worth keeping: put its file to the scenarios.
    """
    end = time.monotonic() + minutes * 60
    with interruptible(), _pool(workers) as pool:
        found, worlds = _explore(pool, seed, end, finds, workers or os.cpu_count() or 1)
    document = {"worlds": worlds, "first_seed": seed, "finds": found}
    if as_json:
        click.echo(json.dumps(document, ensure_ascii=False))
    else:
        click.echo(f"{worlds} worlds from seed {seed} on, {len(found)} finds")
        for find in found:
            click.echo(
                f"  {find['promise']}: {find['why']}\n    sigap scenario run {find['file']} --seed {find['seed']}"
            )
    if found:
        raise Problem(f"{len(found)} worlds broke a promise", f"Their short stories are in {FINDS}")


def _explore(
    pool: ProcessPoolExecutor, seed: int, end: float, most: int, workers: int
) -> tuple[list[dict[str, Any]], int]:
    found: list[dict[str, Any]] = []
    kinds: set[str] = set()
    tries: dict[Future[Any], int] = {}
    shrinks: dict[Future[Any], tuple[int, str]] = {}
    worlds, said = 0, time.monotonic()
    while True:
        while time.monotonic() < end and len(tries) + len(shrinks) < workers * 2 and len(found) < most:
            tries[pool.submit(_try, seed)] = seed
            seed += 1
        if not tries and not shrinks:
            return found, worlds
        ended, _ = wait([*tries, *shrinks], return_when=FIRST_COMPLETED)
        for job in ended:
            if job in tries:
                of, result = tries.pop(job), job.result()
                worlds += 1
                # One find of a kind is enough: the others are most often the same one again.
                fresh = [each for each in result.broken if _kind(each) not in kinds]
                if fresh:
                    kinds.add(_kind(fresh[0]))
                    click.echo(f"seed {of} breaks {fresh[0]['promise']}: {fresh[0]['why']}; shrinking", err=True)
                    shrinks[pool.submit(_shrink, of, fresh[0]["promise"])] = (of, fresh[0]["promise"])
            else:
                found.append(_keep(*shrinks.pop(job), *job.result()))
        if time.monotonic() - said > LONG_S:
            said = time.monotonic()
            click.echo(f"{worlds} worlds, {len(found)} finds", err=True)


def _kind(broken: dict[str, Any]) -> str:
    return str(broken["promise"]) + re.sub(r"[0-9a-f]{3,}|\d+", "#", str(broken["why"]))


def _keep(seed: int, promise: str, text: str, result: Result) -> dict[str, Any]:
    FINDS.mkdir(parents=True, exist_ok=True)
    path = FINDS / f"{promise}-{seed}.yaml"
    path.write_text(text)
    why = next((each["why"] for each in result.broken if each["promise"] == promise), "it did not break again")
    return {"seed": seed, "promise": promise, "why": why, "file": str(path)}
