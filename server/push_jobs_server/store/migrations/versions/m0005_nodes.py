"""When nodes were seen last, fetched their settings, and why they went; the age of session keys."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    """Make the table of sightings, and a place for the age of a session key."""
    op.add_column("session_keys", sa.Column("made_at", sa.Float))
    op.create_table(
        "node_sightings",
        sa.Column("org", sa.Text, primary_key=True),
        sa.Column("node", sa.Text, primary_key=True),
        sa.Column("seen_at", sa.Float),
        sa.Column("fetched_at", sa.Float),
        sa.Column("down_at", sa.Float),
        sa.Column("down_reason", sa.Text),
        sa.Column("version", sa.Text),
    )
