"""The registry from CSV files: every row or none. What is wrong is said with its row, its column, and what to do."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from gateway.registry import operators, people, units
from gateway.registry.devices import add_device
from gateway.registry.names import BadValue
from gateway.registry.rehearsal import rehearsal
from gateway.store.engine import Store
from sigap.problem import USAGE, Problem

LIMIT_BYTES = 16 << 20
MOST_MISTAKES = 1000
MOST_OPERATORS = 200  # each password takes a tenth of a second to hash
_YES, _NO = ("yes", "ya", "true", "1"), ("", "no", "tidak", "false", "0")

Row = dict[str, str]


@dataclass(frozen=True)
class Mistake:
    """row: as a spreadsheet counts, the heading being 1."""

    row: int
    column: str
    what: str
    todo: str


@dataclass
class Report:
    """rows: how many are good. mistakes: at most MOST_MISTAKES; more: how many beyond. passwords: of new operators."""

    rows: int = 0
    mistakes: list[Mistake] = field(default_factory=list)
    more: int = 0
    passwords: dict[str, str] = field(default_factory=dict)

    def add(self, mistake: Mistake) -> None:
        if len(self.mistakes) < MOST_MISTAKES:
            self.mistakes.append(mistake)
        else:
            self.more += 1


@dataclass(frozen=True)
class Kind:
    """What a file of one kind holds: its columns, those that must be there, and how a row is added."""

    name: str
    columns: tuple[str, ...]
    required: tuple[str, ...]
    add: Callable[[sa.Connection, Row, int, Report], None]


def import_file(store: Store, kind: Kind, path: Path, now_us: int, *, dry_run: bool = False) -> Report:
    """Try every row in a copy of the registry; without a mistake, and unless dry_run, write them all into the store.

    Problem for a file that cannot be read as a table of this kind at all.
    """
    report = Report()
    rows = _rows(path, kind, report)
    with rehearsal(store) as tried:
        for number, row in rows:
            try:
                kind.add(tried.conn, row, now_us, report)
                report.rows += 1
            except Problem as problem:
                column = problem.column if isinstance(problem, BadValue) else kind.columns[0]
                report.add(Mistake(number, column, problem.what, problem.todo))
        if not report.mistakes and not dry_run:
            tried.perform(store)
    return report


def _rows(path: Path, kind: Kind, report: Report) -> Iterator[tuple[int, Row]]:
    """Each row with its number; one that has no shape is a mistake."""
    text = _read(path)
    # A spreadsheet set to Indonesian writes semicolons, because the comma is its decimal point.
    heading = text.partition("\n")[0]
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";" if ";" in heading else ",", strict=True)
    number, names = 0, None
    while True:
        number += 1
        try:
            values = next(reader)
        except StopIteration:
            break
        except csv.Error as error:
            report.add(Mistake(number, "", f"it cannot be read: {error}", "Look at the quotation marks of this row"))
            break  # where the next one begins is not known
        if names is None:
            names = [name.strip().lower() for name in values]
            _check_heading(path, names, kind)
        elif any(value.strip() for value in values):
            if len(values) == len(names):
                yield number, dict(zip(names, (value.strip() for value in values), strict=True))
            else:
                what = f"it has {len(values)} values, and the heading {len(names)}"
                report.add(Mistake(number, "", what, "Put a text with commas into quotation marks"))
    if names is None:
        _check_heading(path, [], kind)


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise Problem(f"{path} is larger than {LIMIT_BYTES >> 20} MiB", "Split it", USAGE)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "Give a CSV file", USAGE) from error
    except UnicodeDecodeError as error:
        raise Problem(f"{path}: byte {error.start} is not UTF-8", "Save it as CSV UTF-8", USAGE) from error


def _check_heading(path: Path, names: list[str], kind: Kind) -> None:
    known = f"The columns are {', '.join(kind.columns)}; {' and '.join(kind.required)} must be there"
    for name in names:
        if name not in kind.columns or names.count(name) > 1:
            raise Problem(f"{path}, row 1: the column {name!r} is unknown or double", known, USAGE)
    for name in kind.required:
        if name not in names:
            raise Problem(f"{path}, row 1: the column {name} is missing", known, USAGE)


def _yes(row: Row, column: str) -> bool:
    text = row.get(column, "")
    if text.lower() in (*_YES, *_NO):
        return text.lower() in _YES
    raise BadValue(column, f"{column} is {text!r}, not yes or no", "Write yes, ya, no or tidak, or leave it empty")


def _degrees(row: Row, column: str) -> float | None:
    text = row.get(column, "")
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError as error:
        raise BadValue(column, f"{text!r} is not a number of degrees", "Write it like -6.98 or -6,98") from error


def _owner(conn: sa.Connection, row: Row, now_us: int, _report: Report) -> None:
    people.add_owner(
        conn,
        name=row["name"],
        telephone=row.get("telephone") or None,
        address=row.get("address") or None,
        language=row.get("language") or "id",
        registered_message=row.get("message") or None,
        now_us=now_us,
    )


def _device(conn: sa.Connection, row: Row, now_us: int, _report: Report) -> None:
    add_device(
        conn,
        name=row["name"],
        owner=row.get("owner") or None,
        silent=_yes(row, "silent"),
        site_name=row.get("site_name") or None,
        site_lat=_degrees(row, "lat"),
        site_lon=_degrees(row, "lon"),
        now_us=now_us,
    )


def _relative(conn: sa.Connection, row: Row, now_us: int, _report: Report) -> None:
    tests = _yes(row, "tests")
    more: dict[str, Any] = {"wants_tests": tests, "now_us": now_us}
    people.add_relative(conn, owner=row["owner"], name=row["name"], channel=row["channel"], **more)


def _unit(conn: sa.Connection, row: Row, now_us: int, _report: Report) -> None:
    where = {"lat": _degrees(row, "lat"), "lon": _degrees(row, "lon")}
    units.add_unit(conn, row["name"], now_us, area=row.get("area") or None, **where)


def _operator(conn: sa.Connection, row: Row, now_us: int, report: Report) -> None:
    if len(report.passwords) >= MOST_OPERATORS:
        raise Problem(f"more than {MOST_OPERATORS} operators in one file", "Split the file")
    password = operators.new_password()
    added = operators.add_operator(
        conn,
        name=row["name"],
        password_hash=operators.hash_password(password),
        role=row.get("role") or operators.OPERATOR,
        language=row.get("language") or "id",
        now_us=now_us,
    )
    report.passwords[added.name] = password


OWNERS = Kind("owners", ("name", "telephone", "address", "language", "message"), ("name",), _owner)
DEVICES = Kind("devices", ("name", "owner", "silent", "site_name", "lat", "lon"), ("name",), _device)
RELATIVES = Kind("relatives", ("owner", "name", "channel", "tests"), ("owner", "name", "channel"), _relative)
UNITS = Kind("units", ("name", "area", "lat", "lon"), ("name",), _unit)
OPERATORS = Kind("operators", ("name", "role", "language"), ("name",), _operator)
KINDS = (OWNERS, DEVICES, RELATIVES, UNITS, OPERATORS)
