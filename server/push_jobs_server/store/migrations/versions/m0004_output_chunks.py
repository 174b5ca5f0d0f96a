"""Output that comes in chunks. Source: architecture 5."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "output_chunks",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("begins_at", sa.BigInteger, primary_key=True),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.ForeignKeyConstraint(
            ["job_id", "node"], ["job_nodes.job_id", "job_nodes.node"], ondelete="CASCADE"
        ),
    )
