"""A virtual world for a test: boards in virtual time over the real gateway's store."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sigap.virtual_gateway import VirtualStore
from simulator.virtual.world import Button, VirtualWorld

SITE = (-6.9932, 110.4203)


def shop(name: str = "shop", **fields: Any) -> Button:
    """A fixed button without a receiver."""
    return Button(name, settings={"site": SITE, **fields.pop("settings", {})}, **fields)


@contextmanager
def virtual(*buttons: Button, seed: int = 1, firmware: Path | None = None) -> Iterator[VirtualWorld]:
    """Started. firmware: a folder in place of the shipped one."""
    folder = Path(tempfile.mkdtemp(prefix="sigap-virtual-"))
    more = {} if firmware is None else {"firmware": firmware}
    try:
        with VirtualWorld(folder, list(buttons) or [shop()], seed=seed, make_store=VirtualStore, **more) as world:
            world.start()
            yield world
    finally:
        shutil.rmtree(folder)


@contextmanager
def bench(tmp_path: Path, main: str, seed: int = 1, **fields: Any) -> Iterator[VirtualWorld]:
    """One board, "b", that runs this main.py."""
    firmware = tmp_path / "firmware"
    firmware.mkdir()
    (firmware / "main.py").write_text(main)
    with virtual(shop("b", **fields), seed=seed, firmware=firmware) as world:
        yield world
