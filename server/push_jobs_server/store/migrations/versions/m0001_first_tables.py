"""The first tables: jobs, nodes' sessions, local identity.

Written out, not taken from ``tables``: those move on, a revision stays. There is no way down;
going back means restoring a copy of the database.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """Make all tables."""
    _jobs()
    _results()
    _sessions()
    _principals()
    _groups()


def _key(name: str, kind: Any = sa.Text) -> Any:
    return sa.Column(name, kind, primary_key=True)


def _needed(name: str, kind: Any = sa.Text) -> Any:
    return sa.Column(name, kind, nullable=False)


def _below(columns: str, table: str, referred: str) -> sa.ForeignKeyConstraint:
    """A foreign key with cascade; columns are separated by blanks."""
    remote = [f"{table}.{name}" for name in referred.split()]
    return sa.ForeignKeyConstraint(columns.split(), remote, ondelete="CASCADE")


def _jobs() -> None:
    op.create_table(
        "jobs",
        _key("id", sa.String(32)),
        _needed("org"),
        sa.Column("request_key", sa.Text),
        _needed("command"),
        _needed("quorum", sa.BigInteger),
        _needed("run_timeout", sa.BigInteger),
        _needed("requestor"),
        _needed("requestor_kind"),
        sa.Column("run_as", sa.Text),
        sa.Column("dir", sa.Text),
        _needed("capture", sa.Boolean),
        _needed("status"),
        _needed("created_at", sa.Float),
        _needed("updated_at", sa.Float),
        _needed("voting_deadline", sa.Float),
        sa.Column("run_deadline", sa.Float),
        sa.UniqueConstraint("org", "request_key"),
    )
    op.create_index("jobs_org_created_at_id", "jobs", ["org", "created_at", "id"])
    op.create_index("jobs_status", "jobs", ["status"])
    op.create_table(
        "job_inputs",
        _key("job_id", sa.String(32)),
        sa.Column("env", sa.Text),
        sa.Column("file_kind", sa.Text),
        sa.Column("file_content", sa.LargeBinary),
        _below("job_id", "jobs", "id"),
    )
    op.create_table(
        "job_nodes",
        _key("job_id", sa.String(32)),
        _key("node"),
        _needed("position", sa.Integer),
        _needed("status"),
        *_outcome(),
        _below("job_id", "jobs", "id"),
        sqlite_with_rowid=False,
    )


def _outcome() -> Any:
    return (
        sa.Column("exit_code", sa.BigInteger),
        sa.Column("signal", sa.BigInteger),
        sa.Column("reason", sa.Text),
        sa.Column("started_at", sa.Float),
        sa.Column("ended_at", sa.Float),
    )


def _results() -> None:
    op.create_table(
        "late_results",
        _key("job_id", sa.String(32)),
        _key("node"),
        _needed("status"),
        *_outcome(),
        _below("job_id node", "job_nodes", "job_id node"),
    )
    op.create_table(
        "outputs",
        _key("job_id", sa.String(32)),
        _key("node"),
        _needed("stdout", sa.LargeBinary),
        _needed("stderr", sa.LargeBinary),
        _below("job_id node", "job_nodes", "job_id node"),
    )


def _sessions() -> None:
    op.create_table(
        "grants",
        _key("curve_key"),
        _needed("org"),
        _needed("node"),
        _needed("expires_at", sa.Float),
    )
    op.create_index("grants_org_node_expires_at", "grants", ["org", "node", "expires_at"])
    op.create_table("session_keys", _key("org"), _key("node"), _needed("key", sa.LargeBinary))


def _principals() -> None:
    op.create_table("organizations", _key("name"), _needed("full_name"))
    op.create_table("users", _key("name"))
    op.create_table(
        "user_keys",
        _key("owner"),
        _key("key_name"),
        _needed("public_key"),
        _below("owner", "users", "name"),
    )
    op.create_table(
        "org_users",
        _key("org"),
        _key("name"),
        _below("org", "organizations", "name"),
        _below("name", "users", "name"),
    )
    op.create_index("org_users_name", "org_users", ["name"])
    op.create_table("clients", _key("org"), _key("name"), _below("org", "organizations", "name"))
    op.create_table(
        "client_keys",
        _key("org"),
        _key("owner"),
        _key("key_name"),
        _needed("public_key"),
        _below("org owner", "clients", "org name"),
    )


def _groups() -> None:
    op.create_table("org_groups", _key("org"), _key("name"), _below("org", "organizations", "name"))
    for table, members in (
        ("group_users", "org_users"),
        ("group_clients", "clients"),
        ("group_groups", "org_groups"),
    ):
        op.create_table(
            table,
            _key("org"),
            _key("group_name"),
            _key("member"),
            _below("org group_name", "org_groups", "org name"),
            _below("org member", members, "org name"),
        )
        op.create_index(f"{table}_org_member", table, ["org", "member"])
