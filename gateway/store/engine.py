"""Opens the store: one SQLite file (or a PostgreSQL database), upgraded to this program's schema.

SQLite runs in WAL mode with synchronous=FULL: after `Store.write()` has left its block the rows survive a
power cut (https://www.sqlite.org/pragma.html#pragma_synchronous). pysqlite's own transaction handling is
switched off, as SQLAlchemy's documentation of that dialect describes, so that a transaction begins where we
say.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import sqlite3
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event, exc

from gateway.store import keys, migrations
from gateway.store.problems import StoreProblem, explain
from sigap.problem import USAGE, Problem, missing

BUSY_LIMIT_S = 5.0  # how long a transaction waits for another process's
MAX_CONNECTIONS = 16
CHECKPOINT_EVERY_S = 1.0
WRAPPED_SINCE = "0006"  # the revision that wraps root keys
CHECKPOINT_BYTES = 4 << 20  # a write-ahead log longer than this is copied back by the checkpoint thread
CHECKPOINT_RESTART_BYTES = 16 << 20  # beyond this our writers wait a moment, so that it can begin anew
CHECKPOINT_HARD_BYTES = 128 << 20  # and beyond this it is emptied even though writers must wait for it
ENQUEUED = "sigap_enqueued"  # Connection.info: destinations that this transaction wrote deliveries for
_BEGIN = "sigap_begin"  # execution option: how a transaction begins on SQLite


class Store:
    """The open store. Every method may be called from any thread.

    `with store.write() as conn:` commits when the block ends and rolls back when it raises; on SQLite it
    holds the write lock from its first moment, so what it reads cannot change under it. `with store.read()
    as conn:` sees one snapshot and refuses to write. Both raise StoreProblem (a Problem, and a
    SQLAlchemyError) for what an administrator can mend: full disk, lost permission, a file that is damaged
    or locked.
    """

    def __init__(self, engine: sa.Engine, path: Path | None) -> None:
        self.engine, self.path = engine, path
        self._writer = engine.execution_options(**{_BEGIN: "BEGIN IMMEDIATE"})
        self._write_connection: sa.Connection | None = None  # SQLite: kept by whoever has the turn
        self._turn = threading.Lock()  # SQLite's own waiting polls with growing sleeps; a lock wakes at once
        self._turn_owner: int | None = None
        # Called after a commit with the destinations that it wrote deliveries for; in any thread.
        self.on_enqueued: Callable[[set[str]], None] | None = None
        self._closing = threading.Event()
        self._checkpointer: threading.Thread | None = None

    @property
    def is_sqlite(self) -> bool:
        return self.path is not None

    @contextlib.contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """One transaction that changes things. Not to be nested: the second would wait for the first."""
        if not self.is_sqlite:
            with self._explained(), self._writer.begin() as conn:
                conn.info.pop(ENQUEUED, None)
                yield conn
                enqueued = conn.info.pop(ENQUEUED, None)
            self._tell(enqueued)
            return
        with self._take_turn(), self._explained():
            conn = self._take_write_connection()
            conn.info.pop(ENQUEUED, None)  # of one that was rolled back
            try:
                with conn.begin():
                    yield conn
            except exc.DBAPIError:  # whatever it left behind: the next one begins with a new connection
                self._drop_write_connection()
                raise
            enqueued = conn.info.pop(ENQUEUED, None)
        self._tell(enqueued)
        if self._checkpointer is None:
            self._start_checkpointer()

    def _tell(self, enqueued: set[str] | None) -> None:
        if enqueued and self.on_enqueued is not None:
            self.on_enqueued(enqueued)

    def _take_write_connection(self) -> sa.Connection:
        """The one that writes; to take one from the pool each time costs as much as a small transaction."""
        if self._write_connection is None:
            conn = self._writer.connect()
            raw: Any = conn.connection.driver_connection
            raw.execute("PRAGMA query_only=OFF")
            self._write_connection = conn
        return self._write_connection

    def _drop_write_connection(self) -> None:
        conn, self._write_connection = self._write_connection, None
        if conn is not None:
            conn.invalidate()
            conn.close()

    @contextlib.contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """One snapshot; nothing is committed."""
        with self._explained(reading=True), self.engine.connect() as conn:
            yield conn

    def checkpoint(self, *, hard: bool = False) -> None:
        """Copy SQLite's write-ahead log back into the database file. `hard` makes writers wait and empties
        it."""
        if self.path is None:
            return
        with contextlib.closing(_raw_connection(self.path)) as connection:
            connection.execute(f"PRAGMA wal_checkpoint({'TRUNCATE' if hard else 'PASSIVE'})").fetchall()

    def copy_to(self, path: Path) -> None:
        """Write SQLite's content as of one moment to a new file of mode 0600, while others go on writing; what was
        deleted is not in it. https://www.sqlite.org/lang_vacuum.html#vacuuminto"""
        assert self.path is not None
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))  # it takes an empty file
        with self._explained(reading=True), contextlib.closing(_raw_connection(self.path)) as connection:
            connection.execute("VACUUM INTO ?", (str(path),))

    def close(self) -> None:
        """Give back every connection. Safe to call twice."""
        self._closing.set()
        if self._checkpointer is not None:
            self._checkpointer.join()
        if self._write_connection is not None:
            self._write_connection.close()
            self._write_connection = None
        self.engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextlib.contextmanager
    def _take_turn(self) -> Iterator[None]:
        if not self.is_sqlite:
            yield
            return
        me = threading.get_ident()
        if self._turn_owner == me:
            raise RuntimeError("store.write() inside store.write(): pass the connection on instead")
        if not self._turn.acquire(timeout=BUSY_LIMIT_S):
            raise StoreProblem(
                f"the store {self.path} was busy for {BUSY_LIMIT_S:g} s",
                "Try again, and report it if it stays so",
            )
        self._turn_owner = me
        try:
            yield
        finally:
            self._turn_owner = None
            self._turn.release()

    @contextlib.contextmanager
    def _explained(self, *, reading: bool = False) -> Iterator[None]:
        try:
            yield
        except exc.DBAPIError as error:
            problem = explain(error, self.path, reading=reading)
            if problem is None:
                raise
            raise problem from error

    def _start_checkpointer(self) -> None:
        # SQLite's automatic checkpoint runs inside a commit and stalls it by 35-130 ms, in an alarm's path.
        # The thread begins with the first write, so that a command which only reads never starts it.
        with self._turn:
            if self._checkpointer is None and not self._closing.is_set():
                self._checkpointer = threading.Thread(target=self._keep_short, name="store-checkpoint", daemon=True)
                self._checkpointer.start()

    def _keep_short(self) -> None:
        assert self.path is not None
        log = self.path.with_name(self.path.name + "-wal")
        while not self._closing.wait(CHECKPOINT_EVERY_S):
            with contextlib.suppress(FileNotFoundError, sqlite3.OperationalError, StoreProblem):
                # What fails here (disk full, locked) fails in the writers too, and is said there.
                size = log.stat().st_size
                if size > CHECKPOINT_BYTES:
                    self.checkpoint(hard=size > CHECKPOINT_HARD_BYTES)
                if CHECKPOINT_RESTART_BYTES < size <= CHECKPOINT_HARD_BYTES:
                    # While somebody writes, a checkpoint never reaches the end, and the log never begins anew. What
                    # has come since the one above is little.
                    with self._take_turn():
                        self.checkpoint()


def sqlite_url(path: Path) -> str:
    """The URL of a SQLite file."""
    return sa.URL.create("sqlite", database=str(path)).render_as_string()


def open_store(url: str) -> Store:
    """Open the database at `url`, making and upgrading it as needed.

    url: `sqlite:////absolute/path` or `postgresql+driver://…`, with `?master_key=/its/file` where that is not
    master.key beside SQLite's file (gateway.store.keys). Raises Problem: no such driver, unwritable folder, full
    disk, not a database, another program's, a newer schema, a master key that is missing or another store's.
    """
    try:
        parsed = sa.make_url(url)
    except exc.ArgumentError as error:
        raise Problem(
            "the store's url is not a database URL",
            "Set [store] url, such as sqlite:////var/lib/sigap/sigap.db",
            USAGE,
        ) from error
    master_key = parsed.query.get("master_key")
    parsed = parsed.difference_update_query(["master_key"])
    path = _prepare_file(parsed) if parsed.get_backend_name() == "sqlite" else None
    options: dict[str, Any] = {"pool_size": MAX_CONNECTIONS, "max_overflow": 0}
    if path is not None:
        options["connect_args"] = {"timeout": BUSY_LIMIT_S, "check_same_thread": False}
    else:
        options["pool_pre_ping"] = True
    try:
        engine = sa.create_engine(parsed, **options)
    except ModuleNotFoundError as error:
        missing(f"the database driver {error.name}", "Install it into Sigap's environment, or use SQLite")
    except exc.NoSuchModuleError as error:
        raise Problem(
            f"the store's url names an unknown kind of database, {parsed.drivername}",
            "Use sqlite or postgresql",
            USAGE,
        ) from error
    if path is not None:
        event.listen(engine, "connect", _set_up_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    store = Store(engine, path)
    try:
        keyring = keys.Keyring(_master_key(master_key, path))
        keys.attach(engine, keyring)
        _upgrade(store, keyring)
    except BaseException:
        store.close()
        raise
    return store


def _upgrade(store: Store, keyring: keys.Keyring) -> None:
    where = str(store.path) if store.path else store.engine.url.render_as_string(hide_password=True)
    with store.read() as conn:
        before = migrations.current(conn)
        if before == migrations.HEAD:
            _require_key(conn, keyring)
            return
    if before is None or before < WRAPPED_SINCE:
        keyring.make()  # nothing is wrapped yet
    importlib.import_module("alembic.command")  # a second on a slow machine: not while others wait for the lock
    with store.write() as conn:
        migrations.upgrade(conn, where)
        _require_key(conn, keyring)
    if before is not None and before < WRAPPED_SINCE:
        store.checkpoint(hard=True)  # the keys that were overwritten are not to stay in the write-ahead log


def _require_key(conn: sa.Connection, keyring: keys.Keyring) -> None:
    """Whether the master key is that of this store; a store without devices takes any, and makes one."""
    some = conn.execute(sa.text("SELECT root_key FROM devices LIMIT 8")).scalars().all()
    if not some:
        keyring.make()
    elif not any(keyring.knows(bytes(wrapped)) for wrapped in some):  # one damaged row keeps nobody out
        keyring.require(bytes(some[0]))


def _master_key(asked: object, path: Path | None) -> Path:
    if isinstance(asked, str):
        return Path(asked)
    if path is None:
        raise Problem("it is not said where the master key is", "Set [store] master_key to its file", USAGE)
    return path.with_name(keys.FILE)


def _prepare_file(url: sa.URL) -> Path:
    """Make the file with mode 0600, before SQLite would use the umask's; -wal and -shm take the file's
    mode."""
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise Problem(
            "the store must be a file, or PostgreSQL", "Set [store] url to sqlite:////path/to/sigap.db", USAGE
        )
    path = Path(url.database).absolute()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            os.fchmod(descriptor, 0o600)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StoreProblem(
            f"the store {path} cannot be opened for writing: {error.strerror}",
            "Give this user the right to write there, or set [gateway] data_dir to another folder",
        ) from error
    return path


def _pragmas(connection: sqlite3.Connection) -> None:
    # The order matters: the wait for locks first, because turning WAL on needs one.
    connection.execute(f"PRAGMA busy_timeout={int(BUSY_LIMIT_S * 1000)}")
    _turn_wal_on(connection)
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute("PRAGMA foreign_keys=ON")
    # A safety net only: the checkpoint thread is long there before.
    connection.execute("PRAGMA wal_autocheckpoint=16384")
    # A log that keeps its length is overwritten, which syncs faster than one that grows again.
    connection.execute(f"PRAGMA journal_size_limit={CHECKPOINT_RESTART_BYTES}")
    if sys.platform == "darwin":
        connection.execute("PRAGMA fullfsync=ON")  # plain fsync there does not reach the disk
        connection.execute("PRAGMA checkpoint_fullfsync=ON")


def _turn_wal_on(connection: sqlite3.Connection) -> None:
    # Two processes that open a new file at once: SQLite does not always wait for this lock by itself.
    deadline = time.monotonic() + BUSY_LIMIT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL").fetchall()
            return
        except sqlite3.OperationalError as error:
            if (error.sqlite_errorcode & 0xFF) != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _raw_connection(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_LIMIT_S, isolation_level=None)
    _pragmas(connection)
    return connection


def _set_up_sqlite(connection: sqlite3.Connection, _record: object) -> None:
    connection.isolation_level = None
    _pragmas(connection)
    connection.execute("PRAGMA query_only=ON")  # but for the one that writes


def _begin_sqlite(conn: sa.Connection) -> None:
    raw: Any = conn.connection.driver_connection
    try:
        raw.execute(conn.get_execution_options().get(_BEGIN, "BEGIN"))
    except sqlite3.Error as error:  # said as SQLAlchemy says it, without what its own way costs
        raise exc.DBAPIError.instance("BEGIN", {}, error, sqlite3.Error) from error
