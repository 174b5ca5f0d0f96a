"""What happens to jobs, as the event feeds tell it (pushy-api 4.8.3). Pure.

Names and words are those of the old API; readers count events, so nothing is told beside the table.
"""

from __future__ import annotations

from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Tuple

from push_jobs_server.records import JobRecord, JobRequest
from push_jobs_wire.states import JobStatus, NodeStatus

START = "start"
JOB_COMPLETE = "job_complete"
OUTPUT = "output"
"""A channel of a node has more than before; ours, and told to readers of output only."""

Told = Tuple[str, Mapping[str, Any]]
"""(name, data without its timestamp)."""


class Event(NamedTuple):
    """Something that happened to a job ``at`` seconds since the epoch, by the wall clock."""

    org: str
    job_id: str
    name: str
    at: float
    data: Mapping[str, Any]


def start_event(job_id: str, request: JobRequest, at: float) -> Event:
    """The first event of a job; a file's content is never in it."""
    data: Dict[str, Any] = {
        "command": request.command,
        "run_timeout": request.run_timeout,
        "quorum": request.quorum,
        "node_count": len(request.nodes),
        "user": request.requestor,
    }
    if request.user is not None:
        data["job_user"] = request.user
    if request.dir is not None:
        data["dir"] = request.dir
    if request.env is not None:
        data["env"] = dict(request.env)
    if request.file is not None:
        data["file_specified"] = True
    data["capture"] = request.capture
    return Event(request.org, job_id, START, at, data)


def output_event(org: str, job_id: str, node: str, stream: str, at: float) -> Event:
    """More of a channel is stored."""
    return Event(org, job_id, OUTPUT, at, {"node": node, "stream": stream})


def rebuilt(job: JobRecord) -> List[Event]:
    """The events of an unfinished job as far as its stored state tells them, after a restart."""
    org = job.request.org
    first = start_event(job.id, job.request, job.created_at)
    return [first, *(Event(org, job.id, *told) for told in _told(job))]


def _told(job: JobRecord) -> Iterator[Tuple[str, float, Mapping[str, Any]]]:
    states = [(name, node.status) for name, node in job.nodes.items()]
    for name, status in states:
        if status is not NodeStatus.NEW:
            vote = _VOTES.get(status, "success")
            yield "quorum_vote", job.updated_at, {"node": name, "status": vote}
    if job.status is not JobStatus.RUNNING:
        return
    yield "quorum_succeeded", job.updated_at, {}
    for name, status in states:
        if status in _STARTED:
            yield "run_start", job.updated_at, {"node": name}
        if status in _RESULTS:
            yield "run_complete", job.updated_at, {"node": name, "status": _RESULTS[status]}


_VOTES = {NodeStatus.NACKED: "failure", NodeStatus.UNAVAILABLE: "down"}
_STARTED = {NodeStatus.RUNNING, NodeStatus.SUCCEEDED, NodeStatus.FAILED}
_RESULTS = {
    NodeStatus.SUCCEEDED: "success",
    NodeStatus.FAILED: "failure",
    NodeStatus.CRASHED: "crashed",
    NodeStatus.ABORTED: "aborted",
}
