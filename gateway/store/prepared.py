"""Statements that are compiled once, for where SQLAlchemy's own work for each execution would cost more than SQLite's.

`conn.execute(prepared(statement), values)` does what it does for the statement itself, at a fifth of the cost: on
SQLite the text and the order of its values are kept, and the cursor is used directly. Elsewhere, and outside of a
transaction, the statement itself is executed. Not for statements with expanding parameters (IN lists).
"""

from __future__ import annotations

import collections
import sqlite3
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy import exc
from sqlalchemy.dialects import sqlite

MOST_SHAPES = 32  # of values that one statement is given: an INSERT has the columns that it is given values for


class Rows:
    """What was selected or returned, read whole; of sqlalchemy.Result what the gateway uses."""

    def __init__(self, rows: list[Any], rowcount: int) -> None:
        self._rows, self.rowcount = rows, rowcount

    def all(self) -> list[Any]:
        return self._rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self._rows)

    def first(self) -> Any:
        return self._rows[0] if self._rows else None

    def one_or_none(self) -> Any:
        if len(self._rows) > 1:
            raise exc.MultipleResultsFound("Multiple rows were found when one or none was required")
        return self.first()

    def one(self) -> Any:
        row = self.one_or_none()
        if row is None:
            raise exc.NoResultFound("No row was found when one was required")
        return row

    def scalar(self) -> Any:
        return self._rows[0][0] if self._rows else None

    def scalars(self) -> Rows:
        return Rows([row[0] for row in self._rows], self.rowcount)

    def mappings(self) -> Rows:
        return Rows([row._mapping for row in self._rows], self.rowcount)


class _Shape:
    """The text for values of these names, and how its rows are made."""

    def __init__(self, statement: Any, dialect: sa.Dialect, names: tuple[str, ...]) -> None:
        columns = list(names) if isinstance(statement, sa.Insert) else None
        # With names, not positions, so that SQLite finds the values in the dictionary as it is given.
        compiled: Any = statement.compile(dialect=sqlite.dialect(paramstyle="named"), column_keys=columns)
        self.text = str(compiled)
        self._fixed = {name: value for name, value in compiled.params.items() if name not in names}
        # SQLite takes a truth value as it is; other types may have to write theirs in a form of their own.
        writers = {
            name: bind.type.bind_processor(dialect)
            for name, bind in compiled.binds.items()
            if not isinstance(bind.type, sa.Boolean)
        }
        self._writers = {name: writer for name, writer in writers.items() if writer is not None}
        self.make = _row_maker(compiled._result_columns, dialect)

    def values(self, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """As the text names them."""
        if not self._fixed and not self._writers:
            return given
        values = {**self._fixed, **given}
        for name, writer in self._writers.items():
            values[name] = writer(values[name])
        return values


def _row_maker(columns: Sequence[Any], dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """None for text, whose columns only the cursor knows."""
    if not columns:
        return None
    make = _row_kind([column.keyname for column in columns])
    found = [(at, column.type.result_processor(dialect, None)) for at, column in enumerate(columns)]
    readers = [(at, reader) for at, reader in found if reader is not None]
    if not readers:
        return make

    def read(raw: Sequence[Any]) -> Any:
        row = list(raw)
        for at, reader in readers:
            row[at] = reader(row[at])
        return make(row)

    return read


def _row_kind(names: Sequence[str]) -> Callable[[Any], Any]:
    kind = collections.namedtuple("Row", names, rename=True)
    kind._mapping = property(kind._asdict)  # pyright: ignore[reportAttributeAccessIssue] (sqlalchemy.Row has it)
    return kind._make


class Prepared:
    """Given to Connection.execute, which lets what it is given execute itself."""

    def __init__(self, statement: Any) -> None:
        self.statement = statement
        self._shapes: dict[tuple[sa.Dialect, tuple[str, ...]], _Shape] = {}  # each engine has a dialect of its own

    def _execute_on_connection(self, conn: sa.Connection, values: Any, options: Any) -> Any:
        if conn.dialect.name != "sqlite" or not conn.in_transaction():
            return self.statement._execute_on_connection(conn, values, options)
        given = values or [{}]
        shape = self._shape(conn.dialect, tuple(given[0]))
        raw: Any = conn.connection.driver_connection
        try:
            if len(given) == 1:
                cursor = raw.execute(shape.text, shape.values(given[0]))
            else:
                cursor = raw.executemany(shape.text, map(shape.values, given))
            if cursor.description is None:
                return Rows([], cursor.rowcount)
            if shape.make is None:
                shape.make = _row_kind([column[0] for column in cursor.description])
            return Rows(list(map(shape.make, cursor.fetchall())), cursor.rowcount)
        except sqlite3.Error as error:
            raise exc.DBAPIError.instance(shape.text, values, error, sqlite3.Error) from error

    def _shape(self, dialect: sa.Dialect, names: tuple[str, ...]) -> _Shape:
        shape = self._shapes.get((dialect, names))
        if shape is None:
            if len(self._shapes) >= MOST_SHAPES:
                self._shapes.pop(next(iter(self._shapes)))
            shape = self._shapes[dialect, names] = _Shape(self.statement, dialect, names)
        return shape


def prepared(statement: Any) -> Any:
    """The statement, compiled once. Typed as whatever Connection.execute takes."""
    return Prepared(statement)
