"""The JSON that ``--format json`` and ``jsonl`` print, one function per kind.

Each document begins with its ``kind`` and ``version``. A version only ever gets new keys; a key
that changes its meaning or goes away makes a new version. Times are ISO 8601 in UTC, or null.
"""

from __future__ import annotations

import base64
from dataclasses import asdict
from datetime import datetime
from typing import Dict, List, Mapping, Optional, Tuple

from push_jobs.event_stream import JobEvent
from push_jobs.live_output import OutputPiece
from push_jobs.models import (
    Cancellation,
    Identity,
    Job,
    JobCancel,
    JobSummary,
    NodeResult,
    NodeState,
    Outcome,
)
from push_jobs.node_advice import advice
from push_jobs.node_models import NodeDetail

Document = Dict[str, object]


def started(job_id: str) -> Document:
    """A job that was just started."""
    return {"kind": "job_started", "version": 1, "id": job_id}


def job(job: Job) -> Document:
    """A job with all its nodes."""
    return {
        "kind": "job",
        "version": 1,
        "id": job.id,
        "command": job.command,
        "status": job.status.value,
        "requestor": job.requestor,
        "requestor_kind": job.requestor_kind,
        "quorum": job.quorum,
        "run_timeout": job.run_timeout,
        "capture": job.capture,
        "created_at": _time(job.created_at),
        "updated_at": _time(job.updated_at),
        "voting_deadline": _time(job.voting_deadline),
        "run_deadline": _time(job.run_deadline),
        "user": job.user,
        "dir": job.dir,
        "env": job.env,
        "file_specified": job.file_specified,
        "nodes": [_node(node) for node in job.nodes],
        "cancels": [_cancel(each) for each in job.cancels],
    }


def cancellation(answer: Cancellation) -> Document:
    """What a cancel meant for each node, right after it."""
    return {
        "kind": "cancel",
        "version": 1,
        "job_id": answer.job_id,
        "status": answer.status.value,
        "nodes": [
            {"name": node.name, "cancel": node.effect.value, "status": node.status.value}
            for node in answer.nodes
        ],
    }


def summary(job: JobSummary) -> Document:
    """A job in the list of jobs."""
    return {
        "kind": "job_summary",
        "version": 1,
        "id": job.id,
        "command": job.command,
        "status": job.status.value,
        "run_timeout": job.run_timeout,
        "capture": job.capture,
        "created_at": _time(job.created_at),
        "updated_at": _time(job.updated_at),
        "user": job.user,
        "dir": job.dir,
        "env": job.env,
        "file_specified": job.file_specified,
        "requestor": job.requestor,
        "requestor_kind": job.requestor_kind,
    }


def result(job_id: str, node: NodeResult) -> Document:
    """The end of one node's part in a job."""
    return {"kind": "result", "version": 1, "job_id": job_id, **_node(node)}


def event(job_id: str, event: JobEvent) -> Document:
    """Something that happened to a job; ``id`` is null when the server has no feed."""
    return {
        "kind": "event",
        "version": 1,
        "job_id": job_id,
        "event": event.name,
        "id": event.id or None,
        "timestamp": _time(event.timestamp),
        "data": dict(event.data),
    }


def output(job_id: str, node: str, stream: str, content: Optional[bytes]) -> Document:
    """Captured output: text when it is UTF-8, base64 otherwise, null when nothing was kept."""
    encoding, text = _encode(content)
    return {
        "kind": "output",
        "version": 1,
        "job_id": job_id,
        "node": node,
        "stream": stream,
        "encoding": encoding,
        "content": text,
    }


def output_piece(job_id: str, piece: OutputPiece) -> Document:
    """Output as it comes; ``offset`` counts the bytes before it."""
    encoding, text = _encode(piece.data)
    return {
        "kind": "output_piece",
        "version": 1,
        "job_id": job_id,
        "node": piece.node,
        "stream": piece.stream,
        "offset": piece.offset,
        "encoding": encoding,
        "content": text,
    }


def node(state: NodeState) -> Document:
    """The state of a node."""
    return {
        "kind": "node",
        "version": 1,
        "name": state.name,
        "online": state.online,
        "available": state.available,
    }


def identity(found: Identity) -> Document:
    """Who the caller is, and his rights."""
    facts = asdict(found)
    return {"kind": "identity", "version": 1, "caller_kind": facts.pop("kind"), **facts}


def node_detail(node: NodeDetail) -> Document:
    """Everything about a node; what the server does not tell is null."""
    last, refusal = node.last_down, node.refusal
    return {
        "kind": "node",
        "version": 1,
        "name": node.name,
        "online": node.online,
        "available": node.available,
        "state": None if node.brief else node.presence.value,
        "registered": node.registered,
        "since": _time(node.since),
        "reason": node.reason,
        "seen_at": _time(node.seen_at),
        "settings_fetched_at": _time(node.settings_fetched_at),
        "last_down": None if last is None else {"at": _time(last.at), "reason": last.reason},
        "refusal": None if refusal is None else {**vars(refusal), "at": _time(refusal.at)},
        "agent_version": node.version,
        "platform": node.platform,
        "extensions": node.extensions,
        "says_job": node.says_job,
        "jobs": [{"id": job.id, "status": job.status} for job in node.jobs],
        "spool": None if node.spool is None else list(node.spool),
        "runnable": None if node.runnable is None else list(node.runnable),
        "all_runnable": node.all_runnable,
        "advice": advice(node),
    }


def exit_codes(meanings: Mapping[int, str]) -> List[Document]:
    """The table of exit codes."""
    return [
        {"kind": "exit_code", "version": 1, "code": code, "meaning": meaning}
        for code, meaning in meanings.items()
    ]


def _cancel(cancel: JobCancel) -> Document:
    return {
        "requestor": cancel.requestor,
        "requestor_kind": cancel.requestor_kind,
        "at": _time(cancel.at),
        "grace": cancel.grace,
        "reason": cancel.reason,
        "nodes": list(cancel.nodes),
    }


def _node(node: NodeResult) -> Document:
    late = None if node.late is None else _outcome(node.late)
    return {"name": node.name, **_outcome(node), "late": late}


def _outcome(outcome: Outcome) -> Document:
    return {
        "status": outcome.status.value,
        "exit_code": outcome.exit_code,
        "signal": outcome.signal,
        "reason": outcome.reason,
        "started_at": _time(outcome.started_at),
        "ended_at": _time(outcome.ended_at),
    }


def _time(moment: Optional[datetime]) -> Optional[str]:
    return None if moment is None else moment.isoformat().replace("+00:00", "Z")


def _encode(content: Optional[bytes]) -> Tuple[Optional[str], Optional[str]]:
    if content is None:
        return None, None
    try:
        return "utf-8", content.decode("utf-8")
    except UnicodeDecodeError:
        return "base64", base64.b64encode(content).decode("ascii")
