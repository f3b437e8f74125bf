"""Owners and devices from CSV files: all lines or none, and what is wrong is said with its line number."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from pathlib import Path

import sqlalchemy as sa

from gateway.registry.devices import add_device
from gateway.registry.people import add_owner
from sigap.problem import USAGE, Problem

LIMIT_BYTES = 16 << 20
SAID_ERRORS = 5
OWNER_COLUMNS = ("name", "telephone", "address", "language", "message")
DEVICE_COLUMNS = ("name", "owner", "silent", "site_name", "lat", "lon")
_YES, _NO = ("yes", "ya", "true", "1"), ("", "no", "tidak", "false", "0")

Row = dict[str, str]


def import_owners(conn: sa.Connection, path: Path, now_us: int) -> int:
    """Add every owner of the file; columns OWNER_COLUMNS, only `name` required. Returns how many."""

    def add(row: Row) -> None:
        add_owner(
            conn,
            name=row["name"],
            telephone=row.get("telephone") or None,
            address=row.get("address") or None,
            language=row.get("language") or "id",
            registered_message=row.get("message") or None,
            now_us=now_us,
        )

    return _each(path, OWNER_COLUMNS, add)


def import_devices(conn: sa.Connection, path: Path, now_us: int) -> int:
    """Add every device of the file; columns DEVICE_COLUMNS, only `name` required. Returns how many."""

    def add(row: Row) -> None:
        add_device(
            conn,
            name=row["name"],
            owner=row.get("owner") or None,
            silent=_yes(row.get("silent", "")),
            site_name=row.get("site_name") or None,
            site_lat=_degrees(row.get("lat", "")),
            site_lon=_degrees(row.get("lon", "")),
            now_us=now_us,
        )

    return _each(path, DEVICE_COLUMNS, add)


def _each(path: Path, columns: tuple[str, ...], add: Callable[[Row], None]) -> int:
    text = _read(path)
    # A spreadsheet set to Indonesian writes semicolons, because the comma is its decimal point.
    header = text.partition("\n")[0]
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=";" if ";" in header else ",", strict=True)
    errors: list[str] = []
    count = 0
    try:
        names = [name.strip().lower() for name in reader.fieldnames or []]
        _check_header(path, names, columns)
        reader.fieldnames = names
        for row in reader:
            try:
                if None in row or None in row.values():
                    raise Problem(f"it has not {len(names)} values")
                add({key: value.strip() for key, value in row.items()})
                count += 1
            except Problem as problem:
                errors.append(f"line {reader.line_num}: {problem.what}")
    except csv.Error as error:
        errors.append(f"line {reader.reader.line_num}: {error}")
    if errors:
        more = f"; and {len(errors) - SAID_ERRORS} more" if len(errors) > SAID_ERRORS else ""
        raise Problem(f"{path}: {'; '.join(errors[:SAID_ERRORS])}{more}", "Nothing was added; correct the file", USAGE)
    return count


def _read(path: Path) -> str:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise Problem(f"{path} is larger than {LIMIT_BYTES >> 20} MiB", "Split it", USAGE)
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise Problem(f"{path} cannot be read: {error.strerror}", "Give a CSV file", USAGE) from error
    except UnicodeDecodeError as error:
        raise Problem(f"{path}: byte {error.start} is not UTF-8", "Save it as CSV UTF-8", USAGE) from error


def _check_header(path: Path, names: list[str], columns: tuple[str, ...]) -> None:
    for name in names:
        if name not in columns or names.count(name) > 1:
            raise Problem(
                f"{path}: line 1: the column {name!r} is unknown or double",
                f"Use {', '.join(columns)}",
                USAGE,
            )
    if "name" not in names:
        raise Problem(f"{path}: line 1: the column name is missing", f"Begin with {', '.join(columns)}", USAGE)


def _yes(text: str) -> bool:
    if text.lower() in _YES:
        return True
    if text.lower() in _NO:
        return False
    raise Problem(f"silent is {text!r}, not yes or no")


def _degrees(text: str) -> float | None:
    try:
        return float(text.replace(",", ".")) if text else None
    except ValueError as error:
        raise Problem(f"{text!r} is not a number of degrees") from error
