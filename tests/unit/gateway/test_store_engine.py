"""The store: durable settings, transactions that do what they say, and clear words for every way it can
fail to open."""

from __future__ import annotations

import contextlib
import os
import re
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa

from gateway.store import migrations
from gateway.store.engine import Store, open_store, sqlite_url
from gateway.store.problems import StoreProblem
from gateway.store.schema import counts, devices, metadata
from sigap.problem import Problem


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "sigap.db"


@pytest.fixture
def store(path: Path):
    with open_store(sqlite_url(path)) as store:
        yield store


def count(store: Store, name: str) -> int | None:
    with store.read() as conn:
        return conn.execute(sa.select(counts.c.value).where(counts.c.name == name)).scalar()


def test_migrated_schema_is_the_schema_of_the_program(store: Store):
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    with store.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_migrated_tables_read_the_same_as_created_ones(store: Store, tmp_path: Path):
    """compare_metadata does not look at keys, defaults of SQLite or constraint names; the DDL does."""
    created = sa.create_engine(sqlite_url(tmp_path / "created.db"))
    metadata.create_all(created)
    sql = sa.text("SELECT name, sql FROM sqlite_master WHERE name != 'alembic_version' AND sql IS NOT NULL")

    def tables(conn: sa.Connection) -> dict[str, list[str]]:
        # Alembic writes a table's parts in another order than create_all, and a column that was added in the last line:
        # compare them as a set of parts.
        return {row.name: sorted(parts(row.sql)) for row in conn.execute(sql)}

    def parts(statement: str) -> list[str]:
        return [
            part.strip(" ,\t") for line in statement.splitlines() for part in re.split(r", (?=[a-z_0-9]+ [A-Z])", line)
        ]

    with store.read() as ours, created.connect() as theirs:
        assert tables(ours) == tables(theirs)


def test_head_is_the_newest_revision(store: Store):
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_current_head() == migrations.HEAD
    with store.read() as conn:
        assert migrations.current(conn) == migrations.HEAD


def test_an_upgraded_store_opens_without_alembic(store: Store, path: Path):
    code = (
        "import sys; from gateway.store.engine import open_store; "
        "open_store(sys.argv[1]).close(); print('alembic' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code, sqlite_url(path)], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "False"


def test_pragmas_of_every_connection(store: Store):
    def pragma(conn: sa.Connection, name: str):
        return conn.exec_driver_sql(f"PRAGMA {name}").scalar()

    with store.read() as first, store.read() as second:
        for conn in (first, second):
            assert pragma(conn, "journal_mode") == "wal"
            assert pragma(conn, "synchronous") == 2  # FULL
            assert pragma(conn, "foreign_keys") == 1
            assert pragma(conn, "busy_timeout") == 5000


def test_files_are_for_their_owner_only(store: Store, path: Path):
    with store.write() as conn:
        conn.execute(counts.insert().values(name="a", value=1))
    names = sorted(file.name for file in path.parent.iterdir())
    assert names == ["master.key", "sigap.db", "sigap.db-shm", "sigap.db-wal"]
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(path: Path):
    path.parent.mkdir()
    path.touch(0o644)
    open_store(sqlite_url(path)).close()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_write_commits_or_rolls_back(store: Store):
    with store.write() as conn:
        conn.execute(counts.insert().values(name="kept", value=1))
    with contextlib.suppress(ZeroDivisionError), store.write() as conn:
        conn.execute(counts.insert().values(name="lost", value=1))
        _ = 1 / 0
    assert (count(store, "kept"), count(store, "lost")) == (1, None)


def test_schema_changes_roll_back_too(store: Store):
    """pysqlite of itself would commit before DDL."""
    with contextlib.suppress(ZeroDivisionError), store.write() as conn:
        conn.exec_driver_sql("CREATE TABLE extra (x INTEGER)")
        _ = 1 / 0
    with store.read() as conn:
        assert not sa.inspect(conn).has_table("extra")


def test_read_refuses_to_write(store: Store):
    with pytest.raises(sa.exc.OperationalError, match="readonly"), store.read() as conn:
        conn.execute(counts.insert().values(name="a", value=1))
    with store.write() as conn:
        conn.execute(counts.insert().values(name="a", value=1))
    assert count(store, "a") == 1


def test_read_is_one_snapshot(store: Store):
    with store.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(counts)).scalar() == 0
        with store.write() as writer:
            writer.execute(counts.insert().values(name="a", value=1))
        assert conn.execute(sa.select(sa.func.count()).select_from(counts)).scalar() == 0
    assert count(store, "a") == 1


def test_foreign_keys_are_checked(store: Store):
    with pytest.raises(sa.exc.IntegrityError, match="FOREIGN KEY"), store.write() as conn:
        conn.execute(devices.insert().values(id=1, name="d", root_key=b"", owner_id=99, created_at=0))


def test_many_threads_lose_no_update(store: Store):
    with store.write() as conn:
        conn.execute(counts.insert().values(name="n", value=0))

    def add() -> None:
        for _ in range(20):
            with store.write() as conn:
                value = conn.execute(sa.select(counts.c.value)).scalar_one()
                conn.execute(counts.update().values(value=value + 1))

    threads = [threading.Thread(target=add) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert count(store, "n") == 160


def test_nested_write_is_said_at_once(store: Store):
    with store.write(), pytest.raises(RuntimeError, match="inside"), store.write():
        pass
    with store.write():
        pass


def test_processes_that_open_a_new_store_at_once_agree(path: Path):
    code = (
        "import sys; from gateway.store.engine import open_store; sys.stdin.readline()\n"
        "with open_store(sys.argv[1]) as s, s.write() as c: c.exec_driver_sql("
        "\"INSERT INTO counts VALUES ('n', 1) ON CONFLICT (name) DO UPDATE SET value = value + 1\")"
    )
    children = [
        subprocess.Popen(
            [sys.executable, "-c", code, sqlite_url(path)],
            stdin=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for child in children:
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    errors = [child.communicate(timeout=60)[1] for child in children]
    assert [child.returncode for child in children] == [0] * 4, errors
    with open_store(sqlite_url(path)) as store:
        assert count(store, "n") == 4


def test_the_log_begins_anew_while_somebody_writes_all_the_time(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.store.engine.CHECKPOINT_EVERY_S", 0.02)
    monkeypatch.setattr("gateway.store.engine.CHECKPOINT_BYTES", 100_000)
    monkeypatch.setattr("gateway.store.engine.CHECKPOINT_RESTART_BYTES", 200_000)
    log, row_bytes, rows = path.with_name("sigap.db-wal"), 100_000, 300
    with open_store(sqlite_url(path)) as store:
        longest = 0
        for number in range(rows):
            with store.write() as conn:
                conn.execute(counts.insert().values(name=f"{number} " + "a" * row_bytes, value=1))
            longest = max(longest, log.stat().st_size)
    assert longest < rows * row_bytes / 2  # without a new beginning it would hold them all


def test_hard_checkpoint_empties_the_log(store: Store, path: Path):
    with store.write() as conn:
        conn.execute(counts.insert().values(name="a" * 100_000, value=1))
    log = path.with_name("sigap.db-wal")
    assert log.stat().st_size > 100_000
    store.checkpoint(hard=True)
    assert log.stat().st_size == 0


def test_log_is_kept_short_without_anybody_asking(path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("gateway.store.engine.CHECKPOINT_EVERY_S", 0.01)
    monkeypatch.setattr("gateway.store.engine.CHECKPOINT_BYTES", 50_000)
    done = threading.Event()
    checkpoint = Store.checkpoint
    monkeypatch.setattr(Store, "checkpoint", lambda self, **how: (checkpoint(self, **how), done.set()))
    with open_store(sqlite_url(path)) as store:
        with store.write() as conn:
            conn.execute(counts.insert().values(name="a" * 500_000, value=1))
        while path.stat().st_size <= 500_000:  # until the rows are in the file itself; the tables' own were the first
            assert done.wait(10)
            done.clear()


def test_odd_folder_names(tmp_path: Path):
    odd = tmp_path / "a b%20?#ü" / "sigap.db"
    open_store(sqlite_url(odd)).close()
    assert odd.exists()


def test_close_leaves_no_thread(path: Path):
    store = open_store(sqlite_url(path))
    with store.write() as conn:
        conn.execute(counts.insert().values(name="a", value=1))
    store.close()
    store.close()
    assert not [thread for thread in threading.enumerate() if thread.name == "store-checkpoint"]


# What an administrator can meet.


def test_not_a_database(path: Path):
    path.parent.mkdir()
    path.write_text("this is a shopping list, not a database\n" * 100)
    with pytest.raises(StoreProblem, match=r"sigap\.db is not a usable database") as caught:
        open_store(sqlite_url(path))
    assert "backup" in caught.value.todo
    assert "\n" not in str(caught.value)


def test_database_of_another_program(path: Path):
    path.parent.mkdir()
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE devices (x)")
    with pytest.raises(StoreProblem, match="another program"):
        open_store(sqlite_url(path))


def test_newer_schema(store: Store, path: Path):
    with store.write() as conn:
        conn.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(StoreProblem, match=r"newer Sigap \(schema 9999, this program knows"):
        open_store(sqlite_url(path))


def test_folder_cannot_be_made(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(StoreProblem, match=r"cannot be opened for writing: ") as caught:
        open_store(sqlite_url(tmp_path / "file" / "sigap.db"))
    assert "data_dir" in caught.value.todo


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path: Path):
    tmp_path.chmod(0o500)
    with pytest.raises(StoreProblem, match="Permission denied"):
        open_store(sqlite_url(tmp_path / "sigap.db"))


def test_locked_by_another_process(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch):
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    store.engine.dispose()
    monkeypatch.setattr("gateway.store.engine.BUSY_LIMIT_S", 0.05)
    with pytest.raises(StoreProblem, match="locked by another process"), store.write():
        pass
    other.close()
    with store.write():
        pass


def test_full_disk_is_said_and_ends_with_the_space(store: Store):
    """SQLite itself answers SQLITE_FULL here, as it does when the file system has no space left."""
    with store.read() as conn:
        pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()

    def fill() -> None:
        with store.write() as conn:
            conn.exec_driver_sql(f"PRAGMA max_page_count={pages}")
            conn.execute(counts.insert().values(name="a" * 100_000, value=1))

    with pytest.raises(StoreProblem, match="is full") as caught:
        fill()
    assert isinstance(caught.value, Problem)
    assert isinstance(caught.value, sa.exc.SQLAlchemyError)
    assert str(caught.value).endswith("alarms are receipted again from then on.")
    store.engine.dispose()
    with store.write() as conn:
        conn.execute(counts.insert().values(name="a" * 100_000, value=1))


@pytest.mark.parametrize(
    ("url", "exit_code", "words"),
    [
        ("not a url", 2, "not a database URL"),
        ("sqlite://", 2, "must be a file"),
        ("oracle9://x/y", 2, "unknown kind of database"),
        ("postgresql+asyncpg://x/y", 3, "driver asyncpg is missing"),
    ],
)
def test_bad_url(url: str, exit_code: int, words: str):
    with pytest.raises(Problem, match=words) as caught:
        open_store(url)
    assert caught.value.exit_code == exit_code
