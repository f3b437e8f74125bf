"""Which devices' troubles a backend was told of, so that it hears of each beginning and each end once."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    op.create_table(
        "told_troubles",
        sa.Column("destination", sa.Text(), nullable=False),
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("told_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_told_troubles_device_id_devices"),
        sa.PrimaryKeyConstraint("destination", "device_id", "name", name="pk_told_troubles"),
    )
