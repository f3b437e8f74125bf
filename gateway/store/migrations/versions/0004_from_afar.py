"""Cancels, flags of positions, troubles, crashes, and commands with their counters."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

ROW_ID = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    for name in ("moved", "doubtful", "duress"):
        op.add_column("alarms", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    for name in ("cancelled_at", "told_lat_e7", "told_lon_e7"):
        op.add_column("alarms", sa.Column(name, sa.BigInteger(), nullable=True))
    op.add_column("alarms", sa.Column("told_accuracy_m", sa.Integer(), nullable=True))
    op.execute("UPDATE alarms SET told_lat_e7 = lat_e7, told_lon_e7 = lon_e7, told_accuracy_m = accuracy_m")
    op.create_table(
        "troubles",
        sa.Column("id", ROW_ID, nullable=False),
        _device("troubles"),
        sa.Column("kind", sa.Integer(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=True),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_troubles"),
    )
    op.create_index("ix_troubles_device_id_kind", "troubles", ["device_id", "kind"])
    op.create_index("ix_troubles_ended_at", "troubles", ["ended_at"])
    op.create_table(
        "crashes",
        sa.Column("id", ROW_ID, nullable=False),
        _device("crashes"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("parts", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_crashes"),
    )
    op.create_index("ix_crashes_device_id", "crashes", ["device_id"])
    op.create_table(
        "downlink_epochs",
        sa.Column("epoch", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("epoch", name="pk_downlink_epochs"),
    )
    op.create_table(
        "downlink_counters",
        _device("downlink_counters"),
        sa.Column("used", sa.BigInteger(), nullable=False),
        sa.Column("time_told_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("device_id", name="pk_downlink_counters"),
    )
    op.create_table(
        "commands",
        sa.Column("id", ROW_ID, nullable=False),
        _device("commands"),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("counter", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("asked_by", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("sends", sa.Integer(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("answered_at", sa.BigInteger(), nullable=True),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_commands"),
        sa.UniqueConstraint("device_id", "epoch", "counter", name="uq_commands_device_id_epoch_counter"),
    )
    op.create_index("ix_commands_state", "commands", ["state"])
    op.create_table(
        "device_events",
        sa.Column("id", ROW_ID, nullable=False),
        _device("device_events"),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("data", sa.Text(), server_default="{}", nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_device_events"),
    )
    op.create_index("ix_device_events_device_id", "device_events", ["device_id"])


def _device(table: str) -> sa.Column:
    key = sa.ForeignKey("devices.id", name=f"fk_{table}_device_id_devices")
    return sa.Column("device_id", sa.BigInteger(), key, nullable=False)
