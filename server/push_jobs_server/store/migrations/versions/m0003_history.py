"""History: indexes for filtered lists of jobs, and the audit trail.

There is no way down; going back means restoring a copy of the database.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """Make the indexes and the table."""
    op.drop_index("jobs_status", "jobs")
    for columns in ("status org", "org command", "org requestor"):
        names = [*columns.split(), "created_at", "id"]
        op.create_index("_".join(["jobs", *names]), "jobs", names)
    op.create_table(
        "audit",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("at", sa.Float, nullable=False),
        *(sa.Column(name, sa.Text) for name in ("org", "actor", "actor_kind", "address")),
        sa.Column("action", sa.Text, nullable=False),
        sa.Column("target", sa.Text),
        sa.Column("result", sa.Text, nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sqlite_with_rowid=False,
    )
    refused = sa.text("result = 'refused'")
    op.create_index(
        "audit_refused", "audit", ["id"], sqlite_where=refused, postgresql_where=refused
    )
