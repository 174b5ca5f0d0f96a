"""Nodes that come over Serf: their statuses, runs and numbered output. Source: shovey 2."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"


def _beside_node(table: str, *columns: Any) -> None:
    op.create_table(
        table,
        sa.Column("job_id", sa.String(32), primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        *columns,
        sa.ForeignKeyConstraint(
            ["job_id", "node"], ["job_nodes.job_id", "job_nodes.node"], ondelete="CASCADE"
        ),
    )


def upgrade() -> None:
    """Make the three tables."""
    _beside_node("serf_runs", sa.Column("acked_at", sa.Float), sa.Column("word", sa.Text))
    _beside_node(
        "serf_chunks",
        sa.Column("stream", sa.Text, primary_key=True),
        sa.Column("seq", sa.BigInteger, primary_key=True),
        sa.Column("arrival", sa.BigInteger, nullable=False),
        sa.Column("is_last", sa.Boolean, nullable=False),
        sa.Column("begins_at", sa.BigInteger),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "node_statuses",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("number", sa.BigInteger, primary_key=True),
        sa.Column("status", sa.Text, nullable=False),
        sa.Column("at", sa.Float, nullable=False),
        sqlite_with_rowid=False,
    )
