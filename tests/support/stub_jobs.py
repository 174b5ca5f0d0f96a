"""Jobs as the stub of a server makes them."""

from __future__ import annotations

from typing import Any, Dict

Record = Dict[str, Any]
NOT_STARTED: Record = {
    "status": "new",
    "exit_code": None,
    "signal": None,
    "reason": None,
    "started_at": None,
    "ended_at": None,
    "late": None,
}


def new_job(job_id: str, body: Record) -> Record:
    """A job that was just started, as ``v1/jobs/ID`` shows it."""
    return {
        "id": job_id,
        "command": body["command"],
        "status": "voting",
        "requestor": "alice",
        "requestor_kind": "user",
        "quorum": body.get("quorum", len(body["nodes"])),
        "run_timeout": body.get("run_timeout", 3600),
        "capture": body.get("capture_output", False),
        "created_at": "2024-05-14T09:26:53Z",
        "updated_at": "2024-05-14T09:26:55.250000Z",
        "voting_deadline": "2024-05-14T09:27:53Z",
        "run_deadline": None,
        "user": body.get("user"),
        "dir": body.get("dir"),
        "env": body.get("env"),
        "file_specified": "file" in body,
        "nodes": [{"name": name, **NOT_STARTED} for name in sorted(body["nodes"])],
    }
