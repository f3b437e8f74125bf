"""What the database's errors mean to the person who runs it."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

from sqlalchemy import exc

from sigap.problem import Problem

FULL_BYTES = 1 << 20  # with less than this free, an input/output error means: full


class StoreProblem(Problem, exc.SQLAlchemyError):
    """The store cannot be used now; nothing of the transaction was kept.

    Also a SQLAlchemyError, so that code which handles database errors needs no second clause.
    """


def explain(error: exc.DBAPIError, path: Path | None, *, reading: bool) -> StoreProblem | None:
    """The Problem for an error that an administrator can mend, or None for what is the program's own mistake.

    path: the SQLite file, None for PostgreSQL. reading: inside Store.read(), where we refuse writes
    ourselves. Codes: https://www.sqlite.org/rescode.html
    """
    original = error.orig
    if path is None:
        if isinstance(error, exc.OperationalError):
            said = next((line.strip() for line in str(original).splitlines() if line.strip()), "no reason given")
            return StoreProblem(f"the database did not answer: {said}", "Check [store] url and that it runs")
        return None
    if not isinstance(original, sqlite3.Error):
        return None
    code = getattr(original, "sqlite_errorcode", 0) & 0xFF
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreProblem(f"the disk of {path} is full", "Free some space; alarms are receipted again from then on")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreProblem(f"the store {path} is locked by another process", "End that process, then try again")
    if code in (sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM) or (code == sqlite3.SQLITE_READONLY and not reading):
        return StoreProblem(
            f"the store {path} cannot be written ({original})",
            "Give this user the right to write the file and its folder",
        )
    if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
        return StoreProblem(
            f"{path} is not a usable database ({original})",
            "Move it away and put the newest backup in its place",
        )
    if code == sqlite3.SQLITE_IOERR:
        return StoreProblem(f"the disk of {path} fails ({original})", "Check the disk, and restore the newest backup")
    return None


def _is_full(path: Path) -> bool:
    try:
        return shutil.disk_usage(path.parent).free < FULL_BYTES
    except OSError:
        return False
