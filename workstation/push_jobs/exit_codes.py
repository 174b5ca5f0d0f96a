"""The exit codes of ``push-jobs`` and what each of them means; scripts rely on them."""

from __future__ import annotations

from typing import Mapping, Sequence

from push_jobs.errors import NotPermitted, PushJobsClientError, ServerUnreachable, UsageError
from push_jobs.models import Job
from push_jobs_wire.states import JobStatus, NodeStatus

SUCCEEDED = 0
ERROR = 1  # also what a program gets that ends with a defect of ours
USAGE = 2  # as in every other command line, so nothing else may use it
SOME_FAILED = 3
QUORUM_MISSED = 4
TIMED_OUT = 5
CANCELLED = 6
NOT_PERMITTED = 7
UNREACHABLE = 8
INTERRUPTED = 130  # 128 + SIGINT, as shells have it

MEANINGS: Mapping[int, str] = {
    SUCCEEDED: "done; for a job: every chosen node succeeded",
    ERROR: "something went wrong in push-jobs or in the server",
    USAGE: "wrong usage or settings; nothing was sent",
    SOME_FAILED: "some chosen node failed, crashed, timed out alone, refused or was unavailable",
    QUORUM_MISSED: "too few nodes were ready; the command ran nowhere",
    TIMED_OUT: "the job's time was over before all nodes had ended",
    CANCELLED: "the job was cancelled",
    NOT_PERMITTED: "not permitted, or every chosen node refused the command",
    UNREACHABLE: "the server cannot be reached, or cannot be trusted",
    INTERRUPTED: "interrupted while waiting; the job goes on",
}

_BY_STATUS: Mapping[JobStatus, int] = {
    JobStatus.COMPLETE: SOME_FAILED,
    JobStatus.QUORUM_FAILED: QUORUM_MISSED,
    JobStatus.TIMED_OUT: TIMED_OUT,
    JobStatus.ABORTED: CANCELLED,
    JobStatus.CRASHED: ERROR,
}


def of_job(job: Job) -> int:
    """Return the exit code for a job that has ended; raises ValueError when it has not."""
    if not job.ended:
        raise ValueError(f"job {job.id} has not ended")
    if job.succeeded:
        return SUCCEEDED
    ran_nowhere = job.status in (JobStatus.COMPLETE, JobStatus.QUORUM_FAILED)
    if ran_nowhere and all(node.status is NodeStatus.NACKED for node in job.nodes):
        return NOT_PERMITTED
    return _BY_STATUS[job.status]


def of_cancel(job: Job, nodes: Sequence[str]) -> int:
    """Return the exit code of a cancel, when those of the nodes that ran the command have ended.

    Whether a node was aborted or had its own result first, it has truly stopped; of one that was
    lost or ran out of time nobody knows that.
    """
    stopped = (NodeStatus.ABORTED, NodeStatus.SUCCEEDED, NodeStatus.FAILED)
    lost = [node for node in job.nodes if node.name in nodes and node.status not in stopped]
    return SOME_FAILED if lost else SUCCEEDED


def of_error(error: PushJobsClientError) -> int:
    """Return the exit code for an error that ends a command."""
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, ServerUnreachable):
        return UNREACHABLE
    return NOT_PERMITTED if isinstance(error, NotPermitted) else ERROR
