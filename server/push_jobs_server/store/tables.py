"""The tables, as SQLAlchemy sees them. The migrations make them; a test keeps both alike.

Times are float seconds since the epoch. What hangs below a row goes with it (cascade). ``jobs``,
``grants`` and ``session_keys`` name organizations and nodes that need not be in our own identity
tables: they may live on a Chef server.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    false,
)

SCHEMA_VERSION = "0008"
"""The revision that this program needs; revisions are numbers, so that older and newer show."""

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pk",
        "uq": "%(table_name)s_%(column_0_N_name)s_unique",
        "fk": "%(table_name)s_%(column_0_N_name)s_fk",
        "ix": "%(table_name)s_%(column_0_N_name)s",
    }
)

# Jobs

jobs = Table(
    "jobs",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("org", Text, nullable=False),
    Column("request_key", Text),
    Column("command", Text, nullable=False),
    Column("quorum", BigInteger, nullable=False),
    Column("run_timeout", BigInteger, nullable=False),
    Column("requestor", Text, nullable=False),
    Column("requestor_kind", Text, nullable=False),
    Column("run_as", Text),
    Column("dir", Text),
    Column("capture", Boolean, nullable=False),
    Column("status", Text, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
    Column("voting_deadline", Float, nullable=False),
    Column("run_deadline", Float),
    UniqueConstraint("org", "request_key"),
    Index(None, "org", "created_at", "id"),
    # One for each filter of lists, and each in the order of lists. There is none for nodes: it
    # would cost one more page for each node of each new job. The key of ``job_nodes`` tells whether
    # a node is in a job, so jobs are looked through in their order.
    Index("jobs_status_org_created_at_id", "status", "org", "created_at", "id"),
    Index("jobs_org_command_created_at_id", "org", "command", "created_at", "id"),
    Index("jobs_org_requestor_created_at_id", "org", "requestor", "created_at", "id"),
)

# Apart from ``jobs``, so that lists don't read large files. The kind comes before the content:
# SQLite reads a row's overflow pages only as far as the columns that are asked for.
job_inputs = Table(
    "job_inputs",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("env", Text),
    Column("file_kind", Text),
    Column("file_content", LargeBinary),
)

# Without rowid: the table is its own index, and an update by job and node is one look-up.
job_nodes = Table(
    "job_nodes",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("node", Text, primary_key=True),
    Column("position", Integer, nullable=False),
    Column("status", Text, nullable=False),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("reason", Text),
    Column("started_at", Float),
    Column("ended_at", Float),
    sqlite_with_rowid=False,
)


def _beside_node(table: str, *columns: Any) -> Table:
    """A table about nodes of jobs; its rows go with them."""
    return Table(
        table,
        metadata,
        Column("job_id", String(32), primary_key=True),
        Column("node", Text, primary_key=True),
        *columns,
        ForeignKeyConstraint(
            ["job_id", "node"], [job_nodes.c.job_id, job_nodes.c.node], ondelete="CASCADE"
        ),
    )


late_results = _beside_node(
    "late_results",
    Column("status", Text, nullable=False),
    Column("exit_code", BigInteger),
    Column("signal", BigInteger),
    Column("reason", Text),
    Column("started_at", Float),
    Column("ended_at", Float),
)

outputs = _beside_node(
    "outputs",
    Column("stdout", LargeBinary, nullable=False),
    Column("stderr", LargeBinary, nullable=False),
)

job_cancels = Table(
    "job_cancels",
    metadata,
    Column("job_id", ForeignKey(jobs.c.id, ondelete="CASCADE"), primary_key=True),
    Column("number", Integer, primary_key=True),
    Column("requestor", Text, nullable=False),
    Column("requestor_kind", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("nodes", Text, nullable=False),
    Column("grace", Float),
    Column("reason", Text),
)

# Who asked for what. Ids begin with the time, so the key is the order of time and rows are added at
# its end only. Nothing refers to jobs: rows outlive them.
audit = Table(
    "audit",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("at", Float, nullable=False),
    Column("org", Text),
    Column("actor", Text),
    Column("actor_kind", Text),
    Column("address", Text),
    Column("action", Text, nullable=False),
    Column("target", Text),
    Column("result", Text, nullable=False),
    Column("details", Text, nullable=False),
    sqlite_with_rowid=False,
)
# Refusals have a limit of their own; rows of jobs need not be in an index for that.
Index(
    "audit_refused",
    audit.c.id,
    sqlite_where=audit.c.result == "refused",
    postgresql_where=audit.c.result == "refused",
)

# Bytes of output as they came; a row in ``outputs`` says that all of them are there.
output_chunks = _beside_node(
    "output_chunks",
    Column("stream", Text, primary_key=True),
    Column("begins_at", BigInteger, primary_key=True),
    Column("data", LargeBinary, nullable=False),
)

# What only the Shovey dialect knows of a node's part: when its Serf agent had the command, and the
# node's own word for how it ended.
serf_runs = _beside_node(
    "serf_runs",
    Column("acked_at", Float),
    Column("word", Text),
)

# Output as the Shovey dialect numbers it. The bytes are in ``output_chunks``, too, from
# ``begins_at`` on; it is null while a chunk before this one is missing.
serf_chunks = _beside_node(
    "serf_chunks",
    Column("stream", Text, primary_key=True),
    Column("seq", BigInteger, primary_key=True),
    Column("arrival", BigInteger, nullable=False),
    Column("is_last", Boolean, nullable=False),
    Column("begins_at", BigInteger),
    Column("size", BigInteger, nullable=False),
    Column("data", LargeBinary, nullable=False),
)

# Nodes' sessions

# The last statuses of nodes that come over Serf; numbers count up for each node.
node_statuses = Table(
    "node_statuses",
    metadata,
    Column("org", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True),
    Column("status", Text, nullable=False),
    Column("at", Float, nullable=False),
    Column("ours", Boolean, nullable=False, server_default=false()),
    sqlite_with_rowid=False,
)

grants = Table(
    "grants",
    metadata,
    Column("curve_key", Text, primary_key=True),
    Column("org", Text, nullable=False),
    Column("node", Text, nullable=False),
    Column("expires_at", Float, nullable=False),
    Index(None, "org", "node", "expires_at"),
)

session_keys = Table(
    "session_keys",
    metadata,
    Column("org", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("key", LargeBinary, nullable=False),
    Column("made_at", Float),
)

# When nodes were seen: for people, nothing is decided by it.
node_sightings = Table(
    "node_sightings",
    metadata,
    Column("org", Text, primary_key=True),
    Column("node", Text, primary_key=True),
    Column("seen_at", Float),
    Column("fetched_at", Float),
    Column("down_at", Float),
    Column("down_reason", Text),
    Column("version", Text),
)

# Local identity. Members of groups hang on membership in the organization, so that nobody stays
# in a group of an organization that he left. The second indexes serve these cascades.

identity_version = Table(
    "identity_version",
    metadata,
    # One row. Each change raises it, so that servers know when to ask anew.
    Column("version", BigInteger, nullable=False),
)

organizations = Table(
    "organizations",
    metadata,
    Column("name", Text, primary_key=True),
    Column("full_name", Text, nullable=False),
)

users = Table("users", metadata, Column("name", Text, primary_key=True))

user_keys = Table(
    "user_keys",
    metadata,
    Column("owner", ForeignKey(users.c.name, ondelete="CASCADE"), primary_key=True),
    Column("key_name", Text, primary_key=True),
    Column("public_key", Text, nullable=False),
)

org_users = Table(
    "org_users",
    metadata,
    Column("org", ForeignKey(organizations.c.name, ondelete="CASCADE"), primary_key=True),
    Column("name", ForeignKey(users.c.name, ondelete="CASCADE"), primary_key=True),
    Index(None, "name"),
)

clients = Table(
    "clients",
    metadata,
    Column("org", ForeignKey(organizations.c.name, ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
)

client_keys = Table(
    "client_keys",
    metadata,
    Column("org", Text, primary_key=True),
    Column("owner", Text, primary_key=True),
    Column("key_name", Text, primary_key=True),
    Column("public_key", Text, nullable=False),
    ForeignKeyConstraint(["org", "owner"], [clients.c.org, clients.c.name], ondelete="CASCADE"),
)

org_groups = Table(
    "org_groups",
    metadata,
    Column("org", ForeignKey(organizations.c.name, ondelete="CASCADE"), primary_key=True),
    Column("name", Text, primary_key=True),
)


def _members(table: str, members: Table) -> Table:
    return Table(
        table,
        metadata,
        Column("org", Text, primary_key=True),
        Column("group_name", Text, primary_key=True),
        Column("member", Text, primary_key=True),
        ForeignKeyConstraint(
            ["org", "group_name"], [org_groups.c.org, org_groups.c.name], ondelete="CASCADE"
        ),
        ForeignKeyConstraint(
            ["org", "member"], [members.c.org, members.c.name], ondelete="CASCADE"
        ),
        Index(None, "org", "member"),
    )


group_users = _members("group_users", org_users)
group_clients = _members("group_clients", clients)
group_groups = _members("group_groups", org_groups)
