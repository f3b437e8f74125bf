"""Options of the whole suite."""

from __future__ import annotations

import os
import sys

import pytest

# Hundreds of processes are started here: without bytecode each would compile anew whatever it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--port",
        metavar="DEVICE",
        help="tests/device: a real board's serial port, such as /dev/ttyUSB0, in place of a virtual board's",
    )
    parser.addoption("--board", default="devkit", help="tests/device: the kind of board at --port, of hardware/boards")
