"""Jobs and changes for tests of what stores them."""

from __future__ import annotations

from typing import Any, Dict, Sequence

from push_jobs_server.records import JobCreated, JobNode, JobRecord, JobRequest
from push_jobs_wire.states import JobStatus

NODES = ("web2", "db1", "web1")


def job_id(number: int) -> str:
    """A job id that sorts like its number."""
    return f"{number:032x}"


def job(number: int = 1, nodes: Sequence[str] = NODES, **details: Any) -> JobRecord:
    """A job that votes; ``details`` are fields of its request, or ``status`` and ``created_at``."""
    status = details.pop("status", JobStatus.VOTING)
    created_at = details.pop("created_at", 1000.5)
    request: Dict[str, Any] = {
        "org": "acme",
        "command": "chef-client",
        "nodes": tuple(nodes),
        "quorum": len(nodes),
        "run_timeout": 3600,
        "requestor": "alice",
        "requestor_kind": "user",
        "request_key": f"request {number}",
    }
    return JobRecord(
        job_id(number),
        JobRequest(**{**request, **details}),
        status,
        created_at=created_at,
        updated_at=created_at,
        voting_deadline=created_at + 60,
        nodes={name: JobNode() for name in nodes},
    )


def created(number: int = 1, nodes: Sequence[str] = NODES, **details: Any) -> JobCreated:
    """The change that stores such a job."""
    return JobCreated(job(number, nodes, **details))
