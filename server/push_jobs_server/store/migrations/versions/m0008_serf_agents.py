"""Which nodes over Serf have proven that they are agents of ours."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Add the column; no node has proven it yet."""
    ours = sa.Column("ours", sa.Boolean, nullable=False, server_default=sa.false())
    op.add_column("node_statuses", ours)
