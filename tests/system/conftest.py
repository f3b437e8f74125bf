"""A broker and a gateway for tests of the wire: one that runs for a whole module, or one of its own that is off."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.gateway_lab import Lab, lab


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    with lab(tmp_path_factory.mktemp("lab")) as parts:
        parts[1].start()
        parts[1].wait_healthy()
        yield parts


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Lab]:
    with lab(tmp_path) as parts:
        yield parts
