"""What the build step does to the firmware's texts, and that it does nothing else."""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

import pytest

from sigap.firmware import compiling, constants, names
from sigap.problem import Problem

TEXTS = {name: text for name, text in compiling._texts(compiling.FIRMWARE) if name not in compiling.LEFT_OUT}
LINKED = compiling.linked(TEXTS)
WORDS = names.WORDS.read_text().split()


def link(**files: str) -> dict[str, str]:
    """Constants in place in these files; `a__b="..."` is a/b.py."""
    made = constants.in_place({name.replace("__", "/") + ".py": text for name, text in files.items()}, ("main.py",))
    return {path.removesuffix(".py").replace("/", "__"): text for path, text in made.items()}


def test_lines_stay_where_they_are() -> None:
    assert set(LINKED) == set(TEXTS) - set(compiling.SOURCE_FILES)
    for path, text in LINKED.items():
        assert text.count(b"\n") == TEXTS[path].count(b"\n"), path


@pytest.mark.parametrize("path", sorted(name for name in LINKED if not name.startswith("hal/")))
def test_only_names_and_constants_differ(path: str) -> None:
    """Side by side, the trees differ where a constant stands by its value, or a name by its other name."""
    back = {new: old for old, new in _renamed().items()}
    module = importlib.import_module(constants.module_name(path))
    _same(ast.parse(TEXTS[path]), ast.parse(LINKED[path]), back, module)


@functools.cache
def _renamed() -> dict[str, str]:
    sources = constants.in_place({path: text.decode() for path, text in TEXTS.items()}, compiling.SOURCE_FILES)
    return names.new_names(sources, WORDS, compiling.SOURCE_FILES)


def _same(old: ast.AST, new: ast.AST, back: dict[str, str], module: object) -> None:
    if isinstance(old, ast.Name | ast.Attribute | ast.UnaryOp) and _number(new) is not None and _number(old) is None:
        value = eval(ast.unparse(old), vars(module))
        assert type(value) is int, ast.unparse(old)
        assert value == _number(new), ast.unparse(old)
        return
    if isinstance(old, ast.Assign | ast.ImportFrom) and isinstance(new, ast.Pass):
        bound = [old.targets[0]] if isinstance(old, ast.Assign) else old.names
        for each in bound:
            name = each.id if isinstance(each, ast.Name) else (each.asname or each.name)  # type: ignore[union-attr]
            assert type(getattr(module, name)) is int, f"{name} was dropped"
        return
    assert type(old) is type(new), f"{ast.unparse(old)} became {ast.unparse(new)}"
    for field in old._fields:
        before, after = getattr(old, field, None), getattr(new, field, None)
        if isinstance(old, ast.ImportFrom) and field == "names":
            gone = [each for each in before if each.name not in [kept.name for kept in after]]
            assert all(type(getattr(module, each.asname or each.name)) is int for each in gone)
        elif isinstance(before, list):
            assert len(before) == len(after)
            for one, other in zip(before, after, strict=True):
                _same(one, other, back, module) if isinstance(one, ast.AST) else _same_name(one, other, back)
        elif isinstance(before, ast.AST):
            _same(before, after, back, module)
        else:
            _same_name(before, after, back)


def _number(node: ast.AST) -> int | None:
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return -node.operand.value if type(node.operand.value) is int else None
    return node.value if isinstance(node, ast.Constant) and type(node.value) is int else None


def _same_name(before: object, after: object, back: dict[str, str]) -> None:
    assert after == before or (isinstance(after, str) and back.get(after) == before), (before, after)


def test_a_constant_of_another_file_is_put_in_place() -> None:
    made = link(
        a="LIMIT = 2 * KILO\nKILO = 1 << 10\nLOW = -3\ndef f(x=LIMIT):\n    return x - LOW\n",
        b="import a\nfrom a import LIMIT, LOW, f\nprint(LIMIT + LOW, a.KILO, f())\n",
        c="from a import (\n    LIMIT,\n    LOW as LEAST,\n)\nprint(LIMIT,\n      LEAST)\n",
    )
    assert made["a"] == "pass\npass\npass\ndef f(x=2048):\n    return x - (-3)\n"
    assert made["b"] == "import a\nfrom a import f\nprint(2048 + (-3), a.KILO, f())\n".replace("a.KILO", "a.KILO")
    assert made["c"] == "pass\n\n\n\nprint(2048,\n      (-3))\n"


@pytest.mark.parametrize(
    "text",
    [
        "LIMIT = 1\nLIMIT = 2\nprint(LIMIT)\n",  # bound twice
        "LIMIT = 1\ndef f():\n    global LIMIT\n    LIMIT += 1\n",
        "NAME = 'x'\nRATE = 0.5\nBIG = True\nprint(NAME, RATE, BIG)\n",
        "LIMIT = 1\ndef f(LIMIT):\n    return LIMIT\n",
        "limit = 1\nprint(limit)\n",
    ],
)
def test_what_is_no_constant_stays(text: str) -> None:
    assert link(a=text)["a"] == text


def test_what_is_passed_on_keeps_its_name() -> None:
    made = link(a="ONE = 1\nTWO = 2\n", b="from a import ONE, TWO\nprint(TWO)\n", c="from b import ONE\nprint(ONE)\n")
    assert made["a"] == "ONE = 1\npass\n"
    assert made["b"] == "from a import ONE\nprint(2)\n"


def test_what_main_uses_keeps_its_name_and_main_its_text() -> None:
    main = "from a import ONE\nprint(ONE)\n"
    made = link(a="ONE = 1\nprint(ONE)\n", main=main)
    assert made["main"] == main
    assert made["a"] == "ONE = 1\nprint(1)\n"


def test_a_private_name_is_the_same_word_everywhere() -> None:
    sources = {
        "a.py": "class A:\n    def _go(self, speed):\n        self._speed = speed\n        return self._other._far\n",
        "b.py": "def f(a, key):\n    a._go(1)\n    return g(key=key) + '_said' * a._said\n",
        "main.py": "print(_kept)\n",
    }
    sources["a.py"] += "def _kept(_said):\n    pass\n"
    found = names.new_names(sources, ["append", "a", "sort", "find", "index"], ("main.py",))
    assert set(found) == {"_go", "_speed", "speed"}, "not: bound elsewhere, a keyword, a string, main's, a function"
    assert set(found.values()) <= {"append", "sort", "find", "index"}, "`a` is a name already"
    assert names._rename(sources["b.py"], found).splitlines()[1] == f"    a.{found['_go']}(1)"


def test_what_an_object_calls_its_own_is_renamed_unless_a_chip_or_a_tool_may_ask_for_it() -> None:
    sources = {
        "panic/a.py": "class A:\n    def go(self):\n        self.far = self.pin = 1\n        context.verify_mode = 1\n",
        "hal/b.py": "def stay(pin):\n    pin()\n",
    }
    assert set(names.new_names(sources, ["append", "sort", "find"])) == {"go", "far"}


def test_names_that_find_no_word_keep_theirs() -> None:
    assert len(names.new_names({"a.py": "_a = _b = _c = 1\n"}, ["x", "y"])) == 2


def test_a_mistake_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "main.py").write_text("")
    (tmp_path / "wrong.py").write_text("a = 1\nb = (\n")
    with pytest.raises(Problem, match=r"wrong\.py:2"):
        compiling.firmware_files(tmp_path, tmp_path / "cache")


def test_it_saves_what_it_is_for(capsys: pytest.CaptureFixture[str]) -> None:
    from sigap.firmware.bundle import Bundle, make
    from sigap.firmware.measuring import measure

    plain = {name[:-3] + ".mpy": compiling.compile_mpy(text, name) for name, text in TEXTS.items()}
    before, after = measure(Bundle(plain, {}), heap_kb=400), measure(make(), heap_kb=400)
    with capsys.disabled():
        print(f"\nfirmware as written {before.running:,} bytes of RAM, linked {after.running:,}")
    assert after.running < before.running - 8_000
