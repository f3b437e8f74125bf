"""Prepared statements do what SQLAlchemy does for the statement itself."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from sqlalchemy import exc

from gateway.store.keys import Keyring, attach
from gateway.store.prepared import MOST_SHAPES, prepared
from gateway.store.schema import counts, devices, metadata, owners

ROOT_KEY = bytes(range(16))
BY_ID = sa.select(devices).where(devices.c.id == sa.bindparam("device"))
TOUCH = devices.update().where(devices.c.id == sa.bindparam("device"), devices.c.silent == sa.false())


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[sa.Engine]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'some.db'}")
    keyring = Keyring(tmp_path / "master.key")
    keyring.make()
    attach(engine, keyring)
    metadata.create_all(engine, [owners, devices, counts])
    yield engine
    engine.dispose()


def device(number: int, *, silent: bool = False) -> dict[str, object]:
    return {"id": number, "name": f"shop-{number}", "root_key": ROOT_KEY, "silent": silent, "created_at": number}


def test_rows_are_those_of_sqlalchemy(engine: sa.Engine) -> None:
    add, get = prepared(devices.insert()), prepared(BY_ID)
    with engine.begin() as conn:
        conn.execute(add, device(1, silent=True))
        conn.execute(add, [device(2), device(3)])
        conn.execute(add, {**device(4), "site_name": "Pasar"})  # other columns are another text
        for number in (1, 2, 4):
            mine, theirs = conn.execute(get, {"device": number}).one(), conn.execute(BY_ID, {"device": number}).one()
            assert tuple(mine) == tuple(theirs)
            assert dict(mine._mapping) == dict(theirs._mapping)
            assert mine.silent is theirs.silent  # a truth value, not SQLite's number
            assert mine.root_key == ROOT_KEY
        assert conn.execute(get, {"device": 9}).first() is None
        assert conn.execute(get, {"device": 3}).scalar() == 3
        assert conn.execute(get, {"device": 9}).scalar() is None
        assert [row["name"] for row in conn.execute(get, {"device": 3}).mappings()] == ["shop-3"]
        with pytest.raises(exc.NoResultFound):
            conn.execute(get, {"device": 9}).one()
    with engine.connect() as conn:  # outside of a transaction the statement itself is executed, and begins one
        assert conn.execute(get, {"device": 2}).one().name == "shop-2"
        assert conn.execute(get, {"device": 4}).one().site_name == "Pasar"


def test_text_returning_and_counts(engine: sa.Engine) -> None:
    add = prepared(sa.text("INSERT INTO counts (name, value) VALUES (:name, :by)"))
    more = prepared(sa.text("UPDATE counts SET value = value + :by WHERE value < :by RETURNING name, value"))
    with engine.begin() as conn:
        assert conn.execute(add, [{"name": name, "by": 1} for name in "abc"]).rowcount == 3
        assert sorted(conn.execute(more, {"by": 2}).all()) == [("a", 3), ("b", 3), ("c", 3)]
        assert conn.execute(more, {"by": 2}).one_or_none() is None
        assert set(conn.execute(prepared(sa.text("SELECT name FROM counts"))).scalars()) == {"a", "b", "c"}
        touched = conn.execute(prepared(TOUCH.values(last_heard_at=sa.bindparam("at"))), {"device": 1, "at": 5})
        assert touched.rowcount == 0


def test_errors_are_those_of_sqlalchemy_and_roll_back(engine: sa.Engine) -> None:
    add = prepared(counts.insert())
    twice = [{"name": "a", "value": 1}] * 2
    with pytest.raises(exc.IntegrityError, match="UNIQUE"), engine.begin() as conn:
        conn.execute(add, twice)
    with engine.connect() as conn:
        assert conn.execute(sa.select(counts)).all() == []


class _Upside(sa.types.TypeDecorator[bytes]):
    """Bytes that are stored the other way round."""

    impl = sa.LargeBinary
    cache_ok = True

    def process_bind_param(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else value[::-1]

    def process_result_value(self, value: bytes | None, dialect: sa.Dialect) -> bytes | None:
        return None if value is None else value[::-1]


def test_a_type_writes_and_reads_in_its_own_form(engine: sa.Engine) -> None:
    table = sa.Table("upside", sa.MetaData(), sa.Column("content", _Upside))
    with engine.begin() as conn:
        table.create(conn)
        conn.execute(prepared(table.insert()), {"content": b"abc"})
        assert conn.exec_driver_sql("SELECT content FROM upside").scalar() == b"cba"
        assert conn.execute(prepared(sa.select(table))).scalar() == b"abc"


def test_what_is_kept_is_bounded(engine: sa.Engine) -> None:
    columns = sa.Table("wide", sa.MetaData(), *(sa.Column(f"c{n}", sa.Integer) for n in range(MOST_SHAPES + 5)))
    wide = prepared(columns.insert())
    with engine.begin() as conn:
        columns.create(conn)
        for column in columns.c:
            conn.execute(wide, {column.name: 1})
        assert conn.execute(sa.select(sa.func.count()).select_from(columns)).scalar() == MOST_SHAPES + 5
    assert len(wide._shapes) == MOST_SHAPES
