"""Puts integer constants in place before mpy-cross compiles, and drops their names: they would cost a board RAM.

MicroPython's own const() does this within one file, for names with an underscore. Here it is done for the whole
firmware, as most constants are used across files. A constant is a module-level `NAME = integer expression` in capitals
that is bound once. Lines stay where they are, so that a traceback names the line of the source. What is used in a way
that a text cannot replace (a name that is only passed on, `from x import *`) keeps its name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

CAPITALS = re.compile(r"_*[A-Z][A-Z0-9_]*$")


@dataclass
class Module:
    """One source file. stays: its text is not changed. constants: {name: value}; kept: those whose names must stay."""

    name: str
    text: str
    tree: ast.Module
    stays: bool = False
    constants: dict[str, int] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, its name there)
    modules: dict[str, str] = field(default_factory=dict)  # local name -> module


def module_name(path: str) -> str:
    """panic/app.py -> panic.app; panic/__init__.py -> panic."""
    return path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")


def in_place(sources: Mapping[str, str], as_they_are: Collection[str] = ()) -> dict[str, str]:
    """{path: text} with the constants in place; as_they_are: paths whose text stays, and what they use with it.

    Raises SyntaxError with the path in it.
    """
    modules = {}
    for path, text in sources.items():
        name = module_name(path)
        modules[name] = Module(name, text, ast.parse(text, path), path in as_they_are)
    for module in modules.values():
        _find_imports(module, modules)
    changed = True
    while changed:  # a constant may be made of others
        changed = sum(_find_constants(module, modules) for module in modules.values()) > 0
    for module in modules.values():
        _find_kept(module, modules)
    return {
        path: text if path in as_they_are else _rewrite(modules[module_name(path)], modules)
        for path, text in sources.items()
    }


def _find_imports(module: Module, modules: Mapping[str, Module]) -> None:
    is_package = any(name.startswith(module.name + ".") for name in modules)
    package = module.name if is_package else module.name.rpartition(".")[0]
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.ImportFrom):
            continue
        source = ".".join(part for part in (package if node.level else "", node.module or "") if part)
        for alias in node.names:
            local = alias.asname or alias.name
            if f"{source}.{alias.name}" in modules:
                module.modules[local] = f"{source}.{alias.name}"
            elif source in modules:
                module.imported[local] = (source, alias.name)


def _bound(tree: ast.Module) -> dict[str, int]:
    """How often each name is bound, anywhere in the module."""
    count: dict[str, int] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store | ast.Del):
            count[node.id] = count.get(node.id, 0) + 1
        elif isinstance(node, ast.arg):
            count[node.arg] = count.get(node.arg, 0) + 1
        elif isinstance(node, ast.Global):
            for name in node.names:
                count[name] = count.get(name, 0) + 2
    return count


def _find_constants(module: Module, modules: Mapping[str, Module]) -> bool:
    bound, found = _bound(module.tree), False
    for node in module.tree.body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        name = node.targets[0].id
        if not CAPITALS.match(name) or bound[name] != 1 or name in module.constants:
            continue
        value = _value(node.value, module, modules)
        if value is not None:
            module.constants[name] = value
            found = True
    return found


def _value(node: ast.expr, module: Module, modules: Mapping[str, Module]) -> int | None:
    """The integer that an expression of integers and known constants is; None for any other."""
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name | ast.Attribute):
        return _constant(node, module, modules)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, module, modules)
        return None if value is None else -value
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, module, modules), _value(node.right, module, modules)
        if left is None or right is None:
            return None
        match node.op:
            case ast.Add():
                return left + right
            case ast.Sub():
                return left - right
            case ast.Mult():
                return left * right
            case ast.FloorDiv():
                return left // right
            case ast.LShift():
                return left << right
            case ast.BitOr():
                return left | right
    return None


def _constant(node: ast.expr, module: Module, modules: Mapping[str, Module]) -> int | None:
    if isinstance(node, ast.Name):
        if node.id in module.constants:
            return module.constants[node.id]
        source = module.imported.get(node.id)
        return modules[source[0]].constants.get(source[1]) if source else None
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
        source_name = module.modules.get(node.value.id)
        return modules[source_name].constants.get(node.attr) if source_name else None
    return None


def _find_kept(module: Module, modules: Mapping[str, Module]) -> None:
    """A name that is imported and not used is passed on: it stays, there and here."""
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for local, (source, name) in module.imported.items():
        if name == "*":
            modules[source].kept.update(modules[source].constants)
        elif (module.stays or local not in used) and name in modules[source].constants:
            modules[source].kept.add(name)
            module.kept.add(local)


Cut = tuple[int, int, int, int, str]  # line, column in bytes, end line, end column, new text


def _rewrite(module: Module, modules: Mapping[str, Module]) -> str:
    if module.stays:
        return module.text
    cuts: list[Cut] = []

    def cut(node: ast.expr | ast.stmt, text: str) -> None:
        end = (node.end_lineno or node.lineno, node.end_col_offset or node.col_offset)
        cuts.append((node.lineno, node.col_offset, *end, text))

    shadowed = _shadowed(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            value = None if node in shadowed else _constant(node, module, modules)
            if value is not None:
                cut(node, f"({value})" if value < 0 else str(value))
        elif isinstance(node, ast.ImportFrom):
            _cut_import(node, module, modules, cut)
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in module.constants and name not in module.kept and len(statement.targets) == 1:
                cuts = [each for each in cuts if not _within(each, statement)]
                cut(statement, "pass")
    return _apply(module.text, cuts)


def _shadowed(module: Module) -> set[ast.AST]:
    """Names inside a function that has an argument or a local of that name."""
    out: set[ast.AST] = set()
    for node in ast.walk(module.tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        own = {each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)}
        own |= {each.id for each in ast.walk(node) if isinstance(each, ast.Name) and isinstance(each.ctx, ast.Store)}
        out.update(each for each in ast.walk(node) if isinstance(each, ast.Name) and each.id in own)
    return out


def _within(each: Cut, node: ast.stmt) -> bool:
    return (node.lineno, node.col_offset) <= each[:2] and each[2:4] <= (node.end_lineno or 0, node.end_col_offset or 0)


def _cut_import(
    node: ast.ImportFrom, module: Module, modules: Mapping[str, Module], cut: Callable[[ast.stmt, str], None]
) -> None:
    left = []
    for alias in node.names:
        local = alias.asname or alias.name
        source = module.imported.get(local)
        constant = source is not None and source[1] in modules[source[0]].constants and local not in module.kept
        if not constant:
            left.append(alias.name if alias.asname is None else f"{alias.name} as {alias.asname}")
    if len(left) == len(node.names):
        return
    from_ = "." * node.level + (node.module or "")
    cut(node, f"from {from_} import {', '.join(left)}" if left else "pass")


def _apply(text: str, cuts: list[Cut]) -> str:
    lines = text.splitlines(keepends=True)
    for line, column, end_line, end_column, new in sorted(cuts, reverse=True):
        first, last = lines[line - 1].encode(), lines[end_line - 1].encode()
        tail = last[end_column:].decode()
        lines[line - 1] = first[:column].decode() + new + ("" if end_line > line else tail)
        if end_line > line:
            for number in range(line, end_line - 1):
                lines[number] = "\n"
            lines[end_line - 1] = tail
            lines[line - 1] += "\n"
    return "".join(lines)
