"""One vocabulary for jobs, nodes in jobs, node sessions and agents, and transitions as tables.

Rules of this file: it holds data only. A missing entry means that the input changes nothing there.
Who sends what when a transition is taken is the business of the machines that read these tables.
Sources: pushy-protocol 6 and 7.1, pushy-api 5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import Dict, FrozenSet, Mapping, Optional, Tuple


class JobStatus(str, Enum):
    """Status of a job; the values are the words of the Pushy HTTP API (pushy-api 5.1)."""

    NEW = "new"
    VOTING = "voting"
    RUNNING = "running"
    COMPLETE = "complete"
    QUORUM_FAILED = "quorum_failed"
    TIMED_OUT = "timed_out"
    CRASHED = "crashed"
    ABORTED = "aborted"

    @property
    def final(self) -> bool:
        """True when the job will not change any more."""
        return self in FINAL_JOB


FINAL_JOB: FrozenSet[JobStatus] = frozenset(
    {
        JobStatus.COMPLETE,
        JobStatus.QUORUM_FAILED,
        JobStatus.TIMED_OUT,
        JobStatus.CRASHED,
        JobStatus.ABORTED,
    }
)

JOB_TRANSITIONS: Mapping[JobStatus, FrozenSet[JobStatus]] = {
    JobStatus.NEW: frozenset({JobStatus.VOTING, JobStatus.CRASHED}),
    JobStatus.VOTING: frozenset(
        {
            JobStatus.RUNNING,
            JobStatus.QUORUM_FAILED,
            JobStatus.CRASHED,
            JobStatus.ABORTED,
        }
    ),
    JobStatus.RUNNING: frozenset(
        {JobStatus.COMPLETE, JobStatus.TIMED_OUT, JobStatus.CRASHED, JobStatus.ABORTED}
    ),
}


class NodeStatus(str, Enum):
    """Status of one node in one job (pushy-api 5.2)."""

    NEW = "new"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    UNAVAILABLE = "unavailable"
    NACKED = "nacked"
    CRASHED = "crashed"
    WAS_READY = "was_ready"
    TIMED_OUT = "timed_out"

    @property
    def final(self) -> bool:
        """True when this node's part in the job is over."""
        return self not in OPEN_NODE


OPEN_NODE: FrozenSet[NodeStatus] = frozenset({NodeStatus.NEW, NodeStatus.READY, NodeStatus.RUNNING})


class CancelEffect(str, Enum):
    """What a cancel meant for a node; the values are words of our HTTP API."""

    REQUESTED = "requested"
    """It holds the command and was told to stop; it counts as stopped when it says so."""
    RELEASED = "released"
    """The job still voted; the command will not run there."""
    ENDED = "ended"
    """Its part in the job was over before."""


class NodeInput(str, Enum):
    """What a job can hear of one of its nodes."""

    ACK_COMMIT = "ack_commit"
    NACK_COMMIT = "nack_commit"
    ACK_RUN = "ack_run"
    NACK_RUN = "nack_run"
    REFUSED = "refused"
    """Asked to run what it holds no vote for: its whitelist has no such command (Shovey)."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    ABORTED = "aborted"
    DOWN = "down"
    VOTING_TIMEOUT = "voting_timeout"
    RUN_TIMEOUT = "run_timeout"
    CANCELLED = "cancelled"
    """While voting: the job shall not run there. While running: the node stopped as it was told."""


@dataclass(frozen=True)
class Step:
    """What an input does to a node in a job.

    ``status`` is the next status (None: unchanged). ``event`` is (name, status word) of the feed
    event it causes. ``rehab`` says that the node is told to abort and start afresh;
    ``rehab_last`` that feeds tell this after the event, not before it.
    """

    status: Optional[NodeStatus] = None
    event: Optional[Tuple[str, str]] = None
    rehab: bool = False
    rehab_last: bool = False


Table = Mapping[Tuple[NodeInput, NodeStatus], Step]

_FINAL_NODE = [status for status in NodeStatus if status not in OPEN_NODE]


def _vote(word: str) -> Tuple[str, str]:
    return ("quorum_vote", word)


def _run(word: str) -> Tuple[str, str]:
    return ("run_complete", word)


def _voting_table() -> Table:
    new, ready = NodeStatus.NEW, NodeStatus.READY
    gone = NodeStatus.UNAVAILABLE
    table: Dict[Tuple[NodeInput, NodeStatus], Step] = {
        (NodeInput.ACK_COMMIT, new): Step(ready, _vote("success")),
        (NodeInput.ACK_COMMIT, ready): Step(None, _vote("unexpected_commit")),
        (NodeInput.NACK_COMMIT, new): Step(NodeStatus.NACKED, _vote("failure")),
        (NodeInput.NACK_COMMIT, ready): Step(gone, _vote("lost_availibility"), rehab=True),
        (NodeInput.VOTING_TIMEOUT, new): Step(gone, _vote("voting_timeout")),
        (NodeInput.CANCELLED, new): Step(gone, rehab=True),
        (NodeInput.CANCELLED, ready): Step(NodeStatus.WAS_READY, rehab=True),
    }
    for status in (new, ready):
        table[NodeInput.DOWN, status] = Step(gone, _vote("down"), rehab=True, rehab_last=True)
        for unexpected in _OUTCOMES | {NodeInput.ACK_RUN, NodeInput.NACK_RUN}:
            table[unexpected, status] = Step(gone, rehab=True)
    for status in _FINAL_NODE:
        died = Step(None, _vote("client_died_while_voting"), rehab=True)
        table[NodeInput.ACK_COMMIT, status] = table[NodeInput.NACK_COMMIT, status] = died
        table[NodeInput.DOWN, status] = Step(None, _vote("down"), rehab=True, rehab_last=True)
        for unexpected in _OUTCOMES | {NodeInput.ACK_RUN, NodeInput.NACK_RUN}:
            table[unexpected, status] = Step(rehab=True)
    return table


def _running_table() -> Table:
    ready, running = NodeStatus.READY, NodeStatus.RUNNING
    crashed = Step(NodeStatus.CRASHED, _run("crashed"), rehab=True)
    table: Dict[Tuple[NodeInput, NodeStatus], Step] = {
        (NodeInput.ACK_RUN, ready): Step(running, ("run_start", "")),
        (NodeInput.NACK_RUN, ready): Step(NodeStatus.FAILED, _run("run_nacked"), rehab=True),
        (NodeInput.NACK_RUN, running): Step(
            NodeStatus.FAILED, _run("run_nacked_while_running"), rehab=True
        ),
        (NodeInput.REFUSED, ready): Step(NodeStatus.NACKED, _run("run_nacked")),
        (NodeInput.REFUSED, running): Step(NodeStatus.FAILED, _run("run_nacked_while_running")),
        (NodeInput.SUCCEEDED, running): Step(NodeStatus.SUCCEEDED, _run("success")),
        (NodeInput.FAILED, running): Step(NodeStatus.FAILED, _run("failure")),
        (NodeInput.SUCCEEDED, ready): crashed,
        (NodeInput.FAILED, ready): crashed,
    }
    lost = {
        NodeInput.ABORTED,
        NodeInput.DOWN,
        NodeInput.ACK_COMMIT,
        NodeInput.NACK_COMMIT,
    }
    for status in (ready, running):
        for what in lost:
            table[what, status] = crashed
        table[NodeInput.RUN_TIMEOUT, status] = Step(NodeStatus.TIMED_OUT)
        table[NodeInput.CANCELLED, status] = Step(NodeStatus.ABORTED, _run("aborted"))
    died = Step(None, _run("client_died_while_running"), rehab=True)
    for status in _FINAL_NODE:
        for what in lost | _OUTCOMES | {NodeInput.NACK_RUN}:
            table[what, status] = died
        table[NodeInput.ACK_RUN, status] = replace(died, rehab_last=True)
    return table


_OUTCOMES = {NodeInput.SUCCEEDED, NodeInput.FAILED, NodeInput.ABORTED}

NODE_IN_VOTING: Table = _voting_table()
"""What each input does to a node while its job votes (pushy-api 5.3, voting)."""

NODE_IN_RUNNING: Table = _running_table()
"""What each input does to a node while its job runs (pushy-api 5.3, running)."""


class SessionState(Enum):
    """The server's view of a connected node (pushy-protocol 6.1)."""

    REHAB = "rehab"
    IDLE = "idle"


class SessionInput(Enum):
    """What changes a node session."""

    ABORTED = "aborted"
    REHAB = "rehab"
    ADOPTED = "adopted"


SESSION_TRANSITIONS: Mapping[Tuple[SessionInput, SessionState], SessionState] = {
    (SessionInput.ABORTED, SessionState.REHAB): SessionState.IDLE,
    (SessionInput.ADOPTED, SessionState.REHAB): SessionState.IDLE,
    (SessionInput.REHAB, SessionState.IDLE): SessionState.REHAB,
}


class AgentState(str, Enum):
    """State of the agent's one slot; the values are the words of its heartbeats."""

    IDLE = "idle"
    COMMITTED = "committed"
    RUNNING = "running"


class AgentInput(Enum):
    """What moves the agent's slot."""

    ACCEPTED = "accepted"
    STARTED = "started"
    ENDED = "ended"
    ABORT = "abort"


AGENT_TRANSITIONS: Mapping[Tuple[AgentInput, AgentState], AgentState] = {
    (AgentInput.ACCEPTED, AgentState.IDLE): AgentState.COMMITTED,
    (AgentInput.STARTED, AgentState.COMMITTED): AgentState.RUNNING,
    (AgentInput.ENDED, AgentState.COMMITTED): AgentState.IDLE,
    (AgentInput.ENDED, AgentState.RUNNING): AgentState.IDLE,
    (AgentInput.ABORT, AgentState.COMMITTED): AgentState.IDLE,
}
"""An abort of a running job does not end it: ``ENDED`` follows when its processes are gone."""
