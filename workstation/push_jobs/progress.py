"""Shows on standard error how a job comes along: a redrawn line on a terminal, else one per state.

It never touches standard output.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from typing import Callable, Optional

from push_jobs.durations import show_duration
from push_jobs.errors import PushJobsClientError
from push_jobs.models import Job
from push_jobs.printing import notice
from push_jobs_wire.states import JobStatus

_ERASE = "\r\x1b[2K"


class Progress:
    """What the person at the keyboard sees while a job is watched."""

    def __init__(self, redraw: bool, describe: Optional[Callable[[Job], str]] = None) -> None:
        self._redraw = redraw
        self._describe = describe or describe_job
        self._started = time.monotonic()
        self._status: Optional[JobStatus] = None
        self._in_trouble = False

    def update(self, job: Job) -> None:
        """Show the job as it is now; call it after each look."""
        if self._in_trouble:
            self._say("the server is back")
        self._in_trouble = False
        if job.ended:
            self.clear()
        elif self._redraw:
            self._draw(f"{self._describe(job)}, {show_duration(time.monotonic() - self._started)}")
        elif job.status is not self._status:
            notice(self._describe(job))
        self._status = job.status

    def trouble(self, error: PushJobsClientError) -> None:
        """Say once that the server is away."""
        if not self._in_trouble:
            self._say(f"{error}; trying again")
        self._in_trouble = True

    def clear(self) -> None:
        """Take the redrawn line away, so that something else can be written."""
        if self._redraw:
            sys.stderr.write(_ERASE)
            sys.stderr.flush()

    def _say(self, text: str) -> None:
        self.clear()
        notice(text)

    def _draw(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(_ERASE + text[:width])
        sys.stderr.flush()


def describe_job(job: Job) -> str:
    """Return in one line how far the job is."""
    total = len(job.nodes)
    if job.status in (JobStatus.NEW, JobStatus.VOTING):
        answered = sum(node.status.value != "new" for node in job.nodes)
        return f"voting: {answered} of {total} have answered, {job.quorum} must be ready"
    ended = [node for node in job.nodes if node.status.final]
    failed = sum(not node.succeeded for node in ended)
    text = f"{job.status.value}: {len(ended)} of {total} done"
    return f"{text}, {failed} without success" if failed else text


def can_redraw(output_is_streamed: bool) -> bool:
    """Return whether a line may be redrawn: not when results go to the same terminal meanwhile."""
    if not sys.stderr.isatty() or os.environ.get("TERM", "dumb") == "dumb":
        return False
    return not (output_is_streamed and sys.stdout.isatty())
