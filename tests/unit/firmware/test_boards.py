"""Boards as data: the generated files are fresh, and a board that cannot work is refused with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from hardware import generate
from sigap.problem import Problem

GOOD = """
[board]
name = "b"
[button]
pin = 27
pull = "up"
active_low = true
[led]
pin = 26
active_high = true
"""


def read(folder: Path, text: str) -> dict[str, dict[str, object]]:
    path = folder / "b.toml"
    path.write_text(text)
    return generate.read_board(path)[1]


def test_generated_files_are_fresh() -> None:
    assert generate.main(["--check"]) == 0


def test_a_good_board(tmp_path: Path) -> None:
    assert read(tmp_path, GOOD) == {
        "button": {"pin": 27, "pull": "up", "active_low": True},
        "led": {"pin": 26, "active_high": True},
    }


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ('name = "b"', 'name = "c"', "name"),
        ("pin = 26", "pin = 27", "both pin 27"),
        ("pin = 26", "pin = 34", "input only"),
        ("pin = 27", "pin = 34", "no pull-up"),
        ("pin = 26", "pin = 12", "strapping"),
        ("pin = 26", "pin = 6", "no free pin"),
        ("pin = 26", "pin = 24", "no free pin"),
        ("pin = 26", 'pin = "26"', "led.pin as int"),
        ("pin = 26", "pin = true", "led.pin as int"),
        ("active_high = true", "", "active_high"),
        ("active_high = true", "active_high = true\ncolour = 1", "colour"),
        ("[led]", "[lamp]", "no [led]"),
        ("[led]", "[led", "not TOML"),
    ],
)
def test_a_board_that_cannot_work_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    with pytest.raises(Problem) as caught:
        read(tmp_path, GOOD.replace(old, new))
    assert reason in str(caught.value)


def test_wrong_use() -> None:
    assert generate.main(["--what"]) == 2
