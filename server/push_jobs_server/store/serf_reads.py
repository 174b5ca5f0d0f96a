"""What is read about nodes that come over Serf: their runs, numbered output and statuses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Set, Tuple

from sqlalchemy import and_, bindparam, func, select

from push_jobs_server.serf_records import NodeStatusSeen, SerfChunk, SerfRun
from push_jobs_server.store.store import Store
from push_jobs_server.store.tables import jobs, node_statuses, serf_chunks, serf_runs
from push_jobs_wire.states import FINAL_JOB, JobStatus

_OF_RUN = (
    serf_chunks.c.job_id == bindparam("id"),
    serf_chunks.c.node == bindparam("node"),
)
_OF_STREAM = (*_OF_RUN, serf_chunks.c.stream == bindparam("stream"))
_EXISTS = select(serf_chunks.c.seq).where(*_OF_STREAM, serf_chunks.c.seq == bindparam("seq"))
_ARRIVED = select(func.max(serf_chunks.c.arrival)).where(*_OF_RUN)
_PLACED = (
    select(serf_chunks.c.seq, serf_chunks.c.begins_at, serf_chunks.c.size)
    .where(*_OF_STREAM, serf_chunks.c.begins_at.is_not(None))
    .order_by(serf_chunks.c.seq.desc())
    .limit(1)
)
_HELD = (
    select(serf_chunks)
    .where(*_OF_STREAM, serf_chunks.c.begins_at.is_(None), serf_chunks.c.seq > bindparam("seq"))
    .order_by(serf_chunks.c.seq)
)
_CHUNKS = (
    select(serf_chunks)
    .where(*_OF_STREAM, serf_chunks.c.seq >= bindparam("seq"))
    .order_by(serf_chunks.c.seq)
)
_ALL_CHUNKS = (
    select(serf_chunks)
    .where(*_OF_RUN, serf_chunks.c.arrival >= bindparam("seq"))
    .order_by(serf_chunks.c.arrival)
)
_HAS_RUN = (
    select(serf_runs.c.node)
    .join(jobs, jobs.c.id == serf_runs.c.job_id)
    .where(
        jobs.c.org == bindparam("org"),
        jobs.c.status != JobStatus.QUORUM_FAILED.value,
        serf_runs.c.job_id == bindparam("id"),
        serf_runs.c.node == bindparam("node"),
    )
)
_RUNS = select(serf_runs).where(serf_runs.c.job_id == bindparam("id"))
_OPEN_RUNS = (
    select(serf_runs.c.job_id, serf_runs.c.node)
    .join(jobs, jobs.c.id == serf_runs.c.job_id)
    .where(
        jobs.c.org == bindparam("org"),
        jobs.c.status.not_in([status.value for status in FINAL_JOB]),
    )
)
_STATUSES = (
    select(node_statuses)
    .where(node_statuses.c.org == bindparam("org"), node_statuses.c.node == bindparam("node"))
    .order_by(node_statuses.c.number.desc())
)


@dataclass(frozen=True)
class Channel:
    """What is stored of one stream of a run, as far as a new chunk needs it.

    Args:
        known: True when the new chunk's number is there already.
        next_seq: the first number that has no place yet.
        end: offset in bytes where it will begin.
        arrivals: how many chunks of the run came, of both streams.
    """

    known: bool
    next_seq: int
    end: int
    arrivals: int


class SerfReads:
    """Questions to a store about nodes that come over Serf."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def channel(self, job_id: str, node: str, stream: str, seq: int) -> Channel:
        """What a chunk with this number meets."""
        values = {"id": job_id, "node": node, "stream": stream, "seq": seq}
        with self._store.reading() as connection:
            arrived = connection.execute(_ARRIVED, values).scalar()
            if arrived is None:  # most runs print nothing: their last pieces are the first ones
                return Channel(False, 0, 0, 0)
            known = connection.execute(_EXISTS, values).first() is not None
            placed = connection.execute(_PLACED, values).first()
        if placed is None:
            return Channel(known, 0, 0, arrived + 1)
        return Channel(known, placed[0] + 1, placed[1] + placed[2], arrived + 1)

    def held(self, job_id: str, node: str, stream: str, after: int) -> List[SerfChunk]:
        """The chunks behind a missing one, in order of their numbers."""
        values = {"id": job_id, "node": node, "stream": stream, "seq": after}
        with self._store.reading() as connection:
            return [_chunk(row) for row in connection.execute(_HELD, values)]

    def chunks(self, job_id: str, node: str, stream: str, seq: int) -> List[SerfChunk]:
        """The chunks of a stream from a number on, in their order."""
        values = {"id": job_id, "node": node, "stream": stream, "seq": seq}
        with self._store.reading() as connection:
            return [_chunk(row) for row in connection.execute(_CHUNKS, values)]

    def arrivals(self, job_id: str, node: str, number: int) -> List[SerfChunk]:
        """The chunks of both streams in the order in which they came, from the number-th on."""
        values = {"id": job_id, "node": node, "seq": number}
        with self._store.reading() as connection:
            return [_chunk(row) for row in connection.execute(_ALL_CHUNKS, values)]

    def has_run(self, org: str, job_id: str, node: str) -> bool:
        """Whether a node has a part over Serf in a job that runs or ran; one look at one row."""
        values = {"org": org, "id": job_id, "node": node}
        with self._store.reading() as connection:
            return connection.execute(_HAS_RUN, values).first() is not None

    def runs(self, job_id: str) -> Dict[str, SerfRun]:
        """What is known of the nodes of a job that take part over Serf."""
        with self._store.reading() as connection:
            runs = [SerfRun(**_fields(row)) for row in connection.execute(_RUNS, {"id": job_id})]
        return {run.node: run for run in runs}

    def open_runs(self, org: str) -> Set[Tuple[str, str]]:
        """An organization's jobs that have not ended, each with its nodes that take part over
        Serf."""
        with self._store.reading() as connection:
            return {(row[0], row[1]) for row in connection.execute(_OPEN_RUNS, {"org": org})}

    def statuses(self, org: str, node: str) -> List[NodeStatusSeen]:
        """The statuses of a node, the newest first."""
        with self._store.reading() as connection:
            rows = connection.execute(_STATUSES, {"org": org, "node": node})
            return [NodeStatusSeen(**_fields(row)) for row in rows]

    def latest(self, org: Optional[str] = None) -> List[NodeStatusSeen]:
        """The newest status of each node, sorted by name."""
        newest = select(
            node_statuses.c.org,
            node_statuses.c.node,
            func.max(node_statuses.c.number).label("number"),
        ).group_by(node_statuses.c.org, node_statuses.c.node)
        last = newest.subquery()
        same = (node_statuses.c[name] == last.c[name] for name in ("org", "node", "number"))
        query = select(node_statuses).join(last, and_(*same)).order_by(node_statuses.c.node)
        if org is not None:
            query = query.where(node_statuses.c.org == org)
        with self._store.reading() as connection:
            return [NodeStatusSeen(**_fields(row)) for row in connection.execute(query)]


def _fields(row: Any) -> Dict[str, Any]:
    """A row by the names of its columns; the types of SQLAlchemy 1.4 and 2 differ."""
    return dict(row._mapping)


def _chunk(row: Any) -> SerfChunk:
    fields = _fields(row)
    fields["data"] = bytes(fields["data"])
    return SerfChunk(**fields)
