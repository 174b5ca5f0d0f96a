"""The plain records that the parts of the server hand to each other.

Nothing here acts: HTTP threads, engine and store share these shapes and nothing else.
Times are seconds since the epoch (float, UTC) unless a name says otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Mapping, Optional, Tuple, Union

from push_jobs_server.node_records import NodeSighted
from push_jobs_server.serf_records import NodeStatusSeen, SerfChunk, SerfRun
from push_jobs_wire.states import CancelEffect, JobStatus, NodeStatus


@dataclass(frozen=True)
class JobRequest:
    """What a caller asked for, checked and with every default filled in (pushy-api 4.3)."""

    org: str
    command: str
    nodes: Tuple[str, ...]
    quorum: int
    run_timeout: int
    requestor: str
    requestor_kind: str
    user: Optional[str] = None
    dir: Optional[str] = None
    env: Optional[Mapping[str, str]] = None
    file: Optional[str] = None
    capture: bool = False
    request_key: Optional[str] = None
    """Identifies the signed request: the same key again means the same job."""
    address: Optional[str] = None
    """Where the request came from; for the audit row alone, not stored with the job."""

    def repeated_by(self, other: "JobRequest") -> bool:
        """True when another request asks for the same, however it was signed."""
        mine, theirs = (replace(each, request_key=None, address=None) for each in (self, other))
        return mine == theirs


@dataclass(frozen=True)
class Outcome:
    """What a node said about the end of its part; old agents say little of it."""

    exit_code: Optional[int] = None
    signal: Optional[int] = None
    reason: Optional[str] = None
    started_at: Optional[float] = None
    ended_at: Optional[float] = None


@dataclass(frozen=True)
class JobNode:
    """One node's part in a job; ``late`` is a result that came after the node was given up."""

    status: NodeStatus = NodeStatus.NEW
    outcome: Outcome = Outcome()
    late_status: Optional[NodeStatus] = None
    late: Optional[Outcome] = None


@dataclass(frozen=True)
class Cancel:
    """One request to stop a job on some of its nodes: who, when, where, why.

    ``grace`` is the time in seconds between the polite and the hard end of the command; None
    leaves it to each node.
    """

    requestor: str
    requestor_kind: str
    at: float
    nodes: Tuple[str, ...]
    grace: Optional[float] = None
    reason: Optional[str] = None


@dataclass(frozen=True)
class JobRecord:
    """A job as it is stored; ``cancels`` in the order in which they came."""

    id: str
    request: JobRequest
    status: JobStatus
    created_at: float
    updated_at: float
    voting_deadline: float
    run_deadline: Optional[float] = None
    nodes: Mapping[str, JobNode] = field(default_factory=dict)
    cancels: Tuple[Cancel, ...] = ()


@dataclass(frozen=True)
class JobFilter:
    """Which jobs of an organization are asked for; None means any. The newest come first.

    Args:
        statuses: one of them.
        id_start: how the id begins.
        node: a node that takes part.
        since: not created before.
        until: created before.
        before: creation time and id of a job; only jobs older than it.
        limit: at most so many.
    """

    statuses: Tuple[JobStatus, ...] = ()
    id_start: Optional[str] = None
    node: Optional[str] = None
    command: Optional[str] = None
    requestor: Optional[str] = None
    since: Optional[float] = None
    until: Optional[float] = None
    before: Optional[Tuple[float, str]] = None
    limit: int = 100


@dataclass(frozen=True)
class AuditEntry:
    """Who asked for what, where, and what became of it.

    Args:
        id: 32 hex digits that sort by time.
        actor: who; the name that was claimed when ``actor_kind`` is None.
        actor_kind: ``user`` or ``client``, proven by signature; ``operator`` at the server's own
            command line; ``server`` for what the server does by itself.
        address: where the request came from.
        target: the job, node, user, ... that it was about.
        result: ``done`` or ``refused``.
        details: fit for JSON; never the value of a variable, never a file's content.
    """

    id: str
    at: float
    org: Optional[str]
    actor: Optional[str]
    actor_kind: Optional[str]
    address: Optional[str]
    action: str
    target: Optional[str]
    result: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Grant:
    """Leave for one CURVE key to connect as one node, until it expires."""

    curve_key: str
    org: str
    node: str
    expires_at: float


# What the engine asks the writer to store. One list of changes is one transaction.


@dataclass(frozen=True)
class JobCreated:
    job: JobRecord


@dataclass(frozen=True)
class JobChanged:
    job_id: str
    status: JobStatus
    updated_at: float
    run_deadline: Optional[float] = None


@dataclass(frozen=True)
class NodeChanged:
    job_id: str
    node: str
    status: NodeStatus
    outcome: Outcome = Outcome()


@dataclass(frozen=True)
class LateResult:
    """A result of a node whose part was over already; kept beside its status, the first one only.

    ``org`` is given when the engine does not hold the job any more: nothing is stored then unless
    a job of that organization has this id and node, with another final status.
    """

    job_id: str
    node: str
    status: NodeStatus
    outcome: Outcome
    org: Optional[str] = None


@dataclass(frozen=True)
class OutputStored:
    """All output of a node is there; the first report of a node wins. ``org``: see ``LateResult``.

    Old agents send it with their result; of others it is empty here, and was stored in chunks.
    """

    job_id: str
    node: str
    stdout: bytes
    stderr: bytes
    org: Optional[str] = None


@dataclass(frozen=True)
class CancelStored:
    """``number`` counts the cancels of a job from 0."""

    job_id: str
    number: int
    cancel: Cancel


@dataclass(frozen=True)
class OutputChunk:
    """Bytes that a node's command wrote to ``stream`` (stdout or stderr) from ``offset`` on.

    They are stored if ``org`` has such a job with this node. Chunks that lie wholly between the
    offsets ``head`` and ``tail`` give way: the middle of what is too much.
    """

    job_id: str
    node: str
    stream: str
    offset: int
    data: bytes
    org: str
    head: int
    tail: int


@dataclass(frozen=True)
class GrantStored:
    grant: Grant


@dataclass(frozen=True)
class SessionKeyStored:
    org: str
    node: str
    key: bytes
    made_at: Optional[float] = None


@dataclass(frozen=True)
class Audited:
    """A row for the audit trail; goes into the transaction of what it tells about."""

    entry: AuditEntry


Change = Union[
    JobCreated,
    JobChanged,
    NodeChanged,
    LateResult,
    OutputStored,
    CancelStored,
    OutputChunk,
    GrantStored,
    SessionKeyStored,
    Audited,
    NodeSighted,
    SerfRun,
    SerfChunk,
    NodeStatusSeen,
]


# What the engine answers to HTTP threads.


@dataclass(frozen=True)
class NodeView:
    """A node as operators see it: ``online`` while its heartbeats count, ``available`` for jobs."""

    name: str
    online: bool
    available: bool


@dataclass(frozen=True)
class EngineStatus:
    incarnation_id: str
    nodes_online: int
    jobs: Tuple[str, ...]


@dataclass(frozen=True)
class Cancelled:
    """The answer to a cancel: how the job and the nodes in question stand now."""

    status: JobStatus
    nodes: Mapping[str, Tuple[CancelEffect, NodeStatus]]


class Busy(Exception):
    """Raised when a request can not be accepted now: a queue is full or no writes are possible.

    Nothing was started; the caller may try again (503).
    """


class OtherRequest(Exception):
    """Raised when a request has the idempotency key of another one, but asks for something else."""
