"""Gives the firmware's inner names words that MicroPython has in its flash already.

Every name that the interpreter does not know costs a board RAM: on 64 bits some 32 bytes, on an ESP32 half of it. So
`_waits_for` becomes a word that the interpreter's own tables hold, one for one and the same in the whole firmware: what
was two names stays two, and lines stay where they are. A traceback's file and line are those of the source; the name of
a function may not be.

Inner are private names, arguments, and what objects of ours call their own (attributes of self, methods). Left alone is
what could be reached otherwise (by a string of the same letters, a keyword of a call, an import, a tool that talks to a
board: all of OUTER), and what is not bound here, since then it is somebody else's.

words.txt has the words: python -m sigap.firmware.names [--check]
"""

from __future__ import annotations

import ast
import io
import keyword
import re
import subprocess
import sys
import tokenize
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
WORDS = Path(__file__).with_name("words.txt")
# In the tables of the unix port and of the ESP32's alike.
MODULES = (
    "_thread array asyncio binascii builtins cmath collections cryptolib deflate errno framebuf gc hashlib heapq io "
    "json math micropython os platform random re select socket struct sys time tls uctypes vfs"
)
# What speaks to the chip, whose names are not ours; the contract; and what provisioning asks of a board.
OUTER = ("hal/", "panic_wire/", "panic/settings.py", "panic/files.py")
_WALK = """
import sys
seen = set()
def walk(thing, depth):
    for name in dir(thing):
        if name not in seen and not name.startswith("__"):
            seen.add(name)
            if depth:
                walk(getattr(thing, name), depth - 1)
for module in sys.argv[1].split():
    seen.add(module)
    walk(__import__(module), 2)
print(" ".join(seen))
"""


def short(sources: Mapping[str, str], as_they_are: Collection[str] = ()) -> dict[str, str]:
    """{path: text}. as_they_are: paths whose text stays, and every name in it."""
    renamed = new_names(sources, WORDS.read_text().split(), as_they_are)
    return {path: text if path in as_they_are else _rename(text, renamed) for path, text in sources.items()}


def new_names(sources: Mapping[str, str], words: Collection[str], as_they_are: Collection[str] = ()) -> dict[str, str]:
    """{name: new name}. words: what costs nothing; when they end, the rest keep their names."""
    seen = _Names()
    for path, text in sources.items():
        seen.visit(ast.parse(text, path))
    for path in as_they_are:
        seen.fixed.update(_IDENTIFIER.findall(sources.get(path, "")))
    outer = {name for path, text in sources.items() if path.startswith(OUTER) for name in _IDENTIFIER.findall(text)}
    private = {name for name in seen.bound if re.match("_[^_]", name)}
    own = {name for name in seen.own if not name.startswith("_")} - outer
    left = seen.fixed | set(words) | {"self"}
    arguments = seen.arguments - seen.elsewhere - private - left
    free = [word for word in words if word not in seen.all and word not in seen.fixed]
    shared = _shared(sources, arguments, free)
    rest = [word for word in free if word not in shared.values()]
    candidates = sorted((private | arguments) - left - set(shared)) + sorted(own - private - arguments - left)
    return {**shared, **dict(zip(candidates, rest, strict=False))}


def _shared(sources: Mapping[str, str], arguments: Collection[str], free: Sequence[str]) -> dict[str, str]:
    """{argument: word}: those that never meet in one function share a word, so that few words do for many.

    One that is met outside functions as well, as a name of its module, is not here.
    """
    meets: dict[str, set[str]] = {name: set() for name in arguments}
    functions: list[ast.AST] = []
    outside: set[str] = set()
    for text in sources.values():
        _split(ast.parse(text), functions, outside)
    for function in functions:
        found = {each.arg if isinstance(each, ast.arg) else each.id for each in ast.walk(function) if _is_name(each)}
        for name in found & meets.keys():
            meets[name] |= (found & meets.keys()) - {name}
    taken: dict[str, str] = {}
    for name in sorted(meets.keys() - outside, key=lambda each: (-len(meets[each]), each)):
        busy = {taken[other] for other in meets[name] if other in taken}
        word = next((word for word in free if word not in busy), None)
        if word is not None:
            taken[name] = word
    return taken


def _is_name(node: ast.AST) -> TypeGuard[ast.Name | ast.arg]:
    return isinstance(node, ast.Name | ast.arg)


def _split(node: ast.AST, functions: list[ast.AST], outside: set[str]) -> None:
    """Functions and methods go to `functions`, whole; names that are in none of them to `outside`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            functions.append(child)
            continue
        if _is_name(child):
            outside.add(child.arg if isinstance(child, ast.arg) else child.id)
        _split(child, functions, outside)


def find_words() -> str:
    """The text of words.txt, from the interpreter beside this Python. `const` means something to the compiler."""
    interpreter = Path(sys.executable).parent / "micropython"
    done = subprocess.run(
        [str(interpreter), "-c", _WALK, MODULES], capture_output=True, text=True, check=True, timeout=60
    )
    return "".join(
        word + "\n" for word in sorted(done.stdout.split()) if not keyword.iskeyword(word) and word != "const"
    )


def main(arguments: list[str]) -> int:
    """0; with --check 1 when words.txt is not what the interpreter says."""
    text = find_words()
    if arguments == ["--check"]:
        return 0 if WORDS.read_text() == text else 1
    WORDS.write_text(text)
    return 0


class _Names(ast.NodeVisitor):
    """all: every identifier; bound: those given a meaning here; arguments: of functions; elsewhere: attributes,
    functions and classes; own: methods, and attributes of self; fixed: not to be touched."""

    def __init__(self) -> None:
        self.all: set[str] = set()
        self.bound: set[str] = set()
        self.arguments: set[str] = set()
        self.elsewhere: set[str] = set()
        self.own: set[str] = set()
        self.fixed: set[str] = set()

    def visit_Name(self, node: ast.Name) -> None:
        self.all.add(node.id)
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.all.add(node.attr)
        self.elsewhere.add(node.attr)
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.attr)
            if isinstance(node.value, ast.Name) and node.value.id == "self":
                self.own.add(node.attr)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self.all.add(node.name)
        self.bound.add(node.name)
        self.elsewhere.add(node.name)
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self.all.add(node.name)
        self.bound.add(node.name)
        self.elsewhere.add(node.name)
        self.own.update(each.name for each in node.body if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef))
        self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> None:
        self.all.add(node.arg)
        self.arguments.add(node.arg)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg:
            self.fixed.add(node.arg)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            self.fixed.update(alias.name.split("."))
            if alias.asname:
                self.fixed.add(alias.asname)
        if isinstance(node, ast.ImportFrom) and node.module:
            self.fixed.update(node.module.split("."))

    visit_ImportFrom = visit_Import  # type: ignore[assignment]

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value.isidentifier():
            self.fixed.add(node.value)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.all.update(node.names)

    visit_Nonlocal = visit_Global  # type: ignore[assignment]


def _rename(text: str, renamed: Mapping[str, str]) -> str:
    """Each NAME token by its new name, everything else as it is, on the same line."""
    lines = text.splitlines(keepends=True)
    found = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME and token.string in renamed
    ]
    for token in reversed(found):
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1]
        lines[row - 1] = line[:start] + renamed[token.string] + line[end:]
    return "".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
