"""Makes firmware/hal/boards.py from hardware/boards/*.toml, and firmware/package.json for mip.

python -m hardware.generate            write it
python -m hardware.generate --check    exit 1 when it differs
"""

from __future__ import annotations

import json
import sys
import tomllib
from pathlib import Path

from sigap.problem import FAILED, USAGE, Problem

BOARDS = Path(__file__).parent / "boards"
FIRMWARE = Path(__file__).parents[1] / "firmware"
PACKAGES = ("hal", "mqtt", "panic", "panic_wire")
VERSION = "0.1.0"

# Part -> key -> kind. What the firmware needs of a board; the rest (wiring, references) is for people.
PARTS: dict[str, dict[str, type]] = {
    "button": {"pin": int, "pull": str, "active_low": bool},
    "led": {"pin": int, "active_high": bool},
    "buzzer": {"pin": int},
    "gps": {"uart": int, "rx": int, "tx": int, "baud": int},
}
REQUIRED = ("button", "led")
PIN_KEYS = ("pin", "rx", "tx")

# ESP32 datasheet, pin definitions: 34-39 are input only and have no pulls; 6-11 are the flash's;
# 0, 2, 5, 12 and 15 are strapping pins; 20, 24 and 28-31 do not exist.
ESP32_PINS = frozenset(range(40)) - frozenset((6, 7, 8, 9, 10, 11, 20, 24, 28, 29, 30, 31))
INPUT_ONLY = frozenset(range(34, 40))
STRAPPING = frozenset((0, 2, 5, 12, 15))


def read_board(path: Path) -> tuple[str, dict[str, dict[str, object]]]:
    """(name, parts) of one description; Problem when the firmware could not be built for it."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise Problem(f"{path.name} is not TOML: {error}", "correct it") from error
    name = data.get("board", {}).get("name")
    if name != path.stem:
        raise Problem(f"{path.name} says that its board is {name!r}", f"write name = {path.stem!r} under [board]")
    parts: dict[str, dict[str, object]] = {}
    for part, kinds in PARTS.items():
        if part in data:
            parts[part] = _part(path.name, part, kinds, data[part])
        elif part in REQUIRED:
            raise Problem(f"{path.name} has no [{part}]", "every board has a button and an LED: describe it")
    _check_pins(path.name, parts)
    return name, parts


def _part(file: str, part: str, kinds: dict[str, type], table: dict[str, object]) -> dict[str, object]:
    for key in table:
        if key not in kinds:
            raise Problem(f"{file} has {part}.{key}, which the firmware does not know", f"use {', '.join(kinds)}")
    for key, kind in kinds.items():
        if type(table.get(key)) is not kind:
            raise Problem(f"{file} needs {part}.{key} as {kind.__name__}", "add it")
    return {key: table[key] for key in kinds}


def _check_pins(file: str, parts: dict[str, dict[str, object]]) -> None:
    used: dict[object, str] = {}
    for part, values in parts.items():
        for key in PIN_KEYS:
            if key not in values:
                continue
            pin, place = values[key], f"{part}.{key}"
            if pin not in ESP32_PINS:
                raise Problem(f"{file}: {place} = {pin} is no free pin of an ESP32", "choose another")
            if pin in used:
                raise Problem(f"{file}: {place} and {used[pin]} are both pin {pin}", "choose another")
            used[pin] = place
            if pin in STRAPPING:
                raise Problem(f"{file}: {place} = {pin} is a strapping pin", "choose another: it decides the boot")
            if pin in INPUT_ONLY and (part in ("led", "buzzer") or key == "tx"):
                raise Problem(f"{file}: {place} = {pin} is input only", "choose one below 34")
            if pin in INPUT_ONLY and values.get("pull") == "up":
                raise Problem(f"{file}: {place} = {pin} has no pull-up inside", 'set pull = "none", and solder one')


def boards() -> str:
    """The text of firmware/hal/boards.py."""
    lines = [
        '"""Made by `python -m hardware.generate` from hardware/boards/*.toml. Change those."""',
        "",
        "BOARDS = {",
    ]
    for path in sorted(BOARDS.glob("*.toml")):
        name, parts = read_board(path)
        lines.append(f'    "{name}": {{')
        for part, values in parts.items():
            inner = ", ".join(f'"{key}": {_literal(value)}' for key, value in values.items())
            lines.append(f'        "{part}": {{{inner}}},')
        lines.append("    },")
    lines.append("}")
    return "\n".join(lines) + "\n"


def _literal(value: object) -> str:
    return f'"{value}"' if isinstance(value, str) else repr(value)


def package() -> str:
    """The text of firmware/package.json: what `mpremote mip install` copies, without boot.py and main.py."""
    files = [
        path.relative_to(FIRMWARE).as_posix() for name in PACKAGES for path in sorted((FIRMWARE / name).glob("*.py"))
    ]
    lines = ",\n".join(f'    ["{file}", "{file}"]' for file in files)
    return f'{{\n  "urls": [\n{lines}\n  ],\n  "deps": [],\n  "version": {json.dumps(VERSION)}\n}}\n'


def main(arguments: list[str]) -> int:
    """0 fine, 1 differs or a board is wrong, 2 wrong use."""
    if arguments not in ([], ["--check"]):
        print(__doc__, file=sys.stderr)
        return USAGE
    try:
        made = {FIRMWARE / "hal" / "boards.py": boards()}
        if not arguments:
            # Before the list of files is made: it names this one.
            _write(made)
        made[FIRMWARE / "package.json"] = package()
    except Problem as problem:
        print(f"sigap: {problem}", file=sys.stderr)
        return problem.exit_code
    if not arguments:
        _write(made)
        return 0
    different = [path for path, text in made.items() if not _holds(path, text)]
    for path in different:
        name = path.relative_to(FIRMWARE.parent)
        print(f"sigap: {name} is not what its source makes. Run `make generate`.", file=sys.stderr)
    return FAILED if different else 0


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text(encoding="utf-8") == text


def _write(made: dict[Path, str]) -> None:
    for path, text in made.items():
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
