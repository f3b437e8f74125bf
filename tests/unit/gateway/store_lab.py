"""For tests: new stores that are copies of one, because the migrations take each a twentieth of a second or more."""

from __future__ import annotations

import tempfile
from functools import cache
from pathlib import Path

from gateway.store.engine import Store, open_store, sqlite_url


@cache
def _content() -> bytes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sigap.db"
        open_store(sqlite_url(path)).close()
        return path.read_bytes()


def new_store(path: Path) -> Store:
    """Open a new store in this file: as the migrations have made one, and empty."""
    path.write_bytes(_content())
    return open_store(sqlite_url(path))
