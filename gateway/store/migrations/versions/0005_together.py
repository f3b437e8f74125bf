"""Incidents that are merged, split, raised or held; where units are."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

# As folding their events counts it: what was pressed again since somebody was at it.
RAISED = """
UPDATE incidents SET raised = (
  SELECT count(*) FROM events WHERE events.incident_id = incidents.id AND events.kind = 'alarm_joined'
  AND events.id > coalesce((SELECT max(handled.id) FROM events AS handled WHERE handled.incident_id = incidents.id
                            AND handled.kind IN ('acknowledged', 'dispatched', 'on_scene')), 0)
) WHERE state != 'closed'
"""


def upgrade() -> None:
    op.add_column("incidents", sa.Column("merged_into", sa.Text(), nullable=True))
    for name in ("held", "promised"):
        op.add_column("incidents", sa.Column(name, sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("incidents", sa.Column("raised", sa.Integer(), server_default="0", nullable=False))
    op.execute(RAISED)
    op.add_column("units", sa.Column("area", sa.Text(), nullable=True))
    for name in ("lat_e7", "lon_e7"):
        op.add_column("units", sa.Column(name, sa.BigInteger(), nullable=True))
    op.create_index("ix_devices_owner_id_site_lat_e7", "devices", ["owner_id", "site_lat_e7"])
