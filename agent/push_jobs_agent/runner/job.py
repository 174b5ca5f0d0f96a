"""One job from its process to its result. Keeps to itself: the table of jobs decides what happens.

A job ends when its first process has ended: children that it left behind live on, and what they
still write is not waited for. When it is being killed it ends when nobody of its tree is left.
"""

from __future__ import annotations

import os
import selectors
import time

from push_jobs_agent.runner import jobfile, locks
from push_jobs_agent.runner.causes import NOT_STARTED, TIMED_OUT
from push_jobs_agent.runner.log import log
from push_jobs_agent.runner.output import Channel
from push_jobs_agent.runner.process import spawn
from push_jobs_agent.runner.tree import FOLDER_VARIABLE, Killer, boot_id

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Optional

    from push_jobs_agent.runner.plan import Plan
    from push_jobs_agent.runner.process import Child
    from push_jobs_agent.runner.spool import Spool

TIMEOUT_GRACE = 5.0
CRASH_GRACE = 2.0
"""Seconds between asking and killing where nobody chose them."""

RETRY_AFTER = 1.0
"""Seconds until a result that the disk did not take is written again."""

STREAMS = ("stdout", "stderr")
PIECE = 65536
LARGEST_PIPE = 1 << 20
"""Bytes that an ordinary process can have put into a pipe, unread, when it ended."""


class Job:
    """A job that has not ended.

    Attributes:
        fields: the job as the session is told about it.
        ended: true once the result is on the disk.
        grown: called with each piece of output.
    """

    def __init__(
        self, job_id: str, folder: str, capture: bool, started_at: Optional[float]
    ) -> None:
        self.job_id = job_id
        self._folder = os.path.realpath(folder)
        self.ended = False
        self.grown: Callable[[], None] = lambda: None
        self.file: Optional[str] = None
        self.lock: Optional[int] = None
        self._child: Optional[Child] = None
        self._killer: Optional[Killer] = None
        self._verdict: Optional[tuple[str, str]] = None
        self._timed_out = False
        self._deadline: Optional[float] = None
        self._timeout_reason = ""
        self._channels: dict[int, Channel] = {}
        self._names: dict[int, str] = {}
        self._problems: list[str] = []
        self._selector: Optional[selectors.BaseSelector] = None
        self._retry_at: Optional[float] = None
        self.fields: dict[str, Any] = {
            "job_id": job_id,
            "state": "running",
            "result": None,
            "exit_code": None,
            "signal": None,
            "reason": None,
            "cause": None,
            "started_at": started_at,
            "ended_at": None,
            "capture": capture,
            "stdout_size": 0,
            "stderr_size": 0,
        }

    # Beginning

    def run(
        self,
        plan: Plan,
        spool: Spool,
        limit: int,
        selector: selectors.BaseSelector,
        now: float,
    ) -> None:
        """Make the process and let it go. Raises OSError, and then there is no process."""
        names = STREAMS if plan.capture else ()
        paths = (os.path.join(self._folder, name) for name in names)
        channels = [Channel(path, limit, spool.output_mode) for path in paths]
        env = {FOLDER_VARIABLE: self._folder, **plan.env}
        child = spawn(plan.argv, env, plan.dir, plan.account, plan.capture)
        self._child, self._selector = child, selector
        for name, fd, channel in zip(names, child.outputs, channels):
            self._channels[fd] = channel
            self._names[fd] = name
            selector.register(fd, selectors.EVENT_READ, lambda fd=fd: self._read(fd, PIECE))
        try:
            spool.write_process(self.job_id, self._process_fields(child))
        except OSError:
            child.abandon()
            self._close_outputs()
            raise
        self.fields["started_at"] = time.time()
        if plan.timeout is not None:
            self._deadline = now + plan.timeout
            self._timeout_reason = plan.timeout_reason
        child.go()

    def _process_fields(self, child: Child) -> dict[str, Any]:
        return {
            "pid": child.pid,
            "start": child.start,
            "boot": boot_id(),
            "started_at": time.time(),
            "capture": self.fields["capture"],
        }

    # Ending

    def kill(
        self,
        result: str,
        reason: str,
        grace: float,
        now: float,
        process: tuple[int, int] = (0, 0),
    ) -> None:
        """End the whole tree; the first call decides about result and reason, all about the time.

        Args:
            process: pid and start time of a first process that another runner made.
        """
        if self._killer is not None:
            self._killer.hurry(grace, now)
            return
        if self._child is not None:
            process = (self._child.pid, self._child.start)
        self._verdict = (result, reason)
        self._killer = Killer(self._folder, *process, grace, now)

    def give_up(self, result: str, reason: str, spool: Spool, now: float) -> None:
        """End a job that cannot have any process left."""
        self._verdict = (result, reason)
        self._finish(spool, now)

    def look(self, spool: Spool, now: float) -> None:
        """The first process may have ended."""
        if self._child is None or self._retry_at is not None or self._child.status() is None:
            return
        if self._killer is None:
            self._finish(spool, now)
        else:
            self._killer.look_now(now)

    def next_call(self) -> Optional[float]:
        """When ``tick`` wants to be called, in monotonic seconds."""
        if self._retry_at is not None:
            return self._retry_at
        return self._deadline if self._killer is None else self._killer.next_call

    def tick(self, spool: Spool, now: float) -> None:
        """Do what is due."""
        due = self.next_call()
        if due is None or now < due:
            return
        if self._retry_at is not None:
            self._write_result(spool, now)
        elif self._killer is None:
            self._timed_out = True
            self.kill("failed", self._timeout_reason, TIMEOUT_GRACE, now)
        elif self._killer.step(now) and (self._child is None or self._child.status() is not None):
            self._finish(spool, now)

    def _finish(self, spool: Spool, now: float) -> None:
        self._drain()
        failure = None
        if self._child is not None:
            self.fields["exit_code"], self.fields["signal"] = self._child.status() or (
                None,
                None,
            )
            failure = self._child.failure()
            self._child.collect()
        if self.file is not None:
            jobfile.remove(self.file)
        locks.give_back(self.lock)
        self.fields["cause"] = self._cause(failure)
        succeeded = self.fields["exit_code"] == 0
        result, reason = self._verdict or (
            "succeeded" if succeeded else "failed",
            failure,
        )
        reasons = [text for text in (reason, *self._problems) if text]
        self.fields.update(
            state="ended",
            result=result,
            reason="; ".join(reasons) or None,
            ended_at=time.time(),
        )
        self._write_result(spool, now)

    def _cause(self, failure: Optional[str]) -> Optional[str]:
        """What ``reason`` is about where others have a word of their own for it."""
        if self._timed_out:
            return TIMED_OUT
        return NOT_STARTED if failure and self._verdict is None else None

    def _write_result(self, spool: Spool, now: float) -> None:
        try:
            spool.write_result(self.job_id, self.fields)
        except OSError as error:
            if self._retry_at is None:
                log(f"job {self.job_id}: its result cannot be stored yet: {error.strerror}")
            self._retry_at = now + RETRY_AFTER
        else:
            self._retry_at = None
            self.ended = True

    # Output

    def _read(self, fd: int, size: int) -> int:
        """Take what a channel has now; returns how much that was."""
        try:
            data = os.read(fd, size)
        except BlockingIOError:
            return 0
        channel = self._channels[fd]
        channel.feed(data)
        if data:
            self.fields[f"{self._names[fd]}_size"] = channel.size
            self.grown()
        else:
            self._close_output(fd)
        return len(data)

    def _drain(self) -> None:
        """Take what is left in the pipes, and close them."""
        for fd in list(self._channels):
            left = LARGEST_PIPE
            while left > 0 and fd in self._channels:
                size = self._read(fd, PIECE)
                left -= size
                if not size:
                    break
        self._close_outputs()

    def _close_outputs(self) -> None:
        for fd in list(self._channels):
            self._close_output(fd)

    def _close_output(self, fd: int) -> None:
        channel = self._channels.pop(fd)
        channel.close()
        if channel.problem:
            self._problems.append(channel.problem)
        if self._selector is not None:
            self._selector.unregister(fd)
        os.close(fd)
