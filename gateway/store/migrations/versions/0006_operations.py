"""Root keys are wrapped under the master key, which the store's opening has made before; and when an incident lost its
personal data."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from gateway.store.keys import keyring_of

revision = "0006"
down_revision = "0005"

DEVICES = sa.table("devices", sa.column("id", sa.BigInteger), sa.column("root_key", sa.LargeBinary))


def upgrade() -> None:
    op.add_column("incidents", sa.Column("erased_at", sa.BigInteger(), nullable=True))
    conn = op.get_bind()
    if conn.dialect.name == "sqlite":
        conn.exec_driver_sql("PRAGMA secure_delete=ON")  # or the keys would stay in the file's free places
    keyring = keyring_of(conn.dialect)
    change = DEVICES.update().where(DEVICES.c.id == sa.bindparam("device"))
    for row in conn.execute(sa.select(DEVICES)).all():
        conn.execute(change, {"device": row.id, "root_key": keyring.wrap(row.root_key)})
