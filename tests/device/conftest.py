"""The board under test, reached through the real `mpremote`: a virtual one, or with `--port` a real one.

A real board is stopped, and started again at the end; it must have the firmware on it. Its settings and its journal
stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from simulator.testing import running_world
from simulator.world.settings import BoardSettings, WorldSettings
from tests.system.mpremote_lab import Mpremote


@pytest.fixture(scope="package")
def device(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mpremote]:
    """`mpremote` at the board. Each "exec" begins with a soft reset, after which main.py does not run."""
    if port := request.config.getoption("--port"):
        if hasattr(request.config, "workerinput"):
            pytest.fail("one board cannot be tested by several processes: leave out -n")
        real = Mpremote(port)
        real("exec", "pass")
        yield real
        real("reset")
        return
    image = tmp_path_factory.mktemp("device") / "board.img"
    with running_world(WorldSettings([BoardSettings("board", image, serial=True)])) as world:
        world.wait_running("board")
        yield Mpremote(str(world.serial("board")))
