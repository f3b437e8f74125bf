"""Options of the whole suite."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--port",
        metavar="DEVICE",
        help="tests/device: a real board's serial port, such as /dev/ttyUSB0, in place of a virtual board's",
    )
    parser.addoption("--board", default="devkit", help="tests/device: the kind of board at --port, of hardware/boards")
