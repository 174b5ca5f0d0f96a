"""What the audit trail says: rows for jobs, refusals and commands, and their JSON form. Pure.

A row tells who asked for what, where, and what became of it. It never holds the value of a variable
or a file's content, and every text in it has a limit, because strangers choose some of them.
"""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any, Dict, Iterable, Mapping, Optional

from push_jobs_server.records import AuditEntry, Cancel, JobRecord, JobRequest
from push_jobs_wire.settings import MASK

DONE, REFUSED = "done", "refused"
OPERATOR, SERVER = "operator", "server"
"""Kinds of actors that sign nothing: people at the server's command line, and the server itself."""
LOCAL = "local"
"""Stands for the address of an operator."""

_NAME = 255
_TEXT = 1024
_ITEMS = 100
"""Names of nodes and of variables that a row lists; ``node_count`` counts all nodes."""


def entry_id(at: float, unique: str) -> str:
    """An id that sorts by time.

    Args:
        at: seconds since the epoch.
        unique: at least 18 hex digits that no other row of this microsecond has.
    """
    return f"{max(0, int(at * 1e6)):014x}{unique[:18]}"


def first_id(at: float) -> str:
    """What the ids of all rows from this moment on are not below."""
    return entry_id(at, "")


def job_started(job: JobRecord) -> AuditEntry:
    """The row that goes with a new job."""
    asked = job.request
    return AuditEntry(
        entry_id(job.created_at, job.id),
        job.created_at,
        asked.org,
        asked.requestor,
        asked.requestor_kind,
        asked.address,
        "job.start",
        job.id,
        DONE,
        _asked_for(asked),
    )


def job_cancelled(
    job_id: str, org: str, number: int, cancel: Cancel, address: Optional[str]
) -> AuditEntry:
    """The row that goes with a cancel, the ``number``-th of its job."""
    details: Dict[str, Any] = {
        "nodes": [cut(name) for name in cancel.nodes[:_ITEMS]],
        "node_count": len(cancel.nodes),
        "grace": cancel.grace,
        "reason": None if cancel.reason is None else cut(cancel.reason, _TEXT),
    }
    return made(
        cancel.at,
        f"{number % 0x10000:04x}{job_id}",
        "job.cancel",
        org=org,
        actor=cancel.requestor,
        actor_kind=cancel.requestor_kind,
        address=address,
        target=job_id,
        details=details,
    )


def _asked_for(asked: JobRequest) -> Dict[str, Any]:
    details: Dict[str, Any] = {
        **command_and_nodes(asked.command, asked.nodes),
        "quorum": asked.quorum,
        "run_timeout": asked.run_timeout,
        "capture": asked.capture,
    }
    for name in ("user", "dir"):
        value = getattr(asked, name)
        if value is not None:
            details[name] = cut(value, _TEXT)
    if asked.env is not None:
        details["env"] = {cut(name): MASK for name in sorted(asked.env)[:_ITEMS]}
    if asked.file is not None:
        details["file"] = MASK
    return details


def command_and_nodes(command: str, nodes: Iterable[str]) -> Dict[str, Any]:
    """The part of the details that says what was to run, and where."""
    names = list(nodes)
    shown = [cut(name) for name in names[:_ITEMS]]
    return {"command": cut(command, _TEXT), "nodes": shown, "node_count": len(names)}


def made(
    at: float,
    unique: str,
    action: str,
    *,
    org: Optional[str] = None,
    actor: Optional[str] = None,
    actor_kind: Optional[str] = None,
    address: Optional[str] = None,
    target: Optional[str] = None,
    result: str = DONE,
    details: Optional[Mapping[str, Any]] = None,
) -> AuditEntry:
    """A row of any other kind, with its texts made fit to be stored; see ``AuditEntry``."""
    return AuditEntry(
        entry_id(at, unique),
        at,
        org=_maybe_cut(org),
        actor=_maybe_cut(actor),
        actor_kind=actor_kind,
        address=_maybe_cut(address),
        action=action,
        target=_maybe_cut(target),
        result=result,
        details=dict(details or {}),
    )


def _maybe_cut(text: Optional[str]) -> Optional[str]:
    return None if text is None else cut(text)


def cut(text: str, limit: int = _NAME) -> str:
    """The text as every database takes it, not longer than ``limit`` characters."""
    if len(text) > limit:
        text = text[: limit - 3] + "..."
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "\ufffd")


def json_line(entry: AuditEntry) -> str:
    """A row as one line of JSON, printable ASCII only."""
    when = datetime.fromtimestamp(entry.at, timezone.utc).isoformat(timespec="microseconds")
    fields = {**vars(entry), "details": dict(entry.details)}
    del fields["at"]
    line = {"kind": "audit", "version": 1, "time": when.replace("+00:00", "Z"), **fields}
    return json.dumps(line)
