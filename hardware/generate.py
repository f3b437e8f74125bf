"""Makes from hardware/boards/*.toml what others read: the firmware's compact form, the simulator's, people's pages.

python -m hardware.generate            write all of it
python -m hardware.generate --check    exit 1 when something differs, or is left over from a board that is gone
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from hardware import compact, pages, rules
from hardware.schema import Board, parse
from sigap.problem import FAILED, USAGE, Problem

ROOT = Path(__file__).parents[1]
BOARDS = ROOT / "hardware" / "boards"
PAGES = ROOT / "hardware" / "pages"
FIRMWARE = ROOT / "firmware"
COMPACT = FIRMWARE / "hal" / "boards"
SIMULATOR = ROOT / "simulator" / "world" / "boards.json"
PACKAGES = ("base", "hal", "lora", "mqtt", "panic", "panic_wire")
VERSION = "0.1.0"


def read_board(path: Path) -> Board:
    """One description, checked; Problem when the firmware could not be built for it."""
    board = parse(path)
    rules.check(board)
    return board


def read_boards(folder: Path = BOARDS) -> dict[str, Board]:
    """Every board by its name."""
    return {path.stem: read_board(path) for path in sorted(folder.glob("*.toml"))}


def package(compact_names: list[str]) -> str:
    """The text of firmware/package.json: what `mpremote mip install` copies, without boot.py and main.py."""
    found = {path.relative_to(FIRMWARE).as_posix() for name in PACKAGES for path in (FIRMWARE / name).rglob("*.py")}
    files = sorted({file for file in found if not file.startswith("hal/boards/")} | set(compact_names))
    lines = ",\n".join(f'    ["{file}", "{file}"]' for file in files)
    return f'{{\n  "urls": [\n{lines}\n  ],\n  "deps": [],\n  "version": {json.dumps(VERSION)}\n}}\n'


def texts() -> dict[Path, str]:
    """{path: text} of every generated file."""
    boards = read_boards()
    names = ", ".join(f'"{name}"' for name in boards) + ("," if len(boards) == 1 else "")
    made = {
        COMPACT
        / "__init__.py": '"""A module for each board, made by `make generate`; hal/board.py imports the one it needs.'
        f'"""\n\nNAMES = ({names})\n',
        **{COMPACT / f"{name}.py": compact.module(board) for name, board in boards.items()},
        SIMULATOR: _json({name: compact.for_simulator(board) for name, board in boards.items()}),
        BOARDS / "board.schema.json": _json(Board.model_json_schema(by_alias=True)),
        **{PAGES / f"{name}.md": pages.page(board) for name, board in boards.items()},
        **{PAGES / f"{name}.svg": pages.drawing(board) for name, board in boards.items()},
    }
    modules = [path.relative_to(FIRMWARE).as_posix() for path in made if path.is_relative_to(FIRMWARE)]
    return {**made, FIRMWARE / "package.json": package(modules)}


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"


def left_over(made: dict[Path, str]) -> list[Path]:
    """Generated files of boards that are no more."""
    there = [*COMPACT.glob("*.py"), *PAGES.glob("*.md"), *PAGES.glob("*.svg")]
    return [path for path in there if path not in made]


def main(arguments: list[str]) -> int:
    """0 fine, 1 differs or a board is wrong, 2 wrong use."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return USAGE
    try:
        made = texts()
    except Problem as problem:
        print(f"sigap: {problem}", file=sys.stderr)
        return problem.exit_code
    stale = left_over(made)
    if not arguments:
        for path, text in made.items():
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        for path in stale:
            path.unlink()
        return 0
    different = [path for path, text in made.items() if not _holds(path, text)]
    for path in [*different, *stale]:
        name = path.relative_to(ROOT)
        print(f"sigap: {name} is not what its source makes. Run `make generate`.", file=sys.stderr)
    return FAILED if different or stale else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
