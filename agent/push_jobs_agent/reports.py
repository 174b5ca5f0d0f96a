"""Outcomes that the server has still to hear of, and the ids of jobs that were here. Pure.

A server with our extensions confirms what it has stored; until then an outcome is repeated, after
each new connection and from time to time. An old server hears each outcome exactly once, because a
second one would crash the whole job there (pushy-protocol 9.2 R15). Then the folder in the spool
is released. Output goes to a server with our extensions as it comes (``streams``), and the outcome
follows the last byte; an old server gets it with the outcome.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Dict, List, Optional, Tuple

from push_jobs_agent.actions import Now, ReadOutput
from push_jobs_agent.outbox import Outbox
from push_jobs_agent.outcome import reply_for
from push_jobs_agent.spooled import SpooledJob
from push_jobs_agent.streams import Streams
from push_jobs_wire.messages import Reply
from push_jobs_wire.states import NodeInput

REPEAT = 30.0
"""Seconds until an outcome that was not confirmed is sent again."""

RETRY = 1.0
"""Seconds until an outcome that the transport did not take is tried again."""

PACE = 0.05
"""Seconds between two outcomes when many wait: they must not fill the queue of the socket."""

REMEMBERED = 1024
"""So many ids of released jobs are remembered, to refuse them when they come again."""


@dataclass
class _Report:
    job: SpooledJob
    reply: Reply
    due: float = float("-inf")
    sent: bool = False


class Reports:
    """What has to be told to the server, and what the spool holds."""

    def __init__(self, outbox: Outbox) -> None:
        self.streams = Streams(outbox)
        self._outbox = outbox
        self._held: Dict[str, None] = {}
        self._reports: Dict[str, _Report] = {}
        self._done: "OrderedDict[str, None]" = OrderedDict()
        self._next = float("-inf")

    def knows(self, job_id: Optional[str]) -> bool:
        """True for a job that runs or ran here."""
        return job_id in self._reports or job_id in self._done or job_id in self._held

    def jobs(self) -> List[str]:
        """The ids of all jobs in the spool; the running one first."""
        return [*self._held, *self._reports]

    @property
    def told(self) -> bool:
        """True when everything was sent at least once."""
        return all(report.sent for report in self._reports.values())

    @property
    def empty(self) -> bool:
        """True when the server has everything."""
        return not self._reports

    def hold(self, job_id: str) -> None:
        """A job runs now."""
        self._held[job_id] = None

    def add(self, job: SpooledJob, aborting: bool = False) -> None:
        """A job ended: tell the server, unless it knows already.

        ``aborting`` says that the server waits for an ``aborted``; an old server gets that and
        nothing else, whatever the result.
        """
        self._held.pop(job.job_id, None)
        self.streams.hold(job)
        if job.job_id in self._done:
            self._release(job.job_id)
        elif job.job_id not in self._reports:
            forced = NodeInput.ABORTED if aborting and not self._outbox.extended else None
            self._reports[job.job_id] = _Report(job, reply_for(job, forced))

    def resend(self, job_id: Optional[str]) -> bool:
        """Tell the outcome of this job again, soon; False when there is none to tell."""
        report = self._reports.get(job_id or "")
        if report is not None:
            report.due = float("-inf")
        return report is not None

    def connected(self) -> None:
        """The connection is new: what was not confirmed has to be said again."""
        self.streams.connected()
        for report in self._reports.values():
            report.due = float("-inf")

    def tick(self, now: Now) -> None:
        """Send the next outcome that is due, or ask for its output first."""
        if self._outbox.extended:
            self.streams.pump(now)
        due = [report for report in self._sayable() if report.due <= now.steady]
        if not due or now.steady < self._next:
            return
        if len(due) > 1:
            self._next = now.steady + PACE
        due[0].due = now.steady + REPEAT
        if self._wants_output(due[0]):
            self._outbox.do(ReadOutput(due[0].job.job_id))
        else:
            self._outbox.outcome(due[0].reply, None, now)

    def next_call(self) -> Optional[float]:
        """When ``tick`` wants to be called, in steady seconds."""
        dues = [report.due for report in self._sayable()]
        due = max(min(dues), self._next) if dues else None
        piece = self.streams.next_call()
        return min((time for time in (due, piece) if time is not None), default=None)

    def output_read(self, job_id: str, output: Optional[Tuple[bytes, bytes]], now: Now) -> None:
        """Send an outcome with its output; None when the spool could not be read."""
        report = self._reports.get(job_id)
        if report is not None:
            self._outbox.outcome(report.reply, output, now)

    def sent(self, job_id: str, taken: bool, now: Now) -> None:
        """An outcome was handed to the transport, which took it or did not."""
        report = self._reports.get(job_id)
        if report is None:
            return
        if not taken:
            report.due = now.steady + RETRY
            return
        report.sent = True
        if not self._outbox.extended:
            self._finish(job_id)

    def confirmed(self, job_id: Optional[str]) -> None:
        """The server has stored the outcome of a job."""
        if job_id in self._reports:
            self._outbox.log("info", "the server has the outcome of a job", job_id=job_id)
            self._finish(str(job_id))

    def _sayable(self) -> List[_Report]:
        """The outcomes whose output is stored before them, if it goes by itself."""
        reports = self._reports.values()
        if not self._outbox.extended:
            return list(reports)
        return [report for report in reports if self.streams.done(report.job)]

    def _wants_output(self, report: _Report) -> bool:
        """Old servers take output with ``succeeded`` and ``failed`` only (pushy-protocol 5.3)."""
        ran = report.reply.kind in (NodeInput.SUCCEEDED, NodeInput.FAILED)
        return report.job.capture and ran and not self._outbox.extended

    def _finish(self, job_id: str) -> None:
        del self._reports[job_id]
        self.streams.forget(job_id)
        self._done[job_id] = None
        while len(self._done) > REMEMBERED:
            self._done.popitem(last=False)
        self._release(job_id)

    def _release(self, job_id: str) -> None:
        self._outbox.ask("release", job_id=job_id)
