"""Joins the files of the firmware that are loaded together into one, before they are compiled.

A module costs a board some 300 bytes of RAM before its first line: its table of names, the names of its file, and each
name that it imports once more. What is always in RAM anyway (ROOMS) becomes one file on the device; what is loaded for
a moment and dropped stays a file of its own. Sources, imports and tests do not know of it.

The joined text has the files one after another, each after a line `# panic/presses.py`. `make firmware` leaves it in
build/firmware/joined: a traceback's line is a line of that. A name that two of the files give to different things gets
its file's name behind it; what cannot be renamed safely (it is an argument or a local there too) is refused.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from sigap.firmware.texts import Cut, cut_of, module_name, replaced
from sigap.problem import Problem

# file on the device: what is in it, in an order in which each needs only those before it
ROOMS: dict[str, tuple[str, ...]] = {
    "panic_wire/bodies.py": (
        "panic_wire/header.py",
        "panic_wire/ccm_ecb.py",
        "panic_wire/ccm.py",
        "panic_wire/seal.py",
        "panic_wire/bodies.py",
    ),
    "mqtt/client.py": (
        "mqtt/ticks.py",
        "mqtt/flag.py",
        "mqtt/codec.py",
        "mqtt/outgoing.py",
        "mqtt/link.py",
        "mqtt/client.py",
    ),
    "panic/app.py": (
        "panic/wait.py",
        "panic/retry.py",
        "panic/alarm.py",
        "panic/presses.py",
        "panic/sender.py",
        "panic/lights.py",
        "panic/nmea.py",
        "panic/position.py",
        "panic/supervision.py",
        "panic/journal.py",
        "panic/counter.py",
        "panic/notices.py",
        "panic/device.py",
        "panic/bearers.py",
        "panic/app.py",
    ),
    "panic/lora_bearer.py": ("lora/ledger.py", "lora/radio.py", "panic/lora_bearer.py"),
    "panic/sleeper.py": ("panic/power.py", "panic/sleeper.py"),
    "hal/board.py": ("hal/button.py", "hal/gps.py", "hal/lamp.py", "hal/power.py", "hal/wifi.py", "hal/board.py"),
}


@dataclass
class _Part:
    """One file. own: names that it binds for the whole module; moved: {name here: name in the joined file};
    modules: {name here: path of another file of the room}."""

    path: str
    text: str
    tree: ast.Module
    own: set[str] = field(default_factory=set)
    moved: dict[str, str] = field(default_factory=dict)
    modules: dict[str, str] = field(default_factory=dict)

    @property
    def stem(self) -> str:
        return self.path.removesuffix(".py").rpartition("/")[2]


def joined(sources: Mapping[str, str], rooms: Mapping[str, Sequence[str]] | None = None) -> dict[str, str]:
    """{path: text} with each room one file, and every import of its files led there.

    Raises Problem for a name that cannot be told apart, SyntaxError with the path in it.
    """
    rooms = ROOMS if rooms is None else rooms
    parts = {path: _Part(path, text, ast.parse(text, path)) for path, text in sources.items()}
    home = {path: target for target, paths in rooms.items() for path in paths if path in parts}
    for paths in rooms.values():
        _settle([parts[path] for path in paths if path in parts], parts)
    made = {}
    for path, part in parts.items():
        if path not in home:
            made[path] = _led(part, parts, home)
    for target, paths in rooms.items():
        texts = [f"# {path}\n" + _led(parts[path], parts, home) for path in paths if path in parts]
        if texts:
            made[target] = "".join(texts)
    return made


def _settle(room: Sequence[_Part], parts: Mapping[str, _Part]) -> None:
    """Find what each file of a room binds, and give names that meet another file's a name of their own."""
    foreign: list[set[str]] = []
    for part in room:
        part.own = {name for statement in _flat(part.tree.body) for name in _defined(statement)}
        foreign.append(
            {
                alias.asname or alias.name
                for statement in _flat(part.tree.body)
                if isinstance(statement, ast.Import | ast.ImportFrom) and not _of(statement, part, parts, room)
                for alias in statement.names
            }
        )
    # `try: from machine import X, except ImportError: X = None` binds what stays somebody else's.
    for part, names in zip(room, foreign, strict=True):
        part.own -= names
    taken = set().union(*foreign)
    times = Counter(name for part in room for name in part.own)
    for part in room:
        for name in part.own:
            if times[name] > 1 or name in taken:
                behind = part.stem.upper() if name.isupper() else part.stem
                part.moved[name] = f"{name}_{behind}"


def _flat(body: Sequence[ast.stmt]) -> list[ast.stmt]:
    """Statements of a module, with those inside its `if` and `try`."""
    out: list[ast.stmt] = []
    for statement in body:
        out.append(statement)
        if isinstance(statement, ast.If | ast.Try):
            out += _flat(statement.body) + _flat(statement.orelse)
        if isinstance(statement, ast.Try):
            out += _flat([each for handler in statement.handlers for each in handler.body])
            out += _flat(statement.finalbody)
    return out


def _defined(statement: ast.stmt) -> list[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Assign):
        names = [node for target in statement.targets for node in ast.walk(target)]
        return [node.id for node in names if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]
    return []


def _source(statement: ast.ImportFrom, part: _Part) -> str:
    package = part.path.rpartition("/")[0].replace("/", ".")
    return ".".join(each for each in (package if statement.level else "", statement.module or "") if each)


def _path_of(module: str, parts: Mapping[str, _Part]) -> str | None:
    path = module.replace(".", "/") + ".py"
    return path if path in parts else None


def _of(statement: ast.Import | ast.ImportFrom, part: _Part, parts: Mapping[str, _Part], room: Sequence[_Part]) -> bool:
    """Whether all that is imported comes from files of this room."""
    if isinstance(statement, ast.Import):
        return False
    source, paths = _source(statement, part), {each.path for each in room}
    found = [_path_of(f"{source}.{alias.name}", parts) or _path_of(source, parts) for alias in statement.names]
    return all(path in paths for path in found)


def _led(part: _Part, parts: Mapping[str, _Part], home: Mapping[str, str]) -> str:
    """A file's text: imports of what is joined with it dropped, of what is joined elsewhere led there."""
    cuts: list[Cut] = []
    here = home.get(part.path, part.path)
    renamed = dict(part.moved)
    for node in ast.walk(part.tree):
        if isinstance(node, ast.ImportFrom):
            text = _import(node, part, parts, home, here, renamed)
            if text is not None:
                cuts.append(cut_of(node, text))
        elif isinstance(node, ast.Import):
            for alias in node.names:
                path = _path_of(alias.name, parts)
                if path is not None and home.get(path, path) != path:
                    raise Problem(f"{part.path}:{node.lineno}: {alias.name} is joined", "Write `from ... import ...`")
    renamed = {old: new for old, new in renamed.items() if old != new}
    _refuse_shadows(part, renamed)
    for node in ast.walk(part.tree):
        if isinstance(node, ast.Name) and node.id in renamed:
            cuts.append(cut_of(node, renamed[node.id]))
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and node.name in renamed:
            if node in _flat(part.tree.body):
                cuts.append(_name_cut(node, part.text, renamed[node.name]))
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in part.modules:
            other = parts[part.modules[node.value.id]]
            cuts = [each for each in cuts if each[:2] != (node.value.lineno, node.value.col_offset)]
            cuts.append(cut_of(node, other.moved.get(node.attr, node.attr)))
    return replaced(part.text, cuts)


def _import(
    node: ast.ImportFrom,
    part: _Part,
    parts: Mapping[str, _Part],
    home: Mapping[str, str],
    here: str,
    renamed: dict[str, str],
) -> str | None:
    """The text in place of an import; None: as it is. What it brings under other names comes into `renamed`."""
    source = _source(node, part)
    path = _path_of(source, parts)
    if path is None:  # a package: its modules, or somebody else's
        joined_modules = [alias for alias in node.names if _path_of(f"{source}.{alias.name}", parts) in home]
        if not joined_modules:
            return None
        for alias in joined_modules:
            member = _path_of(f"{source}.{alias.name}", parts)
            assert member is not None
            if home[member] != here or len(joined_modules) != len(node.names):
                raise Problem(f"{part.path}:{node.lineno}: {source}.{alias.name} is joined", "Import names of it")
            part.modules[alias.asname or alias.name] = member
        return "pass"
    if path not in home:
        return None
    moved = parts[path].moved
    if home[path] == here:
        for alias in node.names:
            renamed[alias.asname or alias.name] = moved.get(alias.name, alias.name)
        return "pass"
    names = []
    for alias in node.names:
        there, local = moved.get(alias.name, alias.name), alias.asname or alias.name
        names.append(there if there == local else f"{there} as {local}")
    return f"from {module_name(home[path])} import {', '.join(names)}"


def _refuse_shadows(part: _Part, renamed: Mapping[str, str]) -> None:
    """A name that is to be another must mean one thing in the file."""
    for node in ast.walk(part.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            continue
        inner = [each for each in ast.walk(node) if each is not node]
        bound = {each.arg for each in inner if isinstance(each, ast.arg)}
        bound |= {each.id for each in inner if isinstance(each, ast.Name) and not isinstance(each.ctx, ast.Load)}
        if wrong := sorted(bound & set(renamed)):
            raise Problem(
                f"{part.path}:{node.lineno}: {', '.join(wrong)} is a name of two files joined, and a local here",
                "Give one of them another name",
            )


def _name_cut(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef, text: str, new: str) -> Cut:
    line = text.splitlines()[node.lineno - 1]
    found = re.search(r"\b(?:def|class)\s+(\w+)", line)
    assert found is not None
    return node.lineno, len(line[: found.start(1)].encode()), node.lineno, len(line[: found.end(1)].encode()), new
