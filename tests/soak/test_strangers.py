"""100,000 frames of devices that nobody has registered, and one that has its alarms receipted among them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.system.gateway_lab import lab
from tests.system.test_bad_times import strangers_send


@pytest.mark.timeout(300)
def test_a_hundred_thousand_strangers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with lab(tmp_path) as parts:
        parts[1].start()
        parts[1].wait_healthy()
        said = strangers_send(parts, 100_000)
    with capsys.disabled():
        print(f"\n{said}")
