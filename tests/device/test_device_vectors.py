"""The contract on the device: every vector of panic_wire, sent to the board and worked through there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sigap.firmware.compiling import for_board
from simulator.image import FIRMWARE
from tests.system.mpremote_lab import Mpremote

VECTORS = json.loads((FIRMWARE / "panic_wire" / "vectors.json").read_text())
ON_BOARD = for_board((Path(__file__).parent / "on_board.py").read_text())
KINDS = ("ccm", "hkdf", "keys", "frames", "bad", "compact", "statuses")
CASES_AT_ONCE = 4  # as source they take heap beside the firmware


def test_every_kind_is_tried() -> None:
    assert set(VECTORS) - {"about", "version"} == set(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_vectors(device: Mpremote, kind: str) -> None:
    cases = VECTORS[kind]
    parts = [cases[index : index + CASES_AT_ONCE] for index in range(0, len(cases), CASES_AT_ONCE)]
    tried = [f"for case in {part!r}: {kind}(case)\nprint('tried', {len(part)})" for part in parts]
    commands = [word for code in (ON_BOARD, *tried) for word in ("exec", code)]
    printed = device(*commands).splitlines()
    assert [line for line in printed if not line.startswith("tried")] == []
    assert sum(int(line.split()[1]) for line in printed) == len(cases) > 0
