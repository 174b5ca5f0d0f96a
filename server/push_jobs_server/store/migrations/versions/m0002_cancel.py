"""Who cancelled a job, when, where and why. The nodes are a JSON list of names."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    """Make the table of cancels."""
    op.create_table(
        "job_cancels",
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("requestor", sa.Text, nullable=False),
        sa.Column("requestor_kind", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sa.Column("nodes", sa.Text, nullable=False),
        sa.Column("grace", sa.Float),
        sa.Column("reason", sa.Text),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], ondelete="CASCADE"),
    )
