"""The words of the Shovey dialect for jobs and runs, as tables. Data only. Source: shovey 2.8."""

from __future__ import annotations

from typing import FrozenSet, Mapping

from push_jobs_wire.states import JobStatus, NodeInput, NodeStatus

JOB_WORDS: Mapping[JobStatus, str] = {
    JobStatus.NEW: "new",
    JobStatus.VOTING: "voting",
    JobStatus.RUNNING: "running",
    JobStatus.COMPLETE: "complete",
    JobStatus.TIMED_OUT: "complete",
    JobStatus.QUORUM_FAILED: "quorum_failed",
    JobStatus.CRASHED: "job_failed",
    JobStatus.ABORTED: "cancelled",
}

RUN_WORDS: Mapping[NodeStatus, str] = {
    NodeStatus.NEW: "created",
    NodeStatus.READY: "created",
    NodeStatus.RUNNING: "running",
    NodeStatus.SUCCEEDED: "succeeded",
    NodeStatus.FAILED: "failed",
    NodeStatus.TIMED_OUT: "failed",
    NodeStatus.CRASHED: "killed",
    NodeStatus.NACKED: "nacked",
    NodeStatus.UNAVAILABLE: "down",
    NodeStatus.ABORTED: "cancelled",
    NodeStatus.WAS_READY: "cancelled",
}
"""How a node's part is called unless the node itself had another word for it."""

REPORTS: Mapping[str, NodeInput] = {
    "running": NodeInput.ACK_RUN,
    "succeeded": NodeInput.SUCCEEDED,
    "failed": NodeInput.FAILED,
    "invalid": NodeInput.NACK_RUN,
    "nacked": NodeInput.REFUSED,
    "shutdown": NodeInput.REFUSED,
    "bad_fh": NodeInput.NACK_RUN,
    "killed": NodeInput.DOWN,
}
"""What a node's word means to its job; any other word means nothing."""

NO_OUTPUT: FrozenSet[str] = frozenset({"nacked", "invalid", "down", "shutdown", "killed"})
"""Ends after which no output comes, so that a reader need not wait for a last piece."""

NODE_UP, NODE_DOWN, NODE_NEW = "up", "down", "new"
