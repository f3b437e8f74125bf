"""For tests: a world in a thread of this process, and the client that talks to it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from simulator.world.client import WorldClient
from simulator.world.settings import BoardSettings, WorldSettings
from simulator.world.world import World


@contextmanager
def running_world(settings: WorldSettings) -> Iterator[WorldClient]:
    """Run a world beside the test; yields a connected client. Every process of it is gone at the end."""
    ready = threading.Event()
    found: dict[str, World | BaseException] = {}

    async def live() -> None:
        async with World(settings) as world:
            found["world"] = world
            ready.set()
            await world.stopping.wait()

    def run() -> None:
        try:
            asyncio.run(live())
        except BaseException as error:  # noqa: BLE001 (raised again in the test's thread)
            found["error"] = error
            ready.set()

    thread = threading.Thread(target=run, name="world")
    thread.start()
    ready.wait()
    try:
        if "error" in found:
            raise found["error"]  # type: ignore[misc]
        world = found["world"]
        assert isinstance(world, World)
        with WorldClient(world.port, world.token) as client:
            yield client
            client.stop()
    finally:
        if isinstance(world := found.get("world"), World) and thread.is_alive():
            world.request_stop()
        thread.join()
    if "error" in found:
        raise found["error"]  # type: ignore[misc]


def small_firmware(folder: Path, main: str, boot: str = "") -> Path:
    """A firmware folder with these two files; returns it."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "main.py").write_text(main)
    (folder / "boot.py").write_text(boot)
    return folder


@contextmanager
def one_board(folder: Path, main: str, boot: str = "", **settings: object) -> Iterator[WorldClient]:
    """A world with the board "b" that runs this main.py; `settings` as in BoardSettings and WorldSettings."""
    firmware = small_firmware(folder / "firmware", main, boot)
    limits = {key: settings.pop(key) for key in ("restarts", "steady_s") if key in settings}
    board = BoardSettings(name="b", image=folder / "b.img", on=False, **settings)  # type: ignore[arg-type]
    with running_world(WorldSettings([board], firmware, **limits)) as client:  # type: ignore[arg-type]
        client.watch("b")
        client.power("b", True)
        yield client
