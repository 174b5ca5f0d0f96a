"""The store: jobs, results, grants and session keys in a database.

It keeps what it is told and finds it again; it decides nothing. Any number of threads may read;
one at a time writes. What ``write`` was given is on the disk when it returns.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

from sqlalchemy import bindparam, func, select, text
from sqlalchemy.engine import Connection

from push_jobs_server.node_records import NodeSighted
from push_jobs_server.records import Change, Grant, JobFilter, JobNode, JobRecord
from push_jobs_server.store import schema
from push_jobs_server.store.changes import ChangeSet, Statements
from push_jobs_server.store.connections import Connections
from push_jobs_server.store.history import JOBS, LISTED, page
from push_jobs_server.store.output_statements import fresh, joined, kept
from push_jobs_server.store.rows import job_node, job_record
from push_jobs_server.store.tables import (
    grants,
    job_cancels,
    job_inputs,
    job_nodes,
    jobs,
    late_results,
    node_sightings,
    output_chunks,
    outputs,
    session_keys,
)
from push_jobs_wire.states import FINAL_JOB, JobStatus

_LIST = (
    select(*LISTED)
    .select_from(JOBS)
    .where(jobs.c.org == bindparam("org"))
    .order_by(jobs.c.created_at, jobs.c.id)
)
_FULL = select(*LISTED, job_inputs.c.file_content).select_from(JOBS)
_ONE = _FULL.where(jobs.c.id == bindparam("id"), jobs.c.org == bindparam("org"))
_OPEN = [status.value for status in JobStatus if status not in FINAL_JOB]
_UNFINISHED = _FULL.where(jobs.c.status.in_(_OPEN)).order_by(jobs.c.created_at, jobs.c.id)
_NODES = (
    select(
        job_nodes,
        *(
            column.label(f"late_{column.name}")
            for column in late_results.c
            if column.name not in ("job_id", "node")
        ),
    )
    .select_from(job_nodes.outerjoin(late_results))
    .where(job_nodes.c.job_id == bindparam("id"))
    .order_by(job_nodes.c.position)
)
_CANCELS = (
    select(job_cancels)
    .where(job_cancels.c.job_id == bindparam("id"))
    .order_by(job_cancels.c.number)
)
_BY_KEY = select(jobs.c.id).where(
    jobs.c.org == bindparam("org"), jobs.c.request_key == bindparam("key")
)
_OUTPUTS = {
    column.name: select(column)
    .join(jobs, jobs.c.id == outputs.c.job_id)
    .where(
        jobs.c.org == bindparam("org"),
        outputs.c.job_id == bindparam("id"),
        outputs.c.node == bindparam("node"),
    )
    for column in (outputs.c.stdout, outputs.c.stderr)
}
_CHUNKS = (
    select(output_chunks.c.begins_at, output_chunks.c.data)
    .join(jobs, jobs.c.id == output_chunks.c.job_id)
    .where(
        jobs.c.org == bindparam("org"),
        output_chunks.c.job_id == bindparam("id"),
        output_chunks.c.node == bindparam("node"),
        output_chunks.c.stream == bindparam("stream"),
    )
    .order_by(output_chunks.c.begins_at)
)
_CHUNKS_FROM = _CHUNKS.where(
    output_chunks.c.begins_at + func.length(output_chunks.c.data) > bindparam("position")
)
_GRANTS = select(grants).where(grants.c.expires_at > bindparam("now")).order_by(grants.c.expires_at)


class Store:
    """A database with the tables of this version.

    Args:
        url: ``sqlite:////absolute/path`` or ``postgresql://user@host/name``.

    Raises StoreError, which says what to do, when there is no such database or its tables are
    missing, older or newer; StoreUnavailable when it can't be reached now.
    """

    def __init__(self, url: str) -> None:
        self._connections = Connections(url)
        self._statements = Statements(self._connections.dialect)
        try:
            schema.check(self._connections)
        except BaseException:
            self._connections.close()
            raise

    @classmethod
    def migrate(cls, url: str) -> None:
        """Make the tables, or bring them up to date; nothing happens when they are.

        Raises StoreError when the tables are newer than this program.
        """
        connections = Connections(url)
        try:
            schema.migrate(connections)
        finally:
            connections.close()

    def write(self, changes: Sequence[Change]) -> None:
        """Store the changes in one transaction: all or none.

        Raises StoreUnavailable when it is worth trying again, another StoreError when it is not.
        """
        if not changes:
            return
        with self.writing() as connection:
            for statement, rows in ChangeSet(changes).steps(self._statements):
                statement.run(connection, rows)

    def jobs(self, org: str) -> List[JobRecord]:
        """All jobs of an organization, oldest first.

        Large parts are left out: ``nodes`` and ``request.nodes`` are empty, and of a file only
        its kind is there (``raw:`` or ``base64:``).
        """
        with self.reading() as connection:
            rows = _rows(connection, _LIST, {"org": org})
        return [job_record(row, None, {}) for row in rows]

    def find_jobs(self, org: str, asked: JobFilter) -> List[JobRecord]:
        """The jobs of an organization that are asked for, newest first, without large parts."""
        with self.reading() as connection:
            rows = _rows(connection, page(org, asked), {})
        return [job_record(row, None, {}) for row in rows]

    def job(self, org: str, job_id: str) -> Optional[JobRecord]:
        """A job with its nodes in the order of the request; None when ``org`` has no such job."""
        with self.reading() as connection:
            row = connection.execute(_ONE, {"org": org, "id": job_id}).first()
            return None if row is None else _with_nodes(connection, row)

    def job_for_request(self, org: str, request_key: str) -> Optional[str]:
        """The id of the job that this signed request made, if it did."""
        job_id: Optional[str] = self._scalar(_BY_KEY, {"org": org, "key": request_key})
        return job_id

    def output(
        self,
        org: str,
        job_id: str,
        node: str,
        stream: str,
        limit: int = 1 << 20,
        partial: bool = False,
    ) -> Optional[bytes]:
        """What a node wrote to ``stdout`` or ``stderr``; None when nothing was captured.

        ``limit``: bytes that are shown of it, its head and its tail. ``partial``: what is there
        already of a command that has not ended.
        """
        values = {"org": org, "id": job_id, "node": node, "stream": stream}
        with self.reading() as connection:
            whole: Optional[bytes] = connection.execute(_OUTPUTS[stream], values).scalar()
            chunks = _rows(connection, _CHUNKS, values)
        if whole is None and not (partial and chunks):
            return None
        return whole or joined(((row.begins_at, bytes(row.data)) for row in chunks), limit)

    def output_from(
        self, org: str, job_id: str, node: str, stream: str, position: int, limit: int = 1 << 20
    ) -> List[Tuple[int, bytes]]:
        """What is stored of a channel from ``position`` on: pieces with their offsets, in order.

        They may leave gaps, where output was too much. From the beginning on they are what
        ``output`` shows within the same ``limit``: who comes late sees the same gap.
        """
        values = {"org": org, "id": job_id, "node": node, "stream": stream}
        with self.reading() as connection:
            rows = _rows(connection, _CHUNKS_FROM, {**values, "position": position})
            pieces = [(row.begins_at, bytes(row.data)) for row in rows]
            if not pieces and position == 0:
                whole = connection.execute(_OUTPUTS[stream], values).scalar()
                return [(0, bytes(whole))] if whole else []
        return list(fresh(pieces, position) if position else kept(pieces, limit))

    def unfinished(self) -> List[JobRecord]:
        """The jobs of all organizations that have not ended, with their nodes, oldest first."""
        with self.reading() as connection:
            rows = _rows(connection, _UNFINISHED, {})
            return [_with_nodes(connection, row) for row in rows]

    def grants(self, now: float) -> List[Grant]:
        """The grants that have not expired at ``now``, those that last longest at the end."""
        with self.reading() as connection:
            rows = _rows(connection, _GRANTS, {"now": now})
        return [Grant(row.curve_key, row.org, row.node, row.expires_at) for row in rows]

    def session_keys(self) -> Dict[Tuple[str, str], bytes]:
        """The session keys by organization and node."""
        with self.reading() as connection:
            rows = _rows(connection, select(session_keys), {})
        return {(row.org, row.node): bytes(row.key) for row in rows}

    def sightings(self) -> List[NodeSighted]:
        """What was known of nodes, of all organizations, when it was last stored."""
        with self.reading() as connection:
            rows = _rows(connection, select(node_sightings), {})
        return [NodeSighted(**row._mapping) for row in rows]

    def session_keys_made(self) -> Dict[Tuple[str, str], float]:
        """When the session keys were made; older ones than the table knows are left out."""
        query = select(session_keys).where(session_keys.c.made_at.is_not(None))
        with self.reading() as connection:
            rows = _rows(connection, query, {})
        return {(row.org, row.node): row.made_at for row in rows}

    def check(self) -> None:
        """Raise StoreUnavailable unless the database answers."""
        with self.reading() as connection:
            connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def reading(self) -> "AbstractContextManager[Connection]":
        """A connection for queries that see one state; its errors come as StoreError."""
        return self._connections.reading()

    def writing(self) -> "AbstractContextManager[Connection]":
        """A transaction for other tables of this database; its errors come as StoreError."""
        return self._connections.writing()

    def close(self) -> None:
        """Close the database."""
        self._connections.close()

    def _scalar(self, query: Any, values: Dict[str, str]) -> Any:
        with self.reading() as connection:
            return connection.execute(query, values).scalar()


def _rows(connection: Connection, query: Any, values: Mapping[str, Any]) -> Sequence[Any]:
    return connection.execute(query, values).all()


def _with_nodes(connection: Connection, row: Any) -> JobRecord:
    rows = _rows(connection, _NODES, {"id": row.id})
    nodes: Dict[str, JobNode] = {each.node: job_node(each) for each in rows}
    cancels = _rows(connection, _CANCELS, {"id": row.id})
    return job_record(row, row.file_content, nodes, cancels)
