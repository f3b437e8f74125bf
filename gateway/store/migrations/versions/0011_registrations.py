"""Invitations that people ask for themselves, some of which wait for somebody's approval."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    op.add_column("invitations", sa.Column("waiting", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("invitations", sa.Column("about", sa.Text(), nullable=True))
