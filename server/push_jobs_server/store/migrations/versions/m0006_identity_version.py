"""A number that changes with the local identities, so that servers may remember them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Make the table with its one row."""
    op.create_table("identity_version", sa.Column("version", sa.BigInteger, nullable=False))
    op.execute("INSERT INTO identity_version (version) VALUES (0)")
