"""Jobs and nodes as JSON documents: the old API's exact key sets, and our own details. Pure."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, List, Optional

from push_jobs_server.records import Cancel, JobNode, JobRecord, NodeView, Outcome
from push_jobs_wire.framing import format_timestamp
from push_jobs_wire.states import NodeStatus


def job_document(job: JobRecord) -> Dict[str, Any]:
    """A job as lists show it (pushy-api 4.4); optional keys only when they were given."""
    asked = job.request
    document: Dict[str, Any] = {
        "id": job.id,
        "command": asked.command,
        "status": job.status.value,
        "run_timeout": asked.run_timeout,
        "created_at": format_timestamp(job.created_at),
        "updated_at": format_timestamp(max(job.created_at, job.updated_at)),
    }
    for name in ("user", "dir"):
        if getattr(asked, name) is not None:
            document[name] = getattr(asked, name)
    if asked.env is not None:
        document["env"] = dict(asked.env)
    if asked.capture:
        document["capture_output"] = True
    if asked.file is not None:
        document["file_specified"] = True
    return document


def job_with_nodes(job: JobRecord, include_file: bool) -> Dict[str, Any]:
    """A job as it is shown alone (pushy-api 4.5): exactly one key more, ``nodes`` by status."""
    document = job_document(job)
    nodes: Dict[str, List[str]] = {}
    for name, node in job.nodes.items():
        nodes.setdefault(node.status.value, []).append(name)
    document["nodes"] = nodes
    if include_file and document.pop("file_specified", False):
        document["file"] = job.request.file
    return document


def job_detail(job: JobRecord) -> Dict[str, Any]:
    """Everything about a job but the file's content: our own representation (v1/jobs/ID)."""
    nodes = [_node_detail(name, job.nodes[name]) for name in sorted(job.nodes)]
    cancels = [_cancel(each) for each in job.cancels]
    return {**job_summary(job), "cancels": cancels, "nodes": nodes}


def job_summary(job: JobRecord) -> Dict[str, Any]:
    """The same without nodes, as our own list shows it (v1/jobs)."""
    asked = job.request
    return {
        "id": job.id,
        "command": asked.command,
        "status": job.status.value,
        "requestor": asked.requestor,
        "requestor_kind": asked.requestor_kind,
        "quorum": asked.quorum,
        "run_timeout": asked.run_timeout,
        "capture": asked.capture,
        "created_at": moment(job.created_at),
        "updated_at": moment(job.updated_at),
        "voting_deadline": moment(job.voting_deadline),
        "run_deadline": moment(job.run_deadline),
        "user": asked.user,
        "dir": asked.dir,
        "env": None if asked.env is None else dict(asked.env),
        "file_specified": asked.file is not None,
    }


def _cancel(cancel: Cancel) -> Dict[str, Any]:
    return {
        "requestor": cancel.requestor,
        "requestor_kind": cancel.requestor_kind,
        "at": moment(cancel.at),
        "grace": cancel.grace,
        "reason": cancel.reason,
        "nodes": sorted(cancel.nodes),
    }


def _node_detail(name: str, node: JobNode) -> Dict[str, Any]:
    late = None
    if node.late_status is not None:
        late = _outcome(node.late_status, node.late or Outcome())
    return {"name": name, **_outcome(node.status, node.outcome), "late": late}


def _outcome(status: NodeStatus, outcome: Outcome) -> Dict[str, Any]:
    return {
        "status": status.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason,
        "started_at": moment(outcome.started_at),
        "ended_at": moment(outcome.ended_at),
    }


def moment(at: Optional[float]) -> Optional[str]:
    """A time as ISO 8601 in UTC with milliseconds."""
    if at is None:
        return None
    when = datetime.fromtimestamp(at, timezone.utc)
    return when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03d}Z"


def availability(node: NodeView) -> Dict[str, str]:
    """A node in the list of node states (pushy-api 4.7)."""
    return {
        "node_name": node.name,
        "availability": "available" if node.available else "unavailable",
    }


def node_state(node: NodeView) -> Dict[str, str]:
    """The state of one node; exactly three keys."""
    return {**availability(node), "status": "online" if node.online else "offline"}
