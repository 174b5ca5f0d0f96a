"""The plain records about nodes that come over Serf, and about their runs and output.

As in ``records``: nothing here acts, and times are seconds since the epoch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Optional

from push_jobs_wire.states import JobStatus

STATUSES_KEPT = 100
"""So many statuses of a node are kept; the oldest give way."""


@dataclass(frozen=True)
class NodeStatusSeen:
    """A node's status, the ``number``-th of this node: ``new``, ``up`` or ``down`` (shovey 2.9).

    ``ours``: its last signed report said that it is an agent of ours.
    """

    org: str
    node: str
    number: int
    status: str
    at: float
    ours: bool = False


@dataclass(frozen=True)
class SerfRun:
    """What only the Shovey dialect knows of a node's part in a job; None: nothing new.

    Args:
        acked_at: when its Serf agent had the command.
        word: the node's own word for how its part ended.
    """

    job_id: str
    node: str
    acked_at: Optional[float] = None
    word: Optional[str] = None


@dataclass(frozen=True)
class SerfChunk:
    """One numbered piece of output (shovey 2.7).

    Args:
        seq: its number among those of ``stream``.
        arrival: its number among all of the run, in the order in which they came.
        begins_at: its offset in the stream; None while a piece before it is missing.
        size: its bytes; ``data`` is empty where the stream had become too long for this table.
    """

    job_id: str
    node: str
    stream: str
    seq: int
    arrival: int
    is_last: bool
    begins_at: Optional[int]
    size: int
    data: bytes


@dataclass(frozen=True)
class RunReport:
    """What a node says of its part in a job (shovey 2.5); None: it says nothing about that.

    ``ours``: whether an agent of ours has signed it; None when somebody else reports for the node.
    ``seconds``: how long it took, when this is the first report of a run of a node of ours.
    """

    job_id: str
    node: str
    word: Optional[str] = None
    error: Optional[str] = None
    exit_status: Optional[int] = None
    ours: Optional[bool] = None
    seconds: Optional[float] = None


@dataclass(frozen=True)
class Decision:
    """What became of a job that was started: ``up`` counts the nodes that were ready, of a job that
    missed its quorum."""

    job_id: str
    status: JobStatus
    up: int
