"""`sigap world`: runs a world until it is told to stop, and leaves word of where it is in a run directory."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import os
import signal
import sys
from pathlib import Path

from sigap.problem import Problem
from simulator.world.settings import WorldSettings
from simulator.world.world import World

READY_LIMIT_S = 20.0
BOARD_START_S = 1.0  # on top, for each: many of them start one after the other


@contextlib.contextmanager
def only_world(run_dir: Path):
    """Hold `run_dir` for one world. Raises Problem when another one has it."""
    run_dir.mkdir(parents=True, exist_ok=True)
    with (run_dir / "world.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise Problem(f"a world is running already in {run_dir}", "Stop it, or give another --run-dir") from error
        yield


def publish(run_dir: Path, world: World) -> Path:
    """Write world.json, readable by its owner only: it holds the token."""
    path, part = run_dir / "world.json", run_dir / "world.json.part"
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "w") as out:
        json.dump({"port": world.port, "token": world.token, "pid": os.getpid()}, out)
    os.replace(part, path)
    return path


async def _until_running(world: World) -> None:
    events = world.watch()
    limit_s = READY_LIMIT_S + BOARD_START_S * len(world.boards)
    try:
        async with asyncio.timeout(limit_s):
            while any(board.supply.state == "starting" for board in world.boards.values()):
                await events.get()
    except TimeoutError:
        waiting = [name for name, board in world.boards.items() if board.supply.state == "starting"]
        raise Problem(f"{', '.join(waiting)} did not start within {limit_s:g} s", "Look at the console above") from None
    finally:
        world.unwatch(events)


async def _echo(world: World) -> None:
    events = world.watch()
    while (event := await events.get()) is not None:
        if event["event"] == "console":
            print(f"{event['board']}: {event['text']}", file=sys.stderr, flush=True)


async def run(settings: WorldSettings, run_dir: Path) -> None:
    """Run until SIGINT, SIGTERM or a control peer's "stop".

    Prints one JSON line on stdout when every board has started.
    """
    with only_world(run_dir):
        async with World(settings) as world:
            loop = asyncio.get_running_loop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(number, world.stopping.set)
            echo = asyncio.create_task(_echo(world))
            path = publish(run_dir, world)
            for board in world.boards.values():
                board.link_serial(run_dir / "serial")
            try:
                await _until_running(world)
                ready = {"ready": True, "port": world.port, "pid": os.getpid(), "run_dir": str(run_dir)}
                ready["boards"] = {name: board.supply.state for name, board in world.boards.items()}
                print(json.dumps(ready), flush=True)
                await world.stopping.wait()
            finally:
                path.unlink(missing_ok=True)
                echo.cancel()
