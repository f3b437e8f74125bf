"""Reads scenario files (YAML 1.1, as PyYAML has it); what is wrong is said with file, line and column."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from sigap.problem import USAGE, Problem
from simulator.scenario.model import Scenario

FOLDER = Path(__file__).resolve().parents[1] / "scenarios"
SUFFIX = ".yaml"
MOST_SHOWN = 5


def names() -> list[str]:
    """The names of the shipped scenarios."""
    return sorted(path.stem for path in FOLDER.glob("*" + SUFFIX))


def quick() -> list[str]:
    """Of the shipped scenarios those that do not take many minutes."""
    return [name for name in names() if not load(name).long]


def path_of(name: str) -> Path:
    """The file of a shipped scenario, or the path that `name` is."""
    return Path(name) if "/" in name or name.endswith(SUFFIX) else FOLDER / (name + SUFFIX)


def load(name: str) -> Scenario:
    """A shipped scenario by name, or a file by its path. Raises Problem."""
    path = path_of(name)
    try:
        text = path.read_text()
    except OSError as error:
        raise Problem(
            f"there is no scenario {name} ({error.strerror})", "`sigap scenario list` shows all; or give a path", USAGE
        ) from error
    return parse(text, str(path))


def parse(text: str, where: str) -> Scenario:
    """The scenario in `text`. Problem names `where`, line and column of each mistake, up to five."""
    try:
        value = yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line = f"{where}:{mark.line + 1}:{mark.column + 1}" if mark else where
        raise Problem(f"{line}: no YAML: {error.problem}", "Correct it", USAGE) from error
    try:
        return Scenario.model_validate(value)
    except ValidationError as error:
        tree = yaml.compose(text, yaml.SafeLoader)
        said = [f"{_place(tree, each['loc'], where)}: {_words(each)}" for each in error.errors()[:MOST_SHOWN]]
        raise Problem("\n".join(said), "`sigap scenario schema` says what may be there", USAGE) from error


def where(name: str, loc: Sequence[int | str]) -> str:
    """file:line of a part of a scenario's file: ("steps", 3)."""
    path = path_of(name)
    return _place(yaml.compose(path.read_text(), yaml.SafeLoader), loc, str(path)).rpartition(":")[0]


def _words(error: Any) -> str:
    path = ".".join(str(part) for part in error["loc"])
    return f"{path}: {error['msg']}" if path else str(error["msg"])


def _place(tree: yaml.Node | None, loc: Sequence[int | str], where: str) -> str:
    """file:line:column of the deepest part of `loc` that the file has."""
    node = tree
    for part in loc:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(
                ((key, value) for key, value in node.value if isinstance(key, yaml.ScalarNode) and key.value == part),
                None,
            )
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            found = (None, node.value[part])
        if found is None:
            continue  # the tag of a union, or what is missing
        node = found[1]
    mark = node.start_mark if node is not None else None
    return where if mark is None else f"{where}:{mark.line + 1}:{mark.column + 1}"
