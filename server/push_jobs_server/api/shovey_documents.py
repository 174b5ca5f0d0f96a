"""Jobs, runs and node statuses as the Shovey API shows them. Pure. Sources: shovey 2.4 to 2.10."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Mapping, Optional

from push_jobs_server.records import JobNode, JobRecord
from push_jobs_server.serf_records import NodeStatusSeen, SerfRun
from push_jobs_wire.shovey import job_uuid
from push_jobs_wire.shovey_words import JOB_WORDS, REPORTS, RUN_WORDS
from push_jobs_wire.states import JobStatus, NodeStatus

NEVER = "0001-01-01T00:00:00Z"


def job_document(job: JobRecord, runs: Mapping[str, SerfRun]) -> Dict[str, Any]:
    """A job with its nodes by their words; one that never ran has none."""
    nodes: Dict[str, List[str]] = {}
    for name, node in job.nodes.items() if _began(job) else ():
        nodes.setdefault(run_word(node, runs.get(name)), []).append(name)
    return {
        "id": job_uuid(job.id),
        "command": job.request.command,
        "created_at": moment(job.created_at),
        "nodes": nodes,
        "run_timeout": job.request.run_timeout,
        "status": JOB_WORDS[job.status],
        "updated_at": moment(max(job.created_at, job.updated_at)),
    }


def run_document(
    job: JobRecord, name: str, run: Optional[SerfRun], stdout: str, stderr: str
) -> Dict[str, Any]:
    """One node's part in a job."""
    node = job.nodes[name]
    acked = None if run is None else run.acked_at
    return {
        "ack_time": NEVER if acked is None else moment(acked),
        "end_time": _end(job, name, node),
        "error": node.outcome.reason or "",
        "exit_status": _exit_status(node),
        "node_name": name,
        "output": stdout,
        "run_id": job_uuid(job.id),
        "status": run_word(node, run),
        "stderr": stderr,
    }


def run_word(node: JobNode, run: Optional[SerfRun]) -> str:
    """The node's own word for its end, where that is what became of it."""
    told = None if run is None else run.word
    if told in REPORTS and node.status.final and node.status is not NodeStatus.ABORTED:
        return str(told)
    return RUN_WORDS[node.status]


def status_document(seen: NodeStatusSeen) -> Dict[str, Any]:
    """One status of a node; whole seconds."""
    return {
        "node_name": seen.node,
        "status": seen.status,
        "updated_at": moment(int(seen.at)),
    }


def moment(at: float) -> str:
    """RFC 3339 in UTC, with as many digits of the second as it takes."""
    text = datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%f")
    return text.rstrip("0").rstrip(".") + "Z"


def _began(job: JobRecord) -> bool:
    """False when nothing ran; a job that a restart lost on all its nodes is called crashed, too."""
    if job.status is JobStatus.CRASHED:
        return any(node.status is NodeStatus.CRASHED for node in job.nodes.values())
    return job.status is not JobStatus.QUORUM_FAILED


def _exit_status(node: JobNode) -> int:
    outcome = node.outcome
    if outcome.exit_code is not None:
        return outcome.exit_code & 255
    return 0 if outcome.signal is None else 255


def _end(job: JobRecord, name: str, node: JobNode) -> str:
    if not node.status.final:
        return NEVER
    if node.outcome.ended_at is not None:
        return moment(node.outcome.ended_at)
    if node.status is NodeStatus.UNAVAILABLE:
        return moment(job.created_at)
    cancelled = [cancel.at for cancel in job.cancels if name in cancel.nodes]
    return moment(min(cancelled, default=job.updated_at))
