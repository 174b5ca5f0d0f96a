"""What a server says about jobs and nodes, as typed records that never change.

Times are aware datetimes in UTC. Nothing here talks to a server; text in the records is raw, escape
it (``push_jobs.terminal``) before you print it.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Mapping, Optional, Tuple

from push_jobs_wire.states import CancelEffect, JobStatus, NodeStatus


@dataclass(frozen=True)
class Outcome:
    """How a node's part in a job stands; what its agent does not tell is None."""

    status: NodeStatus
    exit_code: Optional[int]
    signal: Optional[int]
    reason: Optional[str]
    started_at: Optional[datetime]
    ended_at: Optional[datetime]


@dataclass(frozen=True)
class NodeResult(Outcome):
    """One node's part in a job; ``late`` is what it reported after the job had given it up."""

    name: str
    late: Optional[Outcome]

    @property
    def succeeded(self) -> bool:
        """True when the command ran there and ended with exit code 0 in time."""
        return self.status is NodeStatus.SUCCEEDED

    @property
    def seconds(self) -> Optional[float]:
        """How long the command ran there, when it is known."""
        if self.started_at is None or self.ended_at is None:
            return None
        return (self.ended_at - self.started_at).total_seconds()


@dataclass(frozen=True)
class JobCancel:
    """One request to cancel a job; ``grace`` in seconds, None leaves it to each node."""

    requestor: str
    requestor_kind: str
    at: datetime
    grace: Optional[float]
    reason: Optional[str]
    nodes: Tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A job with all its nodes, sorted by name."""

    id: str
    command: str
    status: JobStatus
    requestor: str
    requestor_kind: str
    quorum: int
    run_timeout: int
    capture: bool
    created_at: datetime
    updated_at: datetime
    voting_deadline: Optional[datetime]
    run_deadline: Optional[datetime]
    user: Optional[str]
    dir: Optional[str]
    env: Optional[Mapping[str, str]]
    file_specified: bool
    nodes: Tuple[NodeResult, ...]
    cancels: Tuple[JobCancel, ...] = ()

    @property
    def ended(self) -> bool:
        """True when the job will not change any more."""
        return self.status.final

    @property
    def succeeded(self) -> bool:
        """True when the job is complete and every chosen node succeeded."""
        return self.status is JobStatus.COMPLETE and all(node.succeeded for node in self.nodes)


@dataclass(frozen=True)
class CancelledNode:
    """What a cancel meant for one node; ``status`` is how it stood right after it."""

    name: str
    effect: CancelEffect
    status: NodeStatus


@dataclass(frozen=True)
class Cancellation:
    """The answer to a cancel: the job and the nodes in question, sorted by name."""

    job_id: str
    status: JobStatus
    nodes: Tuple[CancelledNode, ...]

    def named(self, effect: CancelEffect) -> Tuple[str, ...]:
        """The names of the nodes for which the cancel meant this."""
        return tuple(node.name for node in self.nodes if node.effect is effect)


@dataclass(frozen=True)
class JobSummary:
    """A job as lists show it."""

    id: str
    command: str
    status: JobStatus
    requestor: str
    requestor_kind: str
    run_timeout: int
    created_at: datetime
    updated_at: datetime
    capture: bool
    file_specified: bool
    user: Optional[str]
    dir: Optional[str]
    env: Optional[Mapping[str, str]]


@dataclass(frozen=True)
class Right:
    """Whether somebody may do something, and the rule that says so, in the server's words."""

    allowed: bool
    rule: str


@dataclass(frozen=True)
class Identity:
    """Who the server takes a caller for; ``kind`` is ``user`` or ``client``.

    ``read`` is looking at jobs and nodes, ``write`` starting and cancelling jobs, ``settings``
    fetching the settings of the node of the same name.
    """

    name: str
    kind: str
    organization: str
    member: bool
    read: Right
    write: Right
    settings: Right


@dataclass(frozen=True)
class NodeState:
    """A node: ``online`` while its heartbeats arrive, ``available`` while it takes jobs."""

    name: str
    online: bool
    available: bool
