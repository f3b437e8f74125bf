"""Puts constants in place before mpy-cross compiles, and drops their names: they would cost a board RAM.

MicroPython's own const() does this within one file, for names with an underscore. Here it is done for the whole
firmware, as most constants are used across files. A constant is a module-level `NAME = expression` in capitals that is
bound once, of integers, a string or bytes, or a tuple of these that is used once. Lines stay where they are, so that a
traceback names the line of the source. What is used in a way that a text cannot replace (a name that is only passed on,
`from x import *`, an attribute of who knows what) keeps its name.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from sigap.firmware.texts import Cut, cut_of, module_name, replaced

Value = int | str | bytes | tuple["Value", ...]
CAPITALS = re.compile(r"_*[A-Z][A-Z0-9_]*$")


@dataclass
class Module:
    """One source file. stays: its text is not changed. constants: {name: value}; kept: those whose names must stay."""

    name: str
    text: str
    tree: ast.Module
    stays: bool = False
    constants: dict[str, Value] = field(default_factory=dict)
    kept: set[str] = field(default_factory=set)
    imported: dict[str, tuple[str, str]] = field(default_factory=dict)  # local name -> (module, its name there)
    modules: dict[str, str] = field(default_factory=dict)  # local name -> module


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
    used = _used(modules.values())
    changed = True
    while changed:  # a constant may be made of others
        changed = sum(_find_constants(module, modules, used) for module in modules.values()) > 0
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


def _used(modules: Iterable[Module]) -> Counter[str]:
    """How often each name is read, anywhere."""
    nodes = [node for module in modules for node in ast.walk(module.tree)]
    names = Counter(node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load))
    names.update(node.attr for node in nodes if isinstance(node, ast.Attribute))
    names.update(name for module in modules if module.stays for name in re.findall(r"\w+", module.text) * 2)
    return names


def _find_constants(module: Module, modules: Mapping[str, Module], used: Mapping[str, int]) -> bool:
    bound, found = _bound(module.tree), False
    for node in module.tree.body:
        if not (isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name)):
            continue
        name = node.targets[0].id
        if not CAPITALS.match(name) or bound[name] != 1 or name in module.constants:
            continue
        value = _value(node.value, module, modules)
        if value is None or (isinstance(value, tuple) and used.get(name, 0) > 1):
            continue
        module.constants[name] = value
        found = True
    return found


def _value(node: ast.expr, module: Module, modules: Mapping[str, Module]) -> Value | None:
    """What an expression of literals and known constants is; None for any other."""
    if isinstance(node, ast.Constant) and type(node.value) in (int, str, bytes):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.Name | ast.Attribute):
        return _constant(node, module, modules)
    if isinstance(node, ast.Tuple):
        values = [_value(each, module, modules) for each in node.elts]
        return None if None in values else tuple(value for value in values if value is not None)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _value(node.operand, module, modules)
        return -value if isinstance(value, int) else None
    if isinstance(node, ast.BinOp):
        left, right = _value(node.left, module, modules), _value(node.right, module, modules)
        if isinstance(left, int) and isinstance(right, int):
            return _computed(node.op, left, right)
    return None


def _computed(operator: ast.operator, left: int, right: int) -> int | None:
    match operator:
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


def _constant(node: ast.expr, module: Module, modules: Mapping[str, Module]) -> Value | None:
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
    """A name that is imported and not used is passed on, or is asked of a module in a way that is not seen through:
    it stays, there and here."""
    used = {node.id for node in ast.walk(module.tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}
    for local, (source, name) in module.imported.items():
        if name == "*":
            modules[source].kept.update(modules[source].constants)
        elif (module.stays or local not in used) and name in modules[source].constants:
            modules[source].kept.add(name)
            module.kept.add(local)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Attribute) and _constant(node, module, modules) is None:
            for other in modules.values():
                if node.attr in other.constants:
                    other.kept.add(node.attr)


def _rewrite(module: Module, modules: Mapping[str, Module]) -> str:
    if module.stays:
        return module.text
    cuts: list[Cut] = []

    def cut(node: ast.expr | ast.stmt, text: str) -> None:
        cuts.append(cut_of(node, text))

    shadowed = _shadowed(module)
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Load):
            value = None if node in shadowed else _constant(node, module, modules)
            if value is not None:
                cut(node, f"({value})" if isinstance(value, int) and value < 0 else repr(value))
        elif isinstance(node, ast.ImportFrom):
            _cut_import(node, module, modules, cut)
    for statement in module.tree.body:
        if isinstance(statement, ast.Assign) and isinstance(statement.targets[0], ast.Name):
            name = statement.targets[0].id
            if name in module.constants and name not in module.kept and len(statement.targets) == 1:
                cuts = [each for each in cuts if not _within(each, statement)]
                cut(statement, "pass")
    return replaced(module.text, cuts)


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
