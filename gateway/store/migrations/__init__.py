"""The history of the store's schema, as Alembic revisions, and how a database is brought to its end."""

from __future__ import annotations

import sqlalchemy as sa

from gateway.store.problems import StoreProblem

# The newest revision in versions/ (a test compares). Known here, an up-to-date store opens without loading
# Alembic.
HEAD = "0011"
_UPGRADE_LOCK = 0x5349474150  # PostgreSQL advisory lock, so that two gateways do not upgrade at once


def current(conn: sa.Connection) -> str | None:
    """The revision of the database behind `conn`; None for a database without tables of ours."""
    if not sa.inspect(conn).has_table("alembic_version"):
        return None
    return conn.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def upgrade(conn: sa.Connection, where: str) -> None:
    """Run the missing revisions inside `conn`'s transaction. `where` names the database in a StoreProblem."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    if conn.dialect.name == "postgresql":
        conn.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": _UPGRADE_LOCK})
    now = current(conn)
    if now == HEAD:
        return
    if now is None and sa.inspect(conn).get_table_names():
        raise StoreProblem(f"{where} is a database of another program", "Give Sigap a database of its own")
    config = Config()
    config.set_main_option("script_location", "gateway.store:migrations")
    config.set_main_option("path_separator", "os")
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if now is not None and now not in known:
        raise StoreProblem(
            f"{where} was written by a newer Sigap (schema {now}, this program knows {HEAD})",
            "Start that newer version, or restore the backup from before its upgrade",
        )
    config.attributes["connection"] = conn
    command.upgrade(config, "head")
