"""Gives the firmware's own names words that MicroPython has in its flash already.

Every name that the interpreter does not know costs a board RAM: on 64 bits some 24 to 32 bytes, on an ESP32 half of it.
So `_waits_for` becomes a word that the interpreter's own tables hold, the same word in the whole firmware; lines stay
where they are. A traceback's file and line are those of the source; the name of a function may not be.

Renamed is what the firmware itself gives a meaning: functions, classes, methods, attributes, arguments. Left alone is
what could be reached otherwise: by a string of the same letters, a keyword of a call, a technician at a board
(OUTER); what chips and MicroPython's modules call so too (FOREIGN, words.txt); and what is not bound here, since
then it is somebody else's. Two names share a word where they never meet: arguments in functions of their own, and what
an object says only of itself in classes of their own.

words.txt and foreign.txt are made by python -m sigap.firmware.names [--check]
"""

import ast
import io
import keyword
import re
import subprocess
import sys
import sysconfig
import tokenize
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeGuard

from sigap.firmware.texts import cut_of, replaced

_IDENTIFIER = re.compile(r"[A-Za-z_]\w*")
WORDS = Path(__file__).with_name("words.txt")
# In the tables of the unix port and of the ESP32's alike.
MODULES = (
    "_thread array asyncio binascii builtins cmath collections cryptolib deflate errno framebuf gc hashlib heapq io "
    "json math micropython os platform random re select socket struct sys time tls uctypes vfs"
)
FOREIGN = Path(__file__).with_name("foreign.txt")
FOREIGN_STUBS = ("machine", "network", "esp32", "neopixel", "onewire")
PACKAGES = ("base", "hal", "lora", "mqtt", "panic", "panic_wire")
# Whole files whose names stay: settings are set by their names' letters; provisioning and technicians ask for these.
OUTER = ("panic/settings.py", "panic/network_settings.py", "panic/files.py", "panic/schema.py", "hal/boards/")
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
    found = new_names(sources, as_they_are)
    return {path: text if path in as_they_are else renamed(text, found) for path, text in sources.items()}


def new_names(
    sources: Mapping[str, str], as_they_are: Collection[str] = (), words: Sequence[str] | None = None
) -> dict[str, str]:
    """{name: new name}. words (default: words.txt): what costs nothing; when they end, the rest keep their names."""
    words = WORDS.read_text().split() if words is None else words
    seen = _Names()
    for path, text in sources.items():
        seen.read(path, text)
    for path in as_they_are:
        seen.fixed.update(_IDENTIFIER.findall(sources.get(path, "")))
    outer = {name for path, text in sources.items() if path.startswith(OUTER) for name in _IDENTIFIER.findall(text)}
    outer -= {name for name in outer if name.startswith("_")}
    stays = seen.fixed | outer | set(words) | set(FOREIGN.read_text().split()) | {"self"}
    stays |= {name for name in seen.all if name.startswith("__")}
    private = {name for name in seen.bound if re.match("_[^_]", name)}
    arguments = (seen.arguments - seen.elsewhere - private) - stays
    alone = {name: classes for name, classes in seen.of_itself().items() if name not in stays | arguments}
    own = (private | seen.own) - stays - arguments - alone.keys()
    free = [word for word in words if word not in seen.all and word not in seen.fixed]
    shared = {**_shared(_meetings(sources, arguments), free), **_shared(_neighbours(alone), free)}
    rest = [word for word in free if word not in shared.values()]
    return {**shared, **dict(zip(sorted(own), rest, strict=False))}


def _shared(meets: Mapping[str, set[str]], free: Sequence[str]) -> dict[str, str]:
    """{name: word}, so that names which meet have different ones, and few words do for many."""
    taken: dict[str, str] = {}
    for name in sorted(meets, key=lambda each: (-len(meets[each]), each)):
        busy = {taken[other] for other in meets[name] if other in taken}
        word = next((word for word in free if word not in busy), None)
        if word is not None:
            taken[name] = word
    return taken


def _meetings(sources: Mapping[str, str], arguments: Collection[str]) -> dict[str, set[str]]:
    """{argument: those that it meets in a function}. One that is met outside functions too is not here."""
    meets: dict[str, set[str]] = {name: set() for name in arguments}
    functions: list[ast.AST] = []
    outside: set[str] = set()
    for text in sources.values():
        _split(ast.parse(text), functions, outside)
    for function in functions:
        found = {each.arg if isinstance(each, ast.arg) else each.id for each in ast.walk(function) if _is_name(each)}
        for name in found & meets.keys():
            meets[name] |= (found & meets.keys()) - {name}
    return {name: meets[name] for name in meets.keys() - outside}


def _neighbours(alone: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """{name: the others that are said of themselves by objects of the same classes}."""
    return {name: {other for other in alone if other != name and alone[other] & alone[name]} for name in alone}


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


def find_foreign() -> str:
    """The text of foreign.txt: every name in the stubs of the modules that speak to a chip."""
    folder, found = Path(sysconfig.get_path("purelib")), set()
    for module in FOREIGN_STUBS:
        path = folder / f"{module}.pyi"
        files = sorted(path.parent.glob(f"{module}/**/*.pyi")) if not path.exists() else [path]
        for node in (node for each in files for node in ast.walk(ast.parse(each.read_text()))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
                found.add(node.name)
            elif isinstance(node, ast.AnnAssign | ast.Assign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(each.id for each in targets if isinstance(each, ast.Name))
    return "".join(name + "\n" for name in sorted(found) if not name.startswith("__"))


def main(arguments: list[str]) -> int:
    """0; with --check 1 when words.txt or foreign.txt is not what the interpreter and the stubs say."""
    made = {WORDS: find_words(), FOREIGN: find_foreign()}
    if arguments == ["--check"]:
        return 0 if all(path.exists() and path.read_text() == text for path, text in made.items()) else 1
    for path, text in made.items():
        path.write_text(text)
    return 0


class _Names(ast.NodeVisitor):
    """all: every identifier; bound: those given a meaning here; arguments: of functions; elsewhere: attributes,
    functions and classes; own: functions, classes, methods, attributes of self; fixed: not to be touched."""

    def __init__(self) -> None:
        self.all: set[str] = set()
        self.bound: set[str] = set()
        self.arguments: set[str] = set()
        self.elsewhere: set[str] = set()
        self.own: set[str] = set()
        self.fixed: set[str] = set()
        self._open: set[str] = set()  # said of others too, or no attribute
        self._classes: dict[str, set[str]] = {}  # attribute -> classes that say it of themselves
        self._bases: dict[str, set[str]] = {}
        self._class = ""
        self._path = ""

    def read(self, path: str, text: str) -> None:
        self._path = path
        self.visit(ast.parse(text, path))

    def of_itself(self) -> dict[str, set[str]]:
        """{name: classes}: own names that are met as attributes of `self` and as methods only. A class stands for
        those that it inherits from as well."""
        found = {}
        for name in self.own.intersection(self._classes) - self._open:
            classes = set(self._classes[name])
            while more := {base for each in classes for base in self._bases.get(each, ())} - classes:
                classes |= more
            found[name] = classes
        return found

    def visit_Name(self, node: ast.Name) -> None:
        self.all.add(node.id)
        self._open.add(node.id)
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.all.add(node.attr)
        self.elsewhere.add(node.attr)
        of_self = isinstance(node.value, ast.Name) and node.value.id == "self" and self._class
        if of_self:
            self._classes.setdefault(node.attr, set()).add(self._class)
        else:
            self._open.add(node.attr)
        if isinstance(node.ctx, ast.Store):
            self.bound.add(node.attr)
            if of_self:
                self.own.add(node.attr)
        self.generic_visit(node)

    def visit_FunctionDef(self, node: ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        self._defined(node)
        if self._class:
            self._classes.setdefault(node.name, set()).add(self._class)
        else:
            self._open.add(node.name)
        self.generic_visit(node)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._defined(node)
        self._open.add(node.name)
        for each in node.body:
            if isinstance(each, ast.Assign):
                self._open.update(target.id for target in each.targets if isinstance(target, ast.Name))
        around, self._class = self._class, node.name
        self._bases.setdefault(node.name, set()).update(
            base.id if isinstance(base, ast.Name) else base.attr
            for base in node.bases
            if isinstance(base, ast.Name | ast.Attribute)
        )
        self.generic_visit(node)
        self._class = around

    def _defined(self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> None:
        for names in (self.all, self.bound, self.elsewhere, self.own):
            names.add(node.name)

    def visit_arg(self, node: ast.arg) -> None:
        self.all.add(node.arg)
        self.arguments.add(node.arg)
        self._open.add(node.arg)
        self.generic_visit(node)

    def visit_keyword(self, node: ast.keyword) -> None:
        if node.arg:
            self.fixed.add(node.arg)
        self.generic_visit(node)

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            self.fixed.update(alias.name.split("."))
            if alias.asname:
                self.fixed.add(alias.asname)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        package = self._path.partition("/")[0] if node.level else (node.module or "").partition(".")[0]
        for alias in node.names:
            if package in PACKAGES:
                self._open.update((alias.name, alias.asname or alias.name))
                self.all.update((alias.name, alias.asname or alias.name))
            else:
                self.fixed.update((alias.name, alias.asname or alias.name))
        self.fixed.update((node.module or "").split("."))

    def visit_Constant(self, node: ast.Constant) -> None:
        if isinstance(node.value, str) and node.value.isidentifier():
            self.fixed.add(node.value)

    def visit_Global(self, node: ast.Global | ast.Nonlocal) -> None:
        self.all.update(node.names)
        self._open.update(node.names)

    visit_Nonlocal = visit_Global  # type: ignore[assignment]


def renamed(text: str, new: Mapping[str, str]) -> str:
    """Each NAME token by its new name, everything else as it is, on the same line."""
    lines = text.splitlines(keepends=True)
    found = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text).readline)
        if token.type == tokenize.NAME and token.string in new
    ]
    for token in reversed(found):
        (row, start), (_, end) = token.start, token.end
        line = lines[row - 1]
        lines[row - 1] = line[:start] + new[token.string] + line[end:]
    return "".join(lines)


def asked(script: str, new: Mapping[str, str]) -> str:
    """A script that asks the firmware for its names by their new ones; its own names stay."""
    cuts = []
    for node in ast.walk(ast.parse(script)):
        if isinstance(node, ast.Attribute) and node.attr in new:
            line, end = node.end_lineno or node.lineno, node.end_col_offset or 0
            cuts.append((line, end - len(node.attr), line, end, new[node.attr]))
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in PACKAGES:
            names = [f"{new.get(each.name, each.name)} as {each.asname or each.name}" for each in node.names]
            cuts.append(cut_of(node, f"from {node.module} import {', '.join(names)}"))
    return replaced(script, cuts)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
