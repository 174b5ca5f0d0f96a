"""Server-sent events of a job, from bytes to records, and the events that a job's state implies.

Pure: nothing here talks to a server. Text in the records is raw; escape it before you print it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, Iterator, List, Mapping, Optional, Tuple

from push_jobs.errors import BadAnswer
from push_jobs.models import Job
from push_jobs_wire.states import JobStatus, NodeStatus

JOB_COMPLETE = "job_complete"
SUMMARY = "summary"

_MAX_EVENT = 64 * 1024 * 1024
"""Bytes; the event of a job with very many nodes or variables is far below it."""


@dataclass(frozen=True)
class JobEvent:
    """Something that happened to a job: ``start``, ``quorum_vote``, ``quorum_succeeded``,
    ``run_start``, ``run_complete``, ``rehab``, ``job_complete``; ``summary`` alone for a job whose
    end is a while ago; ``start_of_history`` in place of events that got lost (pushy-api 4.8.3).

    ``id`` is empty when the event was concluded from the job's state, for want of a feed.
    """

    name: str
    id: str
    timestamp: datetime
    data: Mapping[str, Any]

    @property
    def node(self) -> Optional[str]:
        """The node that it is about."""
        return self._text("node")

    @property
    def status(self) -> Optional[str]:
        """How the vote, the node's part or the job came out, in the words of the feed."""
        return self._text("status")

    @property
    def gist(self) -> Tuple[str, Optional[str], Optional[str]]:
        """What is the same when the same thing is told again."""
        return self.name, self.node, self.status

    @property
    def final(self) -> bool:
        """True when nothing follows."""
        return self.name in (JOB_COMPLETE, SUMMARY)

    def _text(self, key: str) -> Optional[str]:
        value = self.data.get(key)
        return value if isinstance(value, str) else None


class EventParser:
    """Takes the bytes of a feed as they come, gives its events."""

    def __init__(self) -> None:
        self._rest = b""
        self._fields: Dict[str, List[str]] = {}

    def take(self, piece: bytes) -> Iterator[JobEvent]:
        """The events that are complete with this piece; raises BadAnswer for nonsense."""
        *lines, self._rest = (self._rest + piece).split(b"\n")
        if len(self._rest) > _MAX_EVENT:
            raise BadAnswer("the event feed sends a line without an end")
        for line in lines:
            text = line.rstrip(b"\r").decode("utf-8", "replace")
            if text:
                self._field(text)
            elif self._fields:
                fields, self._fields = self._fields, {}
                if "data" in fields:
                    yield _event(fields)

    def _field(self, text: str) -> None:
        name, _, value = text.partition(":")
        if name in ("event", "id", "data"):
            self._fields.setdefault(name, []).append(value[1:] if value[:1] == " " else value)


def _event(fields: Mapping[str, List[str]]) -> JobEvent:
    name, event_id = fields.get("event", [""])[-1], fields.get("id", [""])[-1]
    try:
        data = json.loads("\n".join(fields["data"]))
        stamp = datetime.strptime(data.pop("timestamp"), "%Y-%m-%d %H:%M:%S.%fZ")
    except (ValueError, RecursionError, KeyError, TypeError, AttributeError):
        raise BadAnswer("the event feed sends something that is not an event") from None
    return JobEvent(name, event_id, stamp.replace(tzinfo=timezone.utc), data)


def implied(job: Job) -> Iterator[JobEvent]:
    """The events that must have happened for a job to be as it is, in a possible order."""
    yield JobEvent("start", "", job.created_at, {"command": job.command, "user": job.requestor})
    for name, data in _implied(job):
        yield JobEvent(name, "", job.updated_at, data)


def _implied(job: Job) -> Iterator[Tuple[str, Mapping[str, Any]]]:
    for node in job.nodes:
        if node.status is not NodeStatus.NEW:
            vote = _VOTES.get(node.status, "success")
            yield "quorum_vote", {"node": node.name, "status": vote}
    if job.status in _REACHED:
        yield "quorum_succeeded", {}
    for node in job.nodes:
        if node.status in _STARTED:
            yield "run_start", {"node": node.name}
        if node.status in _RESULTS:
            yield "run_complete", {"node": node.name, "status": _RESULTS[node.status]}
    if job.ended:
        yield JOB_COMPLETE, {"status": job.status.value}


_VOTES = {NodeStatus.NACKED: "failure", NodeStatus.UNAVAILABLE: "down"}
_REACHED = (JobStatus.RUNNING, JobStatus.COMPLETE, JobStatus.TIMED_OUT)
_STARTED = (NodeStatus.RUNNING, NodeStatus.SUCCEEDED, NodeStatus.FAILED)
_RESULTS = {
    NodeStatus.SUCCEEDED: "success",
    NodeStatus.FAILED: "failure",
    NodeStatus.CRASHED: "crashed",
    NodeStatus.ABORTED: "aborted",
}
