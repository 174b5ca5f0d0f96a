"""How a job ended, in the words that a goiardi takes for an end. Pure.

The words `shutdown`, `killed` and `bad_fh` of its own client would leave its job open for ever, so
`failed` with a text stands for them. Sources: shovey 2.8, 5.4, 5.5.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Mapping, Optional

from push_jobs_agent.outcome import shorten
from push_jobs_agent.runner.causes import NOT_STARTED, TIMED_OUT
from push_jobs_agent.spooled import SpooledJob

NO_EXIT_STATUS = 255
"""Of a job that has none: it was ended by a signal, or got lost."""

STOPPING = "the agent of this node was stopping"

SIGNALS: Mapping[int, str] = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    5: "trace/breakpoint trap",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    10: "user defined signal 1",
    11: "segmentation fault",
    12: "user defined signal 2",
    13: "broken pipe",
    14: "alarm clock",
    15: "terminated",
}


@dataclass(frozen=True)
class Verdict:
    """The last word about a run: its status, exit status (0 to 255) and error text; how long it
    took, if it ran and that is known."""

    status: str
    exit_status: int = 0
    error: str = ""
    seconds: Optional[float] = None


def of_job(job: SpooledJob, run_id: str, node: str) -> Verdict:
    """What an ended job of the runner comes to."""
    return replace(_words_of(job, run_id, node), seconds=_seconds(job))


def _seconds(job: SpooledJob) -> Optional[float]:
    if job.started_at is None or job.ended_at is None:
        return None
    return max(0.0, round(job.ended_at - job.started_at, 6))


def _words_of(job: SpooledJob, run_id: str, node: str) -> Verdict:
    if job.cause == NOT_STARTED:
        return Verdict("invalid", error=shorten(str(job.reason)))
    if job.cause == TIMED_OUT:
        return timed_out(run_id, node)
    if job.result == "succeeded":
        return Verdict("succeeded")
    if job.result != "failed":
        reason = job.reason or f"the job was {job.result}"
        return Verdict("failed", NO_EXIT_STATUS, shorten(reason))
    if job.signal is not None:
        return Verdict("failed", NO_EXIT_STATUS, _signal_words(job.signal))
    return Verdict("failed", job.exit_code or 0, f"exit status {job.exit_code}")


def timed_out(run_id: str, node: str) -> Verdict:
    """The run took longer than its server allowed."""
    return Verdict("failed", error=f"Job {run_id} on node {node} timed out")


def lost() -> Verdict:
    """The runner knows nothing of the run any more."""
    return Verdict("failed", NO_EXIT_STATUS, "the runner of this node lost the job")


def refused(reply: Mapping[str, Any], command: str) -> Verdict:
    """The runner would not start the run, or could not."""
    if reply.get("listed") is False:
        return Verdict("nacked", error=f"command {command} not in whitelist")
    return Verdict("invalid", error=shorten(str(reply.get("reason"))))


def _signal_words(number: int) -> str:
    return f"signal: {SIGNALS.get(number, f'signal {number}')}"
