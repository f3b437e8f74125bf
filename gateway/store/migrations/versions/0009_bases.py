"""Base stations: which there are, and which heard which device last."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "hearings",
        sa.Column("device_id", sa.BigInteger(), nullable=False),
        sa.Column("base", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("rssi_dbm", sa.Integer(), nullable=False),
        sa.Column("snr_db", sa.Integer(), nullable=False),
        sa.Column("frames", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["device_id"], ["devices.id"], name="fk_hearings_device_id_devices"),
        sa.PrimaryKeyConstraint("device_id", "base", name="pk_hearings"),
    )
    op.create_table(
        "bases",
        sa.Column("id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("since_at", sa.BigInteger(), nullable=False),
        sa.Column("heard_at", sa.BigInteger(), nullable=False),
        sa.Column("beat", sa.Text(), server_default="{}", nullable=False),
        sa.Column("port", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_bases"),
    )
