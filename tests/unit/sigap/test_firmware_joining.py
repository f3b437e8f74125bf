"""Files of the firmware that become one on the device: what is led where, and what is refused."""

from __future__ import annotations

import ast

import pytest

from sigap.firmware import joining
from sigap.problem import Problem

ROOM = {"p/c.py": ("p/a.py", "p/b.py", "p/c.py")}


def join(**files: str) -> dict[str, str]:
    """`a="..."` is p/a.py; a, b and c are joined into p/c.py."""
    return joining.joined({f"p/{name}.py": text for name, text in files.items()}, ROOM)


def test_imports_inside_go_and_those_from_outside_are_led_there() -> None:
    made = join(
        a="import sys\ndef f():\n    return 1\n",
        b="from p.a import f\ndef g():\n    return f()\n",
        c="from .b import g\nfrom .a import (\n    f,\n)\nprint(f(), g())\n",
        d="from p.a import f as first\nfrom p.b import g\nfrom q import h\n",
    )
    assert made == {
        "p/c.py": "# p/a.py\nimport sys\ndef f():\n    return 1\n"
        "# p/b.py\npass\ndef g():\n    return f()\n"
        "# p/c.py\npass\npass\n\n\nprint(f(), g())\n",
        "p/d.py": "from p.c import f as first\nfrom p.c import g\nfrom q import h\n",
    }


def test_a_name_of_two_files_stays_two() -> None:
    made = join(
        a="LIMIT = 1\ndef go():\n    return LIMIT\n",
        b="from p.a import LIMIT as FIRST\nLIMIT = 2\ndef go():\n    return LIMIT + FIRST\n",
        c="from p import a\nfrom p.b import go\nprint(go(), a.go(), a.LIMIT)\n",
        d="from p.b import LIMIT\nprint(LIMIT)\n",
    )
    scope: dict[str, object] = {}
    said: list[object] = []
    exec(made["p/c.py"], scope | {"print": lambda *what: said.extend(what)})
    assert said == [3, 1, 1]
    assert made["p/d.py"] == "from p.c import LIMIT_B as LIMIT\nprint(LIMIT)\n"


def test_what_is_imported_from_somebody_else_keeps_its_name() -> None:
    text = "try:\n    from machine import Counter\nexcept ImportError:\n    Counter = None\n"
    made = join(a=text, b="class Counter:\n    pass\n", c="from p.b import Counter\nprint(Counter)\n")
    assert "    Counter = None" in made["p/c.py"]
    assert "class Counter_b:" in made["p/c.py"]
    assert "print(Counter_b)" in made["p/c.py"]


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"a": "X = 1\n", "b": "X = 2\ndef f(X):\n    return X\n"}, "p/b.py:2: X is a name of two files joined"),
        ({"a": "X = 1\n", "d": "import p.a\n"}, "p/d.py:1: p.a is joined"),
        ({"a": "X = 1\n", "d": "from p import a\n"}, "p/d.py:1: p.a is joined"),
    ],
)
def test_what_cannot_be_led_safely_is_refused_with_its_line(files: dict[str, str], said: str) -> None:
    with pytest.raises(Problem, match=said):
        join(**files)


def test_the_rooms_name_files_that_exist_each_once() -> None:
    from sigap.firmware.compiling import FIRMWARE

    members = [path for paths in joining.ROOMS.values() for path in paths]
    assert len(set(members)) == len(members)
    assert not [path for path in members if not (FIRMWARE / path).exists()]
    for target, paths in joining.ROOMS.items():
        assert paths[-1] == target, "it is what others import"
        for place, path in enumerate(paths):
            imported = {
                node.module
                for node in ast.parse((FIRMWARE / path).read_text()).body
                if isinstance(node, ast.ImportFrom)
            }
            later = {other.removesuffix(".py").replace("/", ".") for other in paths[place:]}
            assert not imported & later, f"{path} needs what comes after it"
