"""What the build step does to the firmware's texts, and that it does nothing else."""

from __future__ import annotations

import ast
import functools
import importlib
from pathlib import Path

import pytest

from sigap.firmware import compiling, constants, joining, names
from sigap.firmware.texts import module_name
from sigap.problem import Problem

TEXTS = {name: text for name, text in compiling._texts(compiling.FIRMWARE) if name not in compiling.LEFT_OUT}
JOINED = joining.joined({name: text.decode() for name, text in TEXTS.items()})
LINKED = compiling.linked(TEXTS)
WORDS = names.WORDS.read_text().split()
CONSTANT = (int, str, bytes, tuple)


def link(**files: str) -> dict[str, str]:
    """Constants in place in these files; `a__b="..."` is a/b.py."""
    made = constants.in_place({name.replace("__", "/") + ".py": text for name, text in files.items()}, ("main.py",))
    return {path.removesuffix(".py").replace("/", "__"): text for path, text in made.items()}


def test_lines_stay_where_they_are() -> None:
    assert set(LINKED) == set(JOINED) - set(compiling.SOURCE_FILES)
    for path, text in LINKED.items():
        assert text.count(b"\n") == JOINED[path].count("\n"), path
    for path, text in JOINED.items():
        members = joining.ROOMS.get(path, ())
        wanted = sum(TEXTS[member].count(b"\n") + 1 for member in members) or TEXTS[path].count(b"\n")
        assert text.count("\n") == wanted, path


@pytest.mark.parametrize("path", sorted(name for name in LINKED if not name.startswith("hal/")))
def test_only_names_and_constants_differ(path: str) -> None:
    """Side by side, the trees differ where a constant stands by its value, or a name by its other name."""
    _same(ast.parse(JOINED[path]), ast.parse(LINKED[path]), _renamed(), _namespace(path))


def _namespace(path: str) -> dict[str, object]:
    """What the names of a joined file mean, from the modules that it is made of."""
    found: dict[str, object] = {}
    for member in joining.ROOMS.get(path, (path,)):
        stem = member.removesuffix(".py").rpartition("/")[2]
        for name, value in vars(importlib.import_module(module_name(member))).items():
            found.setdefault(name, value)
            found[f"{name}_{stem.upper() if name.isupper() else stem}"] = value
    return found


@functools.cache
def _renamed() -> dict[str, str]:
    return names.new_names(constants.in_place(JOINED, compiling.SOURCE_FILES), compiling.SOURCE_FILES)


def _same(old: ast.AST, new: ast.AST, renamed: dict[str, str], module: dict[str, object]) -> None:
    if isinstance(old, ast.Name | ast.Attribute | ast.UnaryOp | ast.BinOp) and type(old) is not type(new):
        assert eval(ast.unparse(old), dict(module)) == ast.literal_eval(new), ast.unparse(old)  # type: ignore[arg-type]
        return
    if isinstance(old, ast.Assign | ast.ImportFrom) and isinstance(new, ast.Pass):
        bound = [old.targets[0]] if isinstance(old, ast.Assign) else old.names
        for each in bound:
            name = each.id if isinstance(each, ast.Name) else (each.asname or each.name)  # type: ignore[union-attr]
            assert type(module[name]) in CONSTANT, f"{name} was dropped"
        return
    assert type(old) is type(new), f"{ast.unparse(old)} became {ast.unparse(new)}"
    for field in old._fields:
        before, after = getattr(old, field, None), getattr(new, field, None)
        if isinstance(old, ast.ImportFrom) and field == "names":
            stayed = [kept.name for kept in after]
            gone = [each for each in before if renamed.get(each.name, each.name) not in stayed]
            assert all(type(module[each.asname or each.name]) in CONSTANT for each in gone)
        elif isinstance(before, list):
            assert len(before) == len(after)
            for one, other in zip(before, after, strict=True):
                _same(one, other, renamed, module) if isinstance(one, ast.AST) else _same_name(one, other, renamed)
        elif isinstance(before, ast.AST):
            _same(before, after, renamed, module)
        else:
            _same_name(before, after, renamed)


def _same_name(before: object, after: object, renamed: dict[str, str]) -> None:
    assert after == before or (isinstance(before, str) and renamed.get(before) == after), (before, after)


def test_a_constant_of_another_file_is_put_in_place() -> None:
    made = link(
        a="LIMIT = 2 * KILO\nKILO = 1 << 10\nLOW = -3\ndef f(x=LIMIT):\n    return x - LOW\n",
        b="import a\nfrom a import LIMIT, LOW, f\nprint(LIMIT + LOW, a.KILO, f())\n",
        c="from a import (\n    LIMIT,\n    LOW as LEAST,\n)\nprint(LIMIT,\n      LEAST)\n",
    )
    assert made["a"] == "pass\nKILO = 1 << 10\npass\ndef f(x=2048):\n    return x - (-3)\n", "a.KILO is asked for"
    assert made["b"] == "import a\nfrom a import f\nprint(2048 + (-3), a.KILO, f())\n"
    assert made["c"] == "pass\n\n\n\nprint(2048,\n      (-3))\n"


@pytest.mark.parametrize(
    "text",
    [
        "LIMIT = 1\nLIMIT = 2\nprint(LIMIT)\n",  # bound twice
        "LIMIT = 1\ndef f():\n    global LIMIT\n    LIMIT += 1\n",
        "RATE = 0.5\nBIG = True\nTWICE = (1, 'x')\nprint(RATE, BIG, TWICE, TWICE)\n",
        "LIMIT = 1\ndef f(LIMIT):\n    return LIMIT\n",
        "limit = 1\nprint(limit)\n",
    ],
)
def test_what_is_no_constant_stays(text: str) -> None:
    assert link(a=text)["a"] == text


def test_strings_bytes_and_a_tuple_that_is_used_once_are_constants_too() -> None:
    made = link(a="NAME = 'x'\nBYTES = b'y'\nBOTH = (NAME, (1, BYTES))\nprint(NAME, BYTES, BOTH)\n")
    assert made["a"] == "pass\npass\npass\nprint('x', b'y', ('x', (1, b'y')))\n"


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
    found = names.new_names(sources, ("main.py",), ["append", "a", "sort", "find", "index", "pop"])
    assert set(found) == {"_go", "_speed", "speed", "A", "f"}, "not: bound elsewhere, a keyword, a string, main's"
    assert "a" not in found.values(), "it is a name already"
    assert names.renamed(sources["b.py"], found).splitlines()[1] == f"    a.{found['_go']}(1)"


def test_what_is_ours_is_renamed_unless_a_chip_or_a_tool_may_ask_for_it() -> None:
    sources = {
        "panic/a.py": "class A:\n    def go(self):\n        self.far = self.irq = 1\n        context.verify_mode = 1\n",
        "panic/settings.py": "class Settings:\n    def __init__(self):\n        self.name = 1\n",
        "panic/b.py": "from panic.a import A\nfrom machine import Pin\nPin.IRQ = A().pull_up\n",
    }
    found = names.new_names(sources, words=["append", "sort", "find", "index", "pop"])
    assert set(found) == {"A", "go", "far"}


def test_classes_say_the_same_word_of_themselves_but_not_with_whom_they_inherit_from() -> None:
    a = "class Base:\n    def one(self):\n        pass\nclass Heir(Base):\n    def two(self):\n        self.one()\n"
    b = "class Other:\n    def three(self):\n        self.three()\n"
    found = names.new_names({"a.py": a, "b.py": b}, words=["append", "sort", "find", "index", "pop"])
    assert found["one"] != found["two"]
    assert found["three"] in (found["one"], found["two"])


def test_a_script_for_a_board_finds_its_names_there() -> None:
    script = "from panic_wire.seal import open_frame\nfrom panic.presses import STUCK_MS\n"
    script += "print(open_frame, STUCK_MS, a.seal)\n"
    made, found = compiling.for_board(script).splitlines(), _renamed()
    imports = f"from panic_wire.bodies import {found['open_frame']} as open_frame"
    assert made == [imports, "pass", f"print(open_frame, 30000, a.{found['seal']})"]


def test_no_two_names_become_one_where_they_meet() -> None:
    renamed = _renamed()
    alone = [new for old, new in renamed.items() if list(renamed.values()).count(new) == 1]
    assert len(alone) < len(renamed), "arguments share words"
    sources = constants.in_place(JOINED, compiling.SOURCE_FILES)
    for path, text in sources.items():
        tree = ast.parse(text)
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Module):
                inner = [] if isinstance(node, ast.Module) else list(ast.walk(node))
                found = {each.arg if isinstance(each, ast.arg) else each.id for each in inner if names._is_name(each)}
                new = [renamed.get(name, name) for name in found]
                assert len(set(new)) == len(new), f"{path}: {node.name if inner else ''}"  # type: ignore[union-attr]
    seen = names._Names()
    for path, text in sources.items():
        seen.read(path, text)
    alone_of = seen.of_itself()
    for each in set().union(*alone_of.values()):
        said = [name for name, classes in alone_of.items() if each in classes]
        assert len({renamed.get(name, name) for name in said}) == len(said), each
    everywhere = [name for name in renamed if name in seen.own and name not in alone_of]
    taken = {renamed[name] for name in everywhere}
    assert len(taken) == len(everywhere)
    assert not [name for name in renamed if name not in everywhere and renamed[name] in taken]
    assert not (seen.all | seen.fixed) & set(renamed.values()), "a new name is nobody's old one"


def test_names_that_find_no_word_keep_theirs() -> None:
    assert len(names.new_names({"a.py": "_a = _b = _c = 1\n"}, words=["x", "y"])) == 2


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
