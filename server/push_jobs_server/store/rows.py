"""From rows to records."""

from __future__ import annotations

import json
from typing import Any, Dict, Iterable, Optional, Sequence

from push_jobs_server.records import Cancel, JobNode, JobRecord, JobRequest, Outcome
from push_jobs_server.store.changes import join_file
from push_jobs_wire.states import JobStatus, NodeStatus

Row = Any
"""A row of a result: columns are attributes."""


def job_record(
    row: Row,
    content: Optional[bytes],
    nodes: Dict[str, JobNode],
    cancels: Sequence[Row] = (),
) -> JobRecord:
    """A job from a row of ``jobs`` joined with ``job_inputs``, its file's content, its nodes and
    rows of ``job_cancels``."""
    return JobRecord(
        id=row.id,
        request=_request(row, content, nodes),
        status=JobStatus(row.status),
        created_at=row.created_at,
        updated_at=row.updated_at,
        voting_deadline=row.voting_deadline,
        run_deadline=row.run_deadline,
        nodes=nodes,
        cancels=tuple(_cancel(each) for each in cancels),
    )


def _cancel(row: Row) -> Cancel:
    nodes = tuple(json.loads(row.nodes))
    return Cancel(row.requestor, row.requestor_kind, row.at, nodes, row.grace, row.reason)


def _request(row: Row, content: Optional[bytes], nodes: Iterable[str]) -> JobRequest:
    return JobRequest(
        org=row.org,
        command=row.command,
        nodes=tuple(nodes),
        quorum=row.quorum,
        run_timeout=row.run_timeout,
        requestor=row.requestor,
        requestor_kind=row.requestor_kind,
        user=row.run_as,
        dir=row.dir,
        env=None if row.env is None else json.loads(row.env),
        file=join_file(row.file_kind, content),
        capture=row.capture,
        request_key=row.request_key,
    )


def job_node(row: Row) -> JobNode:
    """A node's part from a row of ``job_nodes`` joined with ``late_results`` (``late_...``)."""
    outcome = Outcome(row.exit_code, row.signal, row.reason, row.started_at, row.ended_at)
    if row.late_status is None:
        return JobNode(NodeStatus(row.status), outcome)
    late = Outcome(
        row.late_exit_code, row.late_signal, row.late_reason, row.late_started_at, row.late_ended_at
    )
    return JobNode(NodeStatus(row.status), outcome, NodeStatus(row.late_status), late)
